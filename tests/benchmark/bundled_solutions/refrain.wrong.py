# Lets the two places overlap: the longest string that stands in the song twice.
from itertools import pairwise

song = input()
places = sorted(range(len(song)), key=lambda i: song[i : i + 10_000])
best = 0
for a, b in pairwise(places):
    length = 0
    while max(a, b) + length < len(song) and song[a + length] == song[b + length]:
        length += 1
    best = max(best, length)
print(best)
