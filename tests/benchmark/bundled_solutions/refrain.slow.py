# Right, but compares every two places.
def main():
    song = input()
    n = len(song)
    best = 0
    before = [0] * (n + 1)
    for i in range(1, n + 1):
        here = [0] * (n + 1)  # here[j]: how long the equal parts that end at i and at j are
        for j in range(i + 1, n + 1):
            if song[i - 1] == song[j - 1]:
                here[j] = before[j - 1] + 1
                if best < here[j] and best < j - i:
                    best = min(here[j], j - i)
        before = here
    print(best)


main()
