from typing import List


# Pads, but never cuts.
class Solution:
    def nameTags(self, names: List[str], width: int) -> List[str]:
        return [name + "." * (width - len(name)) for name in names]
