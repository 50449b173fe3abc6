import sys
from typing import List

sys.setrecursionlimit(10_000)


# Right, but tries every partition: recursion without memory.
class Solution:
    def hangingPictures(self, heights: List[int], most: int, fee: int) -> int:
        if not heights:
            return 0
        return min(
            fee + (max(heights[:k]) - min(heights[:k])) * k + self.hangingPictures(heights[k:], most, fee)
            for k in range(1, min(most, len(heights)) + 1)
        )
