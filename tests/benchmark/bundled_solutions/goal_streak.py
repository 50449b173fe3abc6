_, goal = map(int, input().split())
best = streak = 0
for steps in map(int, input().split()):
    streak = streak + 1 if steps >= goal else 0
    best = max(best, streak)
print(best)
