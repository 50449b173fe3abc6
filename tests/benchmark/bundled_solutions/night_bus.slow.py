# Right, but searches once for each line that the voucher could be used on.
import heapq
import sys

n, m, *numbers = map(int, sys.stdin.read().split())
rides = [numbers[3 * k : 3 * k + 3] for k in range(m)]


def cheapest(voucher):
    lines = [[] for _ in range(n + 1)]
    for k, (a, b, w) in enumerate(rides):
        w = w // 2 if k == voucher else w
        lines[a].append((b, w))
        lines[b].append((a, w))
    done = set()
    heap = [(0, 1)]
    while heap:
        cost, town = heapq.heappop(heap)
        if town == n:
            return cost
        if town not in done:
            done.add(town)
            for to, w in lines[town]:
                heapq.heappush(heap, (cost + w, to))
    return None


found = [c for c in map(cheapest, range(-1, m)) if c is not None]
print(min(found, default=-1))
