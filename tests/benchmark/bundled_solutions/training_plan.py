from typing import List


class Solution:
    def trainingPlan(self, light: List[int], hard: List[int]) -> int:
        # The most points up to today if today is rest, light or hard.
        rest, easy, tough = 0, -1, -1
        for a, b in zip(light, hard):
            rest, easy, tough = max(rest, easy, tough), max(rest, easy) + a, rest + b
        return max(rest, easy, tough)
