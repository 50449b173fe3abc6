"""Tests of the task's own, in words: the part of `atlas.story` about brute force and self-tests. Pure."""

from __future__ import annotations

from atlas.commands import (
    AnyCommand,
    CheckBruteForce,
    EnterBruteForce,
    MakeSelfTests,
    RunSelfTests,
    WriteBruteForce,
)
from atlas.contracts import Execution, SelfTest
from atlas.events import AnyEvent, BruteForceChecked, BruteForceWritten, SelfTestsMade, SelfTestsRun
from atlas.story_words import Told, count, printable

LONGEST = 60


def self_testing(event: AnyEvent) -> Told | None:
    """Tell an event of self-tests; None for any other."""
    match event:
        case BruteForceWritten(program=name):
            return f"{name} written: slow and simple", "plain", ()
        case BruteForceChecked(program=name, execution=ran):
            good = ran.all_passed
            use = "" if good else ": it is of no use"
            return f"{name} {_passes(ran, 'public example')}{use}", "plain" if good else "bad", ()
        case SelfTestsMade(tests=tests, inputs=inputs):
            said = f"{count(len(tests), 'self-test')} from {count(inputs, 'input')}, by agreement"
            return said, "plain", [_made(number, test) for number, test in enumerate(tests, 1)]
        case SelfTestsRun(candidate=name, execution=ran):
            return f"{name} {_passes(ran, 'self-test')}", "plain", ()
    return None


def self_testing_now(command: AnyCommand) -> str:
    """Say what is being worked on; nothing for a command of another kind."""
    match command:
        case WriteBruteForce(index=index):
            return f"writing brute-force program b{index}"
        case CheckBruteForce(program=name):
            return f"running {name} on the public examples"
        case MakeSelfTests():
            return "making self-tests"
        case EnterBruteForce(program=name):
            return f"making {name} a candidate"
        case RunSelfTests(candidate=name):
            return f"running {name} on the self-tests"
    return ""


def _passes(ran: Execution, what: str) -> str:
    return f"passes {ran.passed} of {count(ran.total, what)} ({ran.seconds:.1f} s)"


def _made(number: int, test: SelfTest) -> str:
    against = f", {test.against} against" if test.against else ""
    given = f"{printable(test.input, LONGEST)} gives {printable(test.output, LONGEST)}"
    return f"{number}. {given} (by {', '.join(test.agreed)}{against})"
