import heapq

r, c = map(int, input().split())
grid = [input() for _ in range(r)]
done = set()
heap = [(0, 0, 0)]
answer = -1
while heap:
    time, i, j = heapq.heappop(heap)
    if (i, j) == (r - 1, c - 1):
        answer = time
        break
    if (i, j) in done:
        continue
    done.add((i, j))
    for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
        if 0 <= y < r and 0 <= x < c and grid[y][x] != "#" and (y, x) not in done:
            heapq.heappush(heap, (time + int(grid[y][x]) + 1, y, x))
print(answer)
