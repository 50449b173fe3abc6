_, top = map(int, input().split())
floor = 0
for move in map(int, input().split()):
    floor = max(0, min(top, floor + move))
print(floor)
