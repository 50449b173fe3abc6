n = int(input())
things = [tuple(map(int, input().split())) for _ in range(n)]
full = [weight for _, weight in things]
# holds[d]: the latest thing of depth d. Children come after their parents, so add up from the end.
parent, holds = [-1] * n, {}
for i, (depth, _) in enumerate(things):
    if depth:
        parent[i] = holds[depth - 1]
    holds[depth] = i
for i in range(n - 1, -1, -1):
    if parent[i] >= 0:
        full[parent[i]] += full[i]
print("\n".join(map(str, full)))
