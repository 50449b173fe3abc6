# Lets a tour be empty: its worth is never below 0.
import sys


def main():
    n, q, *numbers = map(int, sys.stdin.read().split())
    size = 1
    while size < n:
        size *= 2
    tree = [(0, 0, 0, 0)] * (2 * size)

    def leaf(value):
        return value, max(0, value), max(0, value), max(0, value)

    def join(a, b):
        return a[0] + b[0], max(a[1], a[0] + b[1]), max(b[2], b[0] + a[2]), max(a[3], b[3], a[2] + b[1])

    tree[size : size + n] = map(leaf, numbers[:n])
    for i in range(size - 1, 0, -1):
        tree[i] = join(tree[2 * i], tree[2 * i + 1])
    for k in range(q):
        i = size + numbers[n + 2 * k] - 1
        tree[i] = leaf(numbers[n + 2 * k + 1])
        while i > 1:
            i //= 2
            tree[i] = join(tree[2 * i], tree[2 * i + 1])
        print(tree[1][3])


main()
