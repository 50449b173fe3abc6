# Makes the pancakes one by one.
import heapq
import sys

n, k, *numbers = map(int, sys.stdin.read().split())
heap = [(s + c, c) for s, c in zip(numbers[::2], numbers[1::2])]
heapq.heapify(heap)
for _ in range(k):
    minute, c = heap[0]
    heapq.heapreplace(heap, (minute + c, c))
print(minute)
