# Lets the cooks who have not come yet take pancakes away.
import sys

n, k, *numbers = map(int, sys.stdin.read().split())
cooks = list(zip(numbers[::2], numbers[1::2]))
low, high = 0, 10**16
while low < high:
    minute = (low + high) // 2
    if sum((minute - s) // c for s, c in cooks) >= k:
        high = minute
    else:
        low = minute + 1
print(low)
