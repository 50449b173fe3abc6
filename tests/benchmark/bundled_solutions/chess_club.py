points = {}
for _ in range(int(input())):
    first, second, result = input().split()
    for name, score in zip((first, second), {"1-0": (2, 0), "0-1": (0, 2), "draw": (1, 1)}[result]):
        points[name] = points.get(name, 0) + score
most = max(points.values())
print(min(name for name in points if points[name] == most), most)
