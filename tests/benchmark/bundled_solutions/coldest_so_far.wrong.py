from typing import List


# Starts from zero instead of the first reading, so positive temperatures are lost.
class Solution:
    def coldestSoFar(self, temperatures: List[int]) -> List[int]:
        shown, coldest = [], 0
        for temperature in temperatures:
            coldest = min(coldest, temperature)
            shown.append(coldest)
        return shown
