# Right, but goes along the whole road after every change.
import sys


def main():
    n, q, *numbers = map(int, sys.stdin.read().split())
    road = numbers[:n]
    for k in range(q):
        road[numbers[n + 2 * k] - 1] = numbers[n + 2 * k + 1]
        best = here = road[0]
        for value in road[1:]:
            here = here + value if here > 0 else value
            if here > best:
                best = here
        print(best)


main()
