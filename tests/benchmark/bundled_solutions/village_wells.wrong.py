# Wants a well at one end of every road, which is more than is asked for.
import sys

n, *numbers = map(int, sys.stdin.read().split())
roads = [[] for _ in range(n + 1)]
for a, b in zip(numbers[n::2], numbers[n + 1 :: 2]):
    roads[a].append(b)
    roads[b].append(a)
order, parent = [1], {1: 0}
for v in order:
    for u in roads[v]:
        if u not in parent:
            parent[u] = v
            order.append(u)
well, dry = [0, *numbers[:n]], [0] * (n + 1)
for v in reversed(order):
    well[parent[v]] += min(well[v], dry[v])
    dry[parent[v]] += well[v]
print(min(well[1], dry[1]) if n > 1 else well[1])
