# A locker is not free in the very minute of the pick-up.
m, n = map(int, input().split())
until = [-1] * m
for _ in range(n):
    arrival, pickup = map(int, input().split())
    for locker in range(m):
        if until[locker] < arrival:
            until[locker] = pickup
            print(locker + 1)
            break
    else:
        print(-1)
