class Solution:
    def loudWords(self, text: str) -> int:
        return sum(word.isupper() for word in text.split())
