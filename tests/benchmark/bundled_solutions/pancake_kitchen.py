import sys


def main():
    _, k, *numbers = map(int, sys.stdin.read().split())
    cooks = list(zip(numbers[::2], numbers[1::2]))
    low, high = 0, min(s + c * k for s, c in cooks)
    while low < high:
        minute = (low + high) // 2
        if sum((minute - s) // c for s, c in cooks if s < minute) >= k:
            high = minute
        else:
            low = minute + 1
    print(low)


main()
