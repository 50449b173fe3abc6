# Forgets the helpers who walk to the left.
n, m = map(int, input().split())
painted = set()
for _ in range(m):
    a, b = map(int, input().split())
    painted.update(range(a, b + 1))
print(n - len(painted))
