from typing import List


class Solution:
    def nameTags(self, names: List[str], width: int) -> List[str]:
        return [name[:width].ljust(width, ".") for name in names]
