def main():
    song = input()
    # The automaton of all parts of the song: for each of its states the longest part that belongs to it, the
    # state of the next shorter parts, and the first and the last place where its parts end.
    longest, shorter, first, last, step = [0], [-1], [-1], [-1], [{}]

    def state(length, link, begin, end, steps):
        longest.append(length)
        shorter.append(link)
        first.append(begin)
        last.append(end)
        step.append(steps)
        return len(longest) - 1

    whole = 0
    for i, letter in enumerate(song):
        new = state(longest[whole] + 1, 0, i, i, {})
        at = whole
        while at >= 0 and letter not in step[at]:
            step[at][letter] = new
            at = shorter[at]
        if at >= 0:
            to = step[at][letter]
            if longest[to] != longest[at] + 1:
                old = to
                to = state(longest[at] + 1, shorter[old], first[old], last[old], dict(step[old]))
                while at >= 0 and step[at].get(letter) == old:
                    step[at][letter] = to
                    at = shorter[at]
                shorter[old] = to
            shorter[new] = to
        whole = new

    for at in sorted(range(1, len(longest)), key=longest.__getitem__, reverse=True):
        last[shorter[at]] = max(last[shorter[at]], last[at])
    print(max(min(longest[at], last[at] - first[at]) for at in range(1, len(longest))))


main()
