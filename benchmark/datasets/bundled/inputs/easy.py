"""Inputs of the easy tasks after the first fourteen."""

from __future__ import annotations

import random

from benchmark.datasets.bundled.inputs.forms import Generator, Inputs, call, ints, lines, word

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _oven_clock(rng: random.Random) -> Inputs:
    cases = [
        "00:00 23:59",
        "23:59 00:00",
        "10:59 10:00",
        "10:00 10:59",
        "09:08 08:09",
        "18:20 17:20",
        "00:00 00:00",
        "05:31 05:30",
    ]
    for _ in range(6):
        h1, h2 = ints(rng, 2, 0, 23)
        m1, m2 = ints(rng, 2, 0, 59)
        cases.append(f"{h1:02}:{m1:02} {h2:02}:{m2:02}")
    return [lines(c) for c in cases]


def _second_helping(rng: random.Random) -> Inputs:
    cases = [
        [],
        ["a"],
        ["a", "a"],
        ["a", "a", "a", "a"],
        ["a", "b", "c", "c", "b", "a"],
        ["x", "y", "x", "y", "x", "y"],
        ["p", "q", "r", "q", "q", "p", "q"],
        ["abcdefghij", "abcdefghi", "abcdefghij"],
    ]
    for n, names in ((12, 5), (80, 50), (2000, 700)):
        guests = [word(rng, rng.randint(1, 10), LETTERS) for _ in range(names)]
        cases.append([rng.choice(guests) for _ in range(n)])
    return [call(c) for c in cases]


def _painted_planks(rng: random.Random) -> Inputs:
    cases: list[tuple[int, list[tuple[int, int]]]] = [
        (1, [(1, 1)]),
        (2, [(2, 2)]),
        (2, [(2, 1)]),
        (9, [(9, 1)]),
        (1000, [(1, 1000), (1000, 1)]),
        (1000, [(1000, 1000)]),
        (12, [(6, 3), (3, 6), (5, 8), (8, 5)]),
        (20, [(1, 5), (20, 16), (7, 7)]),
    ]
    for n, m, walk in ((15, 3, 5), (100, 12, 9), (1000, 100, 15)):
        starts = ints(rng, m, 1, n)
        cases.append((n, [(a, min(n, max(1, a + rng.randint(-walk, walk)))) for a in starts]))
    return [lines([n, len(walks)], *walks) for n, walks in cases]


def _sticky_keys(rng: random.Random) -> Inputs:
    cases = [
        ("", 1),
        ("z", 10),
        ("aaaaaaaaaaa", 10),
        ("aaaaaaaaaa", 10),
        ("aaaa", 1),
        ("aAaAAAaaa", 2),
        ("abababab", 1),
        ("aabaacaa", 2),
        ("xxxyxxxyxxx", 3),
    ]
    for runs, longest, most in ((8, 5, 2), (60, 12, 4), (700, 13, 9)):
        cases.append(("".join(rng.choice("abcABC") * rng.randint(1, longest) for _ in range(runs)), most))
    return [call(*c) for c in cases]


def _chess_club(rng: random.Random) -> Inputs:
    cases = [
        ["b a draw"],
        ["b a 0-1"],
        ["b a 1-0"],
        ["c b draw", "b a draw", "a c draw"],
        ["zed abe 1-0", "bob zed 1-0"],
        ["d c 1-0", "b a 1-0", "a d draw", "c b draw"],
        ["ab abc draw", "abc aa draw", "aa ab draw"],
        ["low high 0-1"] * 6 + ["mid low draw"] * 12,
    ]
    for n, players in ((10, 4), (100, 30), (1000, 400)):
        names = sorted({word(rng, rng.randint(3, 10), LETTERS) for _ in range(players)})
        pairs = (rng.sample(names, 2) for _ in range(n))
        cases.append([f"{a} {b} {rng.choice(('1-0', '0-1', 'draw'))}" for a, b in pairs])
    return [lines([len(games)], *games) for games in cases]


EASY: dict[str, Generator] = {
    "oven_clock": _oven_clock,
    "second_helping": _second_helping,
    "painted_planks": _painted_planks,
    "sticky_keys": _sticky_keys,
    "chess_club": _chess_club,
}
