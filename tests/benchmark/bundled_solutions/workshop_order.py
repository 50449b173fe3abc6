def main():
    n = int(input())
    base = list(map(int, input().split()))
    saving = [list(map(int, input().split())) for _ in range(n)]
    full = 1 << n
    total = [0] + [10**9] * (full - 1)  # total[done]: least time for this set of jobs
    helped = [[0] * n for _ in range(full)]
    for done in range(full):
        if done:
            first = (done & -done).bit_length() - 1
            rest = helped[done & (done - 1)]
            helped[done] = [a + b for a, b in zip(rest, saving[first])]
        help_now, so_far = helped[done], total[done]
        for j in range(n):
            bit = 1 << j
            if not done & bit:
                time = so_far + max(1, base[j] - help_now[j])
                if time < total[done | bit]:
                    total[done | bit] = time
    print(total[full - 1])


main()
