from typing import List


class Solution:
    def hangingPictures(self, heights: List[int], most: int, fee: int) -> int:
        cost = [0]  # cost[i]: the first i pictures
        for end in range(1, len(heights) + 1):
            low = high = heights[end - 1]
            best = None
            for start in range(end - 1, max(-1, end - most - 1), -1):
                low, high = min(low, heights[start]), max(high, heights[start])
                total = cost[start] + fee + (high - low) * (end - start)
                if best is None or total < best:
                    best = total
            cost.append(best)
        return cost[-1]
