n, top = map(int, input().split())
floor = highest = 0
for _ in range(n):
    way, k = input().split()
    floor = min(top, floor + int(k)) if way == "U" else max(0, floor - int(k))
    highest = max(highest, floor)
print(floor, highest)
