import sys


def main():
    n, q = map(int, sys.stdin.readline().split())
    songs = [0, *map(int, sys.stdin.readline().split())]
    leader = list(range(n + 1))  # the way to the leader, who leads to himself

    def find(a):
        while leader[a] != a:
            leader[a] = leader[leader[a]]
            a = leader[a]
        return a

    for _ in range(q):
        what, *who = sys.stdin.readline().split()
        found = [find(int(a)) for a in who]
        if what == "lead":
            print(found[0])
        else:
            first = min(found, key=lambda a: (-songs[a], a))
            for a in found:
                leader[a] = first


main()
