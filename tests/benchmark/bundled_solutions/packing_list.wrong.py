# Counts only what lies directly inside.
n = int(input())
things = [tuple(map(int, input().split())) for _ in range(n)]
full = [weight for _, weight in things]
holds = {}
for i, (depth, weight) in enumerate(things):
    if depth:
        full[holds[depth - 1]] += weight
    holds[depth] = i
print("\n".join(map(str, full)))
