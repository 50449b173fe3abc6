# Forgets the streak that ends with the last day.
_, goal = map(int, input().split())
best = streak = 0
for steps in map(int, input().split()):
    if steps >= goal:
        streak += 1
    else:
        best = max(best, streak)
        streak = 0
print(best)
