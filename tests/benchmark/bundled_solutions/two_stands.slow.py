from typing import List


# Every pair of places.
class Solution:
    def twoStands(self, sales: List[int], gap: int) -> int:
        best = sales[0] + sales[gap]
        for i in range(len(sales)):
            for j in range(i + gap, len(sales)):
                best = max(best, sales[i] + sales[j])
        return best
