"""A program out of a model's answer, however messy."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atlas.extract import program, structure

READS = "n = int(input())\nprint(n * 2)\n"
SOLVE = "def solve(n):\n    return n * 2\n"
SOLUTION = "class Solution:\n    def solve(self, n: int) -> int:\n        return n * 2\n"
TAGS = 'print(re.sub(r"<think>.*?</think>", "", input()))\n'


def fenced(code: str, tag: str = "python", fence: str = "```") -> str:
    return f"{fence}{tag}\n{code}{fence}\n"


ANSWERS = {
    "plain": (fenced(READS), READS),
    "prose around": (f"Double it.\n\n{fenced(READS)}\nThat is O(1).", READS),
    "prose right before the fence": (f"Here it is:\n{fenced(READS)}", READS),
    "unclosed fence": (f"Here:\n```python\n{READS}", READS),
    "unclosed fence without last newline": (f"```python\n{READS}".rstrip("\n"), READS),
    "nothing but the fence closed on the last line": (f"```python\n{READS}```", READS),
    "uppercase tag": (fenced(READS, "PYTHON"), READS),
    "short tag": (fenced(READS, "py"), READS),
    "versioned tag": (fenced(READS, "Python3"), READS),
    "tag after a space": (fenced(READS, " python"), READS),
    "tag with attributes": (fenced(READS, 'python title="a.py"'), READS),
    "no tag": (fenced(READS, ""), READS),
    "opened twice": (f"```python\n{fenced(READS)}", READS),
    "opened twice and closed twice": (f"```python\n{fenced(READS)}```\n", READS),
    "a block of markdown around it": (f"```markdown\n{fenced(READS)}```\n", READS),
    "a bare block in one of markdown": (f"```markdown\n{fenced(READS, '')}```\n", READS),
    "two blocks without a line between": (f"{fenced(SOLVE)}{fenced(READS)}", READS),
    "tildes": (fenced(READS, "python", "~~~"), READS),
    "four backticks": (fenced(READS, "python", "````"), READS),
    "fences inside four backticks": (
        fenced('print("""\n```\n""", input())\n', "python", "````"),
        'print("""\n```\n""", input())\n',
    ),
    "inline backticks at a line's start": (f"```n``` is doubled.\n{fenced(READS)}", READS),
    "carriage returns": (fenced(READS).replace("\n", "\r\n"), READS),
    "two attempts, the last counts": (
        fenced("print(input())\n") + "Wait, double it:\n" + fenced(READS),
        READS,
    ),
    "a usage example after the program": (
        fenced(READS) + "Use it so:\n" + fenced("$ echo 3 | python a.py\n6\n", "bash"),
        READS,
    ),
    "a python usage example after the program": (fenced(READS) + fenced("print(double(3))\n"), READS),
    "sample output without a tag": (fenced(READS) + "Output:\n" + fenced("6\n", ""), READS),
    "another language first": (fenced("int main() {}\n", "cpp") + fenced(READS), READS),
    "an empty block before": (fenced("") + fenced(READS), READS),
    "an empty block after": (fenced(READS) + fenced(""), READS),
    "a broken attempt after": (fenced(READS) + "or\n" + fenced("n = int(input()\n"), READS),
    "thinking closed": (f"<think>{fenced('print(1)')}no</think>\n{fenced(READS)}", READS),
    "thinking closed, opened by the template": (f"{fenced('print(1)')}no</think>\n{fenced(READS)}", READS),
    "no fence": (READS, READS),
    "no fence after thinking": (f"<think>hm</think>\n\n{READS}", READS),
    "backticks inside a string": (
        fenced("n = input()\nprint('```')\nprint(n)\n"),
        "n = input()\nprint('```')\nprint(n)\n",
    ),
    "reads by sys.stdin": (
        fenced("import sys\nprint(sys.stdin.read())\n"),
        "import sys\nprint(sys.stdin.read())\n",
    ),
    "reads by open": (fenced("print(open(0).read())\n"), "print(open(0).read())\n"),
    "longest when none reads": (fenced("a = 1\n") + fenced("a = 1\nprint(a)\n"), "a = 1\nprint(a)\n"),
    "it does not parse, but it is all there is": (fenced("print(input()\n"), "print(input()\n"),
    "python 2": (fenced("print input()\n"), "print input()\n"),
    "prose around a program without a fence": (
        f"Here is the program:\n\n{READS}\nIt doubles the number. That's O(1).\n\n- one read\n- one print\n",
        READS,
    ),
    "prose right around a program without a fence": (f"The program:\n{READS}It doubles.", READS),
    "prose that begins like code before a program without a fence": (f"from here on:\n{READS}", READS),
    "a fence in one line within a program without a fence": (
        f'"""\n```python print(1)```\n"""\n{READS}',
        f'"""\n```python print(1)```\n"""\n{READS}',
    ),
    "a fence in one line": ("```python print(1)```", "print(1)\n"),
    "a fence in one line with prose around": ("So:\n``` py print(1) ```\nThat is all.\n", "print(1)\n"),
    "a fence in one line before a block": (f"```python print(1)```\n{fenced(READS)}", READS),
    "the tag that ends thinking in a string": (
        fenced("print(input().split('</think>'))\n"),
        "print(input().split('</think>'))\n",
    ),
    "both tags in a string": (
        f"<think>Its '</think>' is data.</think>\n{fenced(TAGS)}",
        TAGS,
    ),
    "thinking with apostrophes": (
        f"<think>{fenced('print(1)')}It's n. Don't</think>It's:\n{fenced(READS)}",
        READS,
    ),
    "a demonstration that reads, after the program": (
        fenced(f"{SOLVE}print(solve(int(input())))\n")
        + "Use it so:\n"
        + fenced("print(solve(int(input())))\n"),
        f"{SOLVE}print(solve(int(input())))\n",
    ),
    "what reads is in a block of its own": (
        fenced(SOLUTION) + "Then:\n" + fenced("print(Solution().solve(int(input())))\n"),
        f"{SOLUTION}\nprint(Solution().solve(int(input())))\n",
    ),
    "tabs": (
        fenced("def f():\n\treturn 1\nif input():\n\tprint(f())\n"),
        "def f():\n\treturn 1\nif input():\n\tprint(f())\n",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_program_is_found(name: str) -> None:
    answer, expected = ANSWERS[name]
    found = program(answer)
    assert found is not None
    assert found.replace("\r\n", "\n") == expected


NOTHING = {
    "empty": "",
    "blank": " \n\t\n",
    "prose": "I cannot solve this. Sorry.",
    "prose that parses": "hello",
    "thinking left open": f"<think>Let me see. {fenced(READS)} but",
    "text that mentions the fence": "Put it between ``` and ``` please.",
    "a program without a fence that breaks off": "n = int(input())\nfor i in range(n):\n    print((",
    "a program without a fence that breaks off at a colon": f"{READS}def f():\n",
    "a program without a fence that breaks off, with strange line ends": f"{READS}x\r\r\r\r(\n(",
    "a program without a fence that breaks off in a line of its own": f"{READS}print('",
    "a fence that closes what none opened": f"{READS}```",
    "code in prose that reads nothing": "So:\n\nx = 5\n\nis what it needs.",
    "a fence in one line that holds no program": "```python is the tag```\n",
    "a fence in one line of another language": "```bash ls```\n",
    "text that begins with a fence in a line": "```python``` is the tag to use\nand nothing else\n",
    "an empty block": fenced(""),
    "a blank block": fenced("\n  \n"),
    "another language": fenced("int main() {}\n", "cpp"),
    "nothing after thinking": f"<think>{fenced(READS)}</think>",
}


@pytest.mark.parametrize("name", NOTHING)
def test_there_is_no_program(name: str) -> None:
    assert program(NOTHING[name]) is None


FUNCTIONS = {
    "function": (fenced(SOLVE), SOLVE),
    "method of class Solution": (fenced(SOLUTION), SOLUTION),
    "class Solution without a fence": (SOLUTION, SOLUTION),
    "a call of it after the program": (
        fenced(SOLVE) + fenced("print(solve(3))\nprint(solve(int(input())))\n"),
        SOLVE,
    ),
    "a helper in a block of its own": (fenced(SOLVE) + fenced("def helper():\n    pass\n" * 3), SOLVE),
    "the last that defines it": (fenced("def solve(n):\n    pass\n") + fenced(SOLUTION), SOLUTION),
    "a demonstration that reads after it": (
        fenced(SOLUTION) + fenced("print(Solution().solve(int(input())))\n"),
        SOLUTION,
    ),
    "prose around it without a fence": (f"Double it:\n\n{SOLVE}\n\nThat's all.", SOLVE),
    "asynchronous": (fenced("async def solve(n):\n    return n\n"), "async def solve(n):\n    return n\n"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_function_is_found(name: str) -> None:
    answer, expected = FUNCTIONS[name]
    assert program(answer, "solve") == expected


def test_a_block_indented_in_a_list_is_dedented() -> None:
    answer = "1. Do it:\n\n   ```python\n   n = int(input())\n   print(n * 2)\n   ```\n"
    assert program(answer) == READS


def test_an_indented_fence_around_plain_code_keeps_its_indents() -> None:
    assert program("  ```python\nif input():\n    print(1)\n  ```") == "if input():\n    print(1)\n"


def test_backticks_on_a_line_of_a_string_end_the_block_but_do_not_crash() -> None:
    assert program('```python\nx = """\n```\n"""\nprint(input())\n```\n')


