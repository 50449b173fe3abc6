r"""Where a model's thinking begins and ends in its prompt: the tags around it, and the template's two modes.

A thinking model writes `<think>…</think>` before its answer. Whether a model does is seen from what its chat
template renders with and without `enable_thinking`, which is how Qwen3's family (and most others') is told:

    Qwen3     thinking: …assistant\n              not: …assistant\n<think>\n\n</think>\n\n
    Qwen3.5   thinking: …assistant\n<think>\n     not: …assistant\n<think>\n\n</think>\n\n
    R1, QwQ   thinking: …assistant\n<think>\n     not: …assistant\n<think>\n</think>

A family with other tags, or whose template has no such switch, is named in atlas.conf (THINKING_TAGS).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ThinkingTags:
    """What opens and closes the block; `always`: the model thinks, whatever its template shows."""

    opening: str = "<think>"
    closing: str = "</think>"
    always: bool = False

    @classmethod
    def parse(cls, text: str) -> ThinkingTags:
        """Return the tags of a setting: two words, or the usual ones, to be looked for, if it is empty.

        Raises:
            ValueError: if the text is anything else.
        """
        if not text.strip():
            return USUAL_TAGS
        words = text.split()
        if len(words) != 2 or words[0] == words[1]:
            raise ValueError("name two different tags, as in '<think> </think>', or leave it empty")
        return cls(words[0], words[1], always=True)

    def used_by(self, thinking: str, plain: str) -> bool:
        """Whether a model thinks, from a prompt its template renders in either mode."""
        return self.always or self._opened(thinking) or self._closed(plain)

    def begun(self, thinking: str) -> str:
        """Return a thinking model's prompt in its thinking mode, with the block opened."""
        return thinking if self._opened(thinking) else f"{thinking}{self.opening}\n"

    def skipped(self, plain: str) -> str:
        """Return a prompt that the answer follows at once: an open block closed, empty.

        The template does that by itself where it has a mode for it.
        """
        if self._opened(plain):
            return f"{plain}\n{self.closing}\n\n"
        if self.always and not self._closed(plain):
            return f"{plain}{self.opening}\n\n{self.closing}\n\n"
        return plain

    def _opened(self, prompt: str) -> bool:
        return prompt.rstrip().endswith(self.opening)

    def _closed(self, prompt: str) -> bool:
        return prompt.rstrip().endswith(self.closing)


USUAL_TAGS = ThinkingTags()
