from collections import Counter


class Solution:
    def candleGame(self, row: str, most: int) -> int:
        runs = Counter(len(run) for run in row.split(".") if run)
        # worth[n]: the size of the heap of Nim that n burning candles side by side are like
        worth = [0]
        for n in range(1, max(runs, default=0) + 1):
            reached = set()
            for size in range(1, min(most, n) + 1):
                for left in range((n - size) // 2 + 1):
                    reached.add(worth[left] ^ worth[n - size - left])
            worth.append(next(g for g in range(n + 1) if g not in reached))
        total = 0
        for n, times in runs.items():
            if times % 2:
                total ^= worth[n]
        moves = 0
        for n, times in runs.items():
            wanted = total ^ worth[n]  # of this run, so that all is worth 0 for the other player
            for size in range(1, min(most, n) + 1):
                rest = n - size
                moves += times * sum(worth[left] ^ worth[rest - left] == wanted for left in range(rest + 1))
        return moves
