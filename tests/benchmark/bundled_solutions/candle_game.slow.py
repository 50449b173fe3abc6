# Right, but works out the worth of the same run again and again: recursion without memory.
class Solution:
    def candleGame(self, row: str, most: int) -> int:
        def after(n):
            """What each move in a run of n leaves."""
            for size in range(1, min(most, n) + 1):
                for left in range(n - size + 1):
                    yield worth(left) ^ worth(n - size - left)

        def worth(n):
            reached = set(after(n))
            return next(g for g in range(n + 1) if g not in reached)

        runs = [len(run) for run in row.split(".")]
        total = 0
        for n in runs:
            total ^= worth(n)
        return sum(value == total ^ worth(n) for n in runs for value in after(n))
