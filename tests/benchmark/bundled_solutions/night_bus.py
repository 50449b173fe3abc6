import heapq
import sys


def main():
    n, m, *numbers = map(int, sys.stdin.read().split())
    lines = [[] for _ in range(n + 1)]
    for k in range(m):
        a, b, w = numbers[3 * k : 3 * k + 3]
        lines[a].append((b, w))
        lines[b].append((a, w))
    best = {}
    heap = [(0, 1, 0)]  # cost, town, voucher used
    while heap:
        cost, town, used = heapq.heappop(heap)
        if (town, used) in best:
            continue
        best[town, used] = cost
        for to, w in lines[town]:
            heapq.heappush(heap, (cost + w, to, used))
            if not used:
                heapq.heappush(heap, (cost + w // 2, to, 1))
    print(min((best[n, used] for used in (0, 1) if (n, used) in best), default=-1))


main()
