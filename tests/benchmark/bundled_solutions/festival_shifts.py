from typing import List


class Solution:
    def festivalShifts(self, free: List[List[int]], need: List[int], most: int) -> int:
        working = [set() for _ in need]  # the helpers in each shift

        def place(helper):
            """Find one more place for the helper, if others must change their shift for it."""
            asked.add(helper)
            for shift in free[helper]:
                if helper in working[shift] or shift in tried:
                    continue
                tried.add(shift)
                if len(working[shift]) < need[shift]:
                    working[shift].add(helper)
                    return True
                for other in list(working[shift]):
                    if other not in asked and place(other):
                        working[shift].remove(other)
                        working[shift].add(helper)
                        return True
            return False

        filled = 0
        for helper in range(len(free)):
            for _ in range(most):
                asked, tried = set(), set()
                if not place(helper):
                    break
                filled += 1
        return filled
