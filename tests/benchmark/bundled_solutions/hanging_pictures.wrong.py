from typing import List


# Greedy: keeps a picture on the current rail as long as that is cheaper than a new rail.
class Solution:
    def hangingPictures(self, heights: List[int], most: int, fee: int) -> int:
        total, rail = 0, []
        for height in heights:
            longer = rail + [height]
            now = (max(rail) - min(rail)) * len(rail) if rail else 0
            then = (max(longer) - min(longer)) * len(longer)
            if rail and (len(rail) == most or then - now > fee):
                total += fee + now
                rail = [height]
            else:
                rail = longer
        return total + fee + (max(rail) - min(rail)) * len(rail)
