from typing import List


# Greedy: who is free least often chooses first, and takes the shifts with the most open places.
class Solution:
    def festivalShifts(self, free: List[List[int]], need: List[int], most: int) -> int:
        places = list(need)
        filled = 0
        for shifts in sorted(free, key=len):
            for shift in sorted(shifts, key=lambda s: -places[s])[:most]:
                if places[shift] > 0:
                    places[shift] -= 1
                    filled += 1
        return filled
