"""A letter out of a model's answer to a multiple-choice question, however messy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.choice import letter

ANSWERS: dict[str, tuple[str, str | None]] = {
    "as asked for": ("It boils.\n\nAnswer: B", "B"),
    "with a full stop": ("Answer: B.", "B"),
    "in brackets": ("Answer: (B)", "B"),
    "in bold type": ("**Answer: B**", "B"),
    "label in bold type": ("**Answer:** B", "B"),
    "letter in bold type": ("The correct answer is **B**.", "B"),
    "letter with its text": ("Answer: B) hydrogen", "B"),
    "after a heading": ("### Answer\n\nB", "B"),
    "bold alone": ("**(C)**", "C"),
    "bold with its text": ("Surely **C) helium**, since it is light", "C"),
    "boxed": ("so $\\boxed{C}$", "C"),
    "boxed text": ("so \\boxed{\\text{D}}", "D"),
    "boxed in brackets": ("\\boxed{(A)}", "A"),
    "TeX": ("Answer: $\\mathbf{B}$", "B"),
    "a set phrase": ("Final Answer: The final answer is $(D)$. I hope it is correct.", "D"),
    "in a sentence": ("Therefore the correct option among these is (C), as shown.", "C"),
    "option is correct": ("Option B is correct.", "B"),
    "choosing": ("I will go with D.", "D"),
    "the letter alone": ("C", "C"),
    "the letter on the last line": ("Because of that:\n\nC.", "C"),
    "last line as lists are": ("Thinking it over.\nB) hydrogen", "B"),
    "denied first": ("The answer is not A, it is B.", "B"),
    "changed its mind": ("Answer: A\nWait, that is wrong.\nAnswer: C", "C"),
    "names a wrong one later": ("The answer is B. Option A is wrong.", "B"),
    "after thinking": ("<think>Answer: A</think>Answer: D", "D"),
    "carriage returns": ("So\r\nAnswer: B\r\n", "B"),
    "two at once": ("Answer: A or B", None),
    "two at once in brackets": ("The answer is (A) and (C).", None),
    "a list of two": ("Answer: A, B", None),
    "several in bold type": ("**A)** heavy\n**B)** light\nHard to say.", None),
    "an article": ("The answer is A metal compound", None),
    "a pronoun": ("The answer is I do not know", None),
    "not among the choices": ("Answer: E", None),
    "thinking left open": ("<think>The answer is B", None),
    "no letter": ("It depends on the temperature.", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("answer", "chosen"), ANSWERS.values(), ids=ANSWERS)
def test_the_letter_of_an_answer(answer: str, chosen: str | None) -> None:
    assert letter(answer, 4) == chosen


@given(st.text(alphabet=st.characters(exclude_characters="<>\r"), max_size=200), st.sampled_from("ABCD"))
def test_a_last_line_as_the_prompt_asks_for_is_always_read(before: str, chosen: str) -> None:
    assert letter(f"{before}\nAnswer: {chosen}", 4) == chosen


@given(st.text(max_size=300), st.integers(2, 26))
def test_any_text_gives_a_letter_of_the_choices_or_none(answer: str, choices: int) -> None:
    assert letter(answer, choices) in {None, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:choices]}
