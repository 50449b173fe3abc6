import sys

NONE = -(10**9)  # the best of no sections at all


def main():
    n, q, *numbers = map(int, sys.stdin.read().split())
    size = 1
    while size < n:
        size *= 2
    # A tree over the road: the sum of a part, its best start, its best end and its best tour.
    total = [0] * (2 * size)
    start, end, best = ([NONE] * (2 * size) for _ in range(3))
    for i in range(n):
        total[size + i] = start[size + i] = end[size + i] = best[size + i] = numbers[i]

    def join(i):
        a, b = 2 * i, 2 * i + 1
        total[i] = total[a] + total[b]
        start[i] = max(start[a], total[a] + start[b])
        end[i] = max(end[b], total[b] + end[a])
        best[i] = max(best[a], best[b], end[a] + start[b])

    for i in range(size - 1, 0, -1):
        join(i)
    for k in range(q):
        i = size + numbers[n + 2 * k] - 1
        total[i] = start[i] = end[i] = best[i] = numbers[n + 2 * k + 1]
        while i > 1:
            i //= 2
            join(i)
        print(best[1])


main()
