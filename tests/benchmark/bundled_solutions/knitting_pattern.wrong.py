from typing import List


# Forgets the outer number after an inner bracket: every closing bracket goes back to once.
class Solution:
    def knittingPattern(self, pattern: str) -> List[int]:
        group = 1
        stitches = {"K": 0, "P": 0}
        number = ""
        for sign in pattern:
            if sign.isdigit():
                number += sign
                continue
            times = int(number or 1)
            number = ""
            if sign == "(":
                group *= times
            elif sign == ")":
                group = 1
            else:
                stitches[sign] += group * times
        return [stitches["K"], stitches["P"]]
