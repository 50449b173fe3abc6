from itertools import accumulate
from typing import List


class Solution:
    def coldestSoFar(self, temperatures: List[int]) -> List[int]:
        return list(accumulate(temperatures, min))
