from typing import List


# Greedy: trains hard wherever that is better than three light days, from left to right.
class Solution:
    def trainingPlan(self, light: List[int], hard: List[int]) -> int:
        plan = list(light)
        n = len(plan)
        last = -2
        for i in range(n):
            around = range(max(0, i - 1), min(n, i + 2))
            if i - last > 1 and hard[i] > sum(plan[j] for j in around):
                for j in around:
                    plan[j] = 0
                plan[i] = hard[i]
                last = i
        return sum(plan)