messy = st.lists(
    st.sampled_from(
        [
            "```",
            "```python\n",
            "~~~",
            "\n",
            "<think>",
            "</think>",
            "    ",
            "\t",
            READS,
            SOLVE,
            "x",
            "\x00",
            "'''",
            "(",
        ]
    ),
    max_size=25,
).map("".join)


@given(answer=st.one_of(st.text(), messy), entry_point=st.sampled_from([None, "solve"]))
@example("```python\n" + "(" * 20_000, None)
@example("```python\n" + "-" * 50_000 + "1", None)
@example("```python\nx" + ".a" * 20_000, None)
@example("```python\nx = " + "1+" * 20_000 + "1", "solve")
@example("```python\n" + "9" * 10_000, None)
@example("```python\n'\\d'\n", None)
@example("```python\n\ud800 = input()\n", None)
@example("```\n" * 5_000, None)
@example(" " * 100_000, None)
def test_no_text_at_all_makes_it_raise(answer: str, entry_point: str | None) -> None:
    found = program(answer, entry_point)
    assert found is None or found.strip()


lines = st.text(
    st.characters(codec="utf-8", exclude_characters="`~\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=30
)
codes = st.lists(lines.filter(lambda line: "think>" not in line), min_size=1, max_size=8).map("\n".join)
prose = st.sampled_from(["", "Here is the program.\n", "It uses ``n`` and `print`:\n\n"])


@given(
    code=codes.filter(lambda code: code.strip() and code[0] not in " \t"),
    before=prose,
    after=prose,
    tag=st.sampled_from(["python", "py", "Python3", ""]),
)
def test_code_in_a_fence_comes_back(code: str, before: str, after: str, tag: str) -> None:
    assert program(f"{before}```{tag}\n{code}\n```\n{after}") == code.strip("\n") + "\n"


@given(st.integers(0, 6))
def test_any_depth_of_list_is_dedented(depth: int) -> None:
    pad = " " * depth
    block = "".join(f"{pad}{line}\n" for line in fenced(dedent(READS)).splitlines())
    assert program(f"- so:\n{block}") == READS


LINES = ("n = int(input())", "if n > 1:\n    print(n * 2)", 'print("# no comment")', "print((n, 0x10), 'a')")


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=4), st.data())
def test_comments_blank_lines_and_formatting_make_no_other_program(
    lines: list[str], data: st.DataObject
) -> None:
    between = st.sampled_from(["\n", "\n\n\n", "  # a comment\n", "\n# one more\n", "\n    # indented\n"])
    dressed = (
        "".join(line + data.draw(between) for line in lines).replace("'a'", '"a"').replace("(n, ", "(n,")
    )
    assert structure(dressed) == structure("\n".join(lines))


@given(st.lists(st.sampled_from(LINES), max_size=4), st.lists(st.sampled_from(LINES), max_size=4))
def test_other_statements_make_another_program(one: list[str], other: list[str]) -> None:
    assert (structure("\n".join(one)) == structure("\n".join(other))) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("if x:", id="no syntax tree"),
        pytest.param("x = 1" + " + 1" * 2000, id="too deep to be written down"),
        pytest.param("x = 0x" + "f" * 5000, id="an integer of too many digits"),
    ],
)
def test_what_has_no_syntax_tree_to_be_shown_is_compared_as_it_is_written(text: str) -> None:
    assert structure(text) == text
