# Right, but works out the same part of the tree again and again: recursion without memory.
import sys

sys.setrecursionlimit(20_000)
n, *numbers = map(int, sys.stdin.read().split())
cost = [0, *numbers[:n]]
roads = [[] for _ in range(n + 1)]
for a, b in zip(numbers[n::2], numbers[n + 1 :: 2]):
    roads[a].append(b)
    roads[b].append(a)


def with_well(v, parent):
    total = cost[v]
    for u in roads[v]:
        if u != parent:
            total += min(with_well(u, v), without_well(u, v), waiting(u, v))
    return total


def waiting(v, parent):
    total = 0
    for u in roads[v]:
        if u != parent:
            total += min(with_well(u, v), without_well(u, v))
    return total


def without_well(v, parent):
    best = 10**9
    for first in roads[v]:
        if first != parent:
            total = with_well(first, v)
            for u in roads[v]:
                if u not in (parent, first):
                    total += min(with_well(u, v), without_well(u, v))
            best = min(best, total)
    return best


print(min(with_well(1, 0), without_well(1, 0)))
