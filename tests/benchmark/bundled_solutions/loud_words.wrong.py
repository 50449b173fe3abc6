# Counts the empty pieces between two spaces.
class Solution:
    def loudWords(self, text: str) -> int:
        return sum(word == word.upper() for word in text.split(" "))
