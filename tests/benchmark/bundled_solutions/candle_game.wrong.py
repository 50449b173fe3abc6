# Plays it like heaps of matches: forgets that a move can split a run in two.
class Solution:
    def candleGame(self, row: str, most: int) -> int:
        runs = [len(run) for run in row.split(".") if run]
        total = 0
        for n in runs:
            total ^= n % (most + 1)
        moves = 0
        for n in runs:
            for size in range(1, min(most, n) + 1):
                if total ^ (n % (most + 1)) ^ ((n - size) % (most + 1)) == 0:
                    moves += 1 if size == n else 2
        return moves
