from collections import Counter
from typing import List


# In the order of the first visits.
class Solution:
    def secondHelping(self, visits: List[str]) -> List[str]:
        return [name for name, times in Counter(visits).items() if times > 1]
