from typing import List


# A pair of losses is worse than zero, but two stands must be opened; and gap is taken as strict.
class Solution:
    def twoStands(self, sales: List[int], gap: int) -> int:
        best = left = 0
        for j in range(gap + 1, len(sales)):
            left = max(left, sales[j - gap - 1])
            best = max(best, left + sales[j])
        return best
