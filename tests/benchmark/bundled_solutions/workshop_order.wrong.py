# Greedy: always does next the job that is shortest now.
n = int(input())
base = list(map(int, input().split()))
saving = [list(map(int, input().split())) for _ in range(n)]
total, left = 0, set(range(n))
while left:
    job = min(left, key=lambda j: base[j])
    left.remove(job)
    total += max(1, base[job])
    for j in left:
        base[j] -= saving[job][j]
print(total)
