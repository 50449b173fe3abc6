from typing import List


# Walks from every house to the first higher one.
class Solution:
    def roofViews(self, heights: List[int]) -> int:
        total = 0
        for i, height in enumerate(heights):
            for j in range(i + 1, len(heights)):
                total += 1
                if heights[j] > height:
                    break
        return total
