class Solution:
    def stickyKeys(self, typed: str, most: int) -> str:
        out = []
        run = 0
        for i, letter in enumerate(typed):
            run = run + 1 if i and typed[i - 1] == letter else 1
            if run <= most:
                out.append(letter)
        return "".join(out)
