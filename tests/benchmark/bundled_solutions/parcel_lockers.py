import heapq

m, n = map(int, input().split())
free = list(range(1, m + 1))
used = []  # (pick-up minute, locker)
for _ in range(n):
    arrival, pickup = map(int, input().split())
    while used and used[0][0] <= arrival:
        heapq.heappush(free, heapq.heappop(used)[1])
    if not free:
        print(-1)
        continue
    locker = heapq.heappop(free)
    heapq.heappush(used, (pickup, locker))
    print(locker)
