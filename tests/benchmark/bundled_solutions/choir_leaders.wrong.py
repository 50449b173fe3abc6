# The leader of the larger choir stays the leader, whatever the other one knows.
import sys

n, q = map(int, sys.stdin.readline().split())
songs = sys.stdin.readline().split()
choir = {i: [i] for i in range(1, n + 1)}  # the leader comes first
for _ in range(q):
    what, *who = sys.stdin.readline().split()
    a = choir[int(who[0])]
    if what == "lead":
        print(a[0])
    else:
        b = choir[int(who[1])]
        if a is not b:
            large, small = (a, b) if len(a) >= len(b) else (b, a)
            large += small
            for singer in small:
                choir[singer] = large
