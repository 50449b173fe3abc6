# Of several players with the most points takes the one who played first.
points = {}
for _ in range(int(input())):
    first, second, result = input().split()
    points.setdefault(first, 0)
    points.setdefault(second, 0)
    if result == "1-0":
        points[first] += 2
    elif result == "0-1":
        points[second] += 2
    else:
        points[first] += 1
        points[second] += 1
champion = max(points, key=points.get)
print(champion, points[champion])
