from typing import List


class Solution:
    def twoStands(self, sales: List[int], gap: int) -> int:
        left = sales[0]
        best = left + sales[gap]
        for j in range(gap, len(sales)):
            left = max(left, sales[j - gap])
            best = max(best, left + sales[j])
        return best
