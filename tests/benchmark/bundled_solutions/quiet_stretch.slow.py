from typing import List


# Every pair of start and end.
class Solution:
    def quietStretch(self, noise: List[int], budget: int) -> int:
        best = 0
        for start in range(len(noise)):
            total = 0
            for end in range(start, len(noise)):
                total += noise[end]
                if total <= budget:
                    best = max(best, end - start + 1)
        return best
