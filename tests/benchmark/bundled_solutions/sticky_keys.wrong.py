from collections import Counter


# Counts a letter in the whole string instead of in its run.
class Solution:
    def stickyKeys(self, typed: str, most: int) -> str:
        seen = Counter()
        out = ""
        for letter in typed:
            seen[letter] += 1
            if seen[letter] <= most:
                out += letter
        return out
