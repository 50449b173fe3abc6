from itertools import combinations
from typing import List


# Right, but tries every choice of shifts for every helper.
class Solution:
    def festivalShifts(self, free: List[List[int]], need: List[int], most: int) -> int:
        places = list(need)

        def best(helper):
            if helper == len(free):
                return 0
            found = 0
            for size in range(most + 1):
                for chosen in combinations([s for s in free[helper] if places[s]], size):
                    for shift in chosen:
                        places[shift] -= 1
                    found = max(found, size + best(helper + 1))
                    for shift in chosen:
                        places[shift] += 1
            return found

        return best(0)
