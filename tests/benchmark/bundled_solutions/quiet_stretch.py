from typing import List


class Solution:
    def quietStretch(self, noise: List[int], budget: int) -> int:
        start = total = best = 0
        for end, value in enumerate(noise):
            total += value
            while total > budget:
                total -= noise[start]
                start += 1
            best = max(best, end - start + 1)
        return best
