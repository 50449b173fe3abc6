from typing import List


class Solution:
    def knittingPattern(self, pattern: str) -> List[int]:
        times = [1]  # how often what is at each depth of brackets is knitted in all
        stitches = {"K": 0, "P": 0}
        number = 0
        for sign in pattern:
            if sign.isdigit():
                number = 10 * number + int(sign)
                continue
            repeat = times[-1] * (number or 1)
            number = 0
            if sign == "(":
                times.append(repeat)
            elif sign == ")":
                times.pop()
            else:
                stitches[sign] += repeat
        return [stitches["K"], stitches["P"]]
