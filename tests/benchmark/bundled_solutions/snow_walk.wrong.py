# Walks only to the right and down.
r, c = map(int, input().split())
grid = [input() for _ in range(r)]
never = 10**9
best = [[never] * c for _ in range(r)]
best[0][0] = 0
for i in range(r):
    for j in range(c):
        if (i or j) and grid[i][j] != "#":
            above = best[i - 1][j] if i else never
            left = best[i][j - 1] if j else never
            best[i][j] = min(above, left) + int(grid[i][j]) + 1
print(best[-1][-1] if best[-1][-1] < never else -1)
