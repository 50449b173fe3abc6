# Stops at the top but digs below the ground floor.
_, top = map(int, input().split())
floor = 0
for move in map(int, input().split()):
    floor = min(top, floor + move)
print(floor)
