from __future__ import annotations

import argparse
import io

import pytest
from rich.console import Console

from atlas.cancellation import Interrupted
from atlas.contracts import Contract
from atlas.errors import BadInput, StartupError
from benchmark.command import FAILED, INTERRUPTED, carry_out, whole


class Answer(Contract):
    n: int


def show(result: Answer, console: Console) -> None:
    console.print(f"the answer is {result.n}")


def test_a_result_is_shown_and_with_json_it_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    err = Console(file=io.StringIO())
    assert carry_out(lambda: Answer(n=3), show, err, json=False) == Answer(n=3)
    assert capsys.readouterr().out == "the answer is 3\n"
    assert carry_out(lambda: Answer(n=4), show, err, json=True) == Answer(n=4)
    assert capsys.readouterr().out == '{"n":4}\n'
    assert err.file.getvalue() == "the answer is 4\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "code", "says", "helps"),
    [
        (BadInput("no such plan"), FAILED, "no such plan", False),
        (StartupError("no model"), FAILED, "no model", True),
        (Interrupted(), INTERRUPTED, "interrupted", True),
    ],
)
def test_a_failure_is_told_with_what_helps(
    error: BaseException, code: int, says: str, helps: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    log = io.StringIO()

    def work() -> Answer:
        raise error

    assert carry_out(work, show, Console(file=log), json=True, again="do it again") == code
    assert says in log.getvalue()
    assert ("do it again" in log.getvalue()) is helps
    assert capsys.readouterr().out == ""


def test_whole_numbers() -> None:
    assert whole(1)("7") == 7
    for read, wrong in (
        (whole(1), "0"),
        (whole(0), "-1"),
        (whole(1, 8), "9"),
        (whole(0), "1.5"),
        (whole(0), ""),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from"):
            read(wrong)
