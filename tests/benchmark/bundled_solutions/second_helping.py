from typing import List


class Solution:
    def secondHelping(self, visits: List[str]) -> List[str]:
        came = {}
        twice = []
        for name in visits:
            came[name] = came.get(name, 0) + 1
            if came[name] == 2:
                twice.append(name)
        return twice
