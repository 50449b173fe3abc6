from typing import List


# Starts afresh after a loud minute instead of moving the start on.
class Solution:
    def quietStretch(self, noise: List[int], budget: int) -> int:
        length = total = best = 0
        for value in noise:
            total += value
            length += 1
            if total > budget:
                total = length = 0
            best = max(best, length)
        return best
