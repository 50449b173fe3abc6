n, m = map(int, input().split())
painted = set()
for _ in range(m):
    a, b = map(int, input().split())
    painted.update(range(min(a, b), max(a, b) + 1))
print(n - len(painted))
