from typing import List


# Lets a house of equal height hide what is behind it.
class Solution:
    def roofViews(self, heights: List[int]) -> int:
        total = 0
        waiting = []
        for i, height in enumerate(heights):
            while waiting and heights[waiting[-1]] <= height:
                total += i - waiting.pop()
            waiting.append(i)
        return total + sum(len(heights) - 1 - i for i in waiting)
