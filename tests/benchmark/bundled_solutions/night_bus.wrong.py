# Finds the cheapest journey first and only then uses the voucher on its dearest ride.
import heapq
import sys

n, m, *numbers = map(int, sys.stdin.read().split())
lines = [[] for _ in range(n + 1)]
for k in range(m):
    a, b, w = numbers[3 * k : 3 * k + 3]
    lines[a].append((b, w))
    lines[b].append((a, w))
done = {}
heap = [(0, 1, 0)]
while heap:
    cost, town, dearest = heapq.heappop(heap)
    if town in done:
        continue
    done[town] = cost - dearest + dearest // 2
    for to, w in lines[town]:
        heapq.heappush(heap, (cost + w, to, max(dearest, w)))
print(done.get(n, -1))
