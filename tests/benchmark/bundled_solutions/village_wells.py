import sys


def main():
    n, *numbers = map(int, sys.stdin.read().split())
    cost = [0, *numbers[:n]]
    roads = [[] for _ in range(n + 1)]
    for a, b in zip(numbers[n::2], numbers[n + 1 :: 2]):
        roads[a].append(b)
        roads[b].append(a)
    order, parent = [1], [0] * (n + 1)
    for v in order:
        for u in roads[v]:
            if u != parent[v]:
                parent[u] = v
                order.append(u)
    # The least cost below v if v has a well; has none, but a child of it has; or waits for its parent's.
    well, child, waits = cost, [10**9] * (n + 1), [0] * (n + 1)
    extra = [10**9] * (n + 1)  # what it costs more to have a well in the best child of v
    for v in reversed(order):
        child[v] = waits[v] + extra[v]
        up = parent[v]
        dry = min(well[v], child[v])
        well[up] += min(dry, waits[v])
        waits[up] += dry
        extra[up] = min(extra[up], well[v] - dry)
    print(min(well[1], child[1]))


main()
