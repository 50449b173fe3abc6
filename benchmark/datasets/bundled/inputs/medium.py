"""Inputs of the medium tasks after the first fourteen."""

from __future__ import annotations

import random

from benchmark.datasets.bundled.inputs.forms import Generator, Inputs, call, ints, lines, word


def _snow_walk(rng: random.Random) -> Inputs:
    cases = [
        ["7"],
        ["00"],
        ["9", "9"],
        ["0#0", "0#0", "0#0"],
        ["00000", "####0", "00000", "0####", "00000"],
        ["0900", "0909", "0900", "0090"],
        ["099", "000", "990"],
        ["0" * 12, "9" * 12, "1" * 12],
    ]
    for r, c, cells in ((5, 7, "0123#"), (20, 30, "0000999#"), (30, 20, "00099##"), (60, 60, "0123456789#")):
        cases.append([word(rng, c, cells) for _ in range(r)])
    cases.append(_snake(rng, 150))
    return [lines([len(grid), len(grid[0])], *_open_ends(grid)) for grid in cases]


def _open_ends(grid: list[str]) -> list[str]:
    """The same village with no wall in the first and the last cell."""
    flat = "".join(grid)
    flat = flat[:-1] + flat[-1].replace("#", "1")
    flat = flat[0].replace("#", "1") + flat[1:]
    width = len(grid[0])
    return [flat[i : i + width] for i in range(0, len(flat), width)]


def _snake(rng: random.Random, side: int) -> list[str]:
    """Free paths to the right and back to the left through deep snow, with holes: long ways round pay."""
    rows = []
    for i in range(side):
        if i % 2 == 0:
            rows.append(word(rng, side, "0000001"))
        else:
            wall = word(rng, side - 1, "999###")
            rows.append(wall + "0" if i % 4 == 1 else "0" + wall)
    return rows


def _roof_views(rng: random.Random) -> Inputs:
    cases = [
        [1],
        [5, 5],
        [1, 1000],
        [1000, 1],
        [4, 4, 4, 4, 5],
        [5, 4, 3, 2, 1],
        [3, 1, 3, 1, 4, 1, 3],
        [2, 9, 2, 9, 2, 9],
    ]
    cases += [ints(rng, n, 1, high) for n, high in ((12, 6), (200, 30), (1000, 1000))]
    # Falling slowly: from nearly every roof one sees to the end.
    cases.append([1000 - i // 30 for i in range(30_000)])
    return [call(c) for c in cases]


def _pancake_kitchen(rng: random.Random) -> Inputs:
    cases: list[tuple[int, list[tuple[int, int]]]] = [
        (1, [(0, 1)]),
        (1, [(1_000_000_000, 1_000_000)]),
        (1_000_000_000, [(1_000_000_000, 1_000_000)]),
        (5, [(0, 4), (1000, 1)]),
        (2, [(3, 9), (9, 3)]),
        (3, [(0, 9), (9, 1), (50, 1)]),
        (7, [(0, 2), (0, 3), (0, 5)]),
        (1_000_000_000, [(0, 1), (999_999_999, 1)]),
    ]
    for n, k, late, longest in ((4, 12, 15, 6), (50, 2000, 300, 40), (300, 10**7, 10**6, 1000)):
        cases.append((k, [(rng.randint(0, late), rng.randint(1, longest)) for _ in range(n)]))
    busy = [(rng.randint(0, 10**9), rng.randint(900_000, 10**6)) for _ in range(2000)]
    return [lines([len(cooks), k], *cooks) for k, cooks in [*cases, (10**9, busy)]]


def _training_plan(rng: random.Random) -> Inputs:
    cases = [
        ([0], [0]),
        ([0], [1000]),
        ([1, 1], [5, 5]),
        ([4, 4, 4], [9, 7, 9]),
        ([4, 1, 4], [0, 9, 0]),
        ([1] * 6, [4, 4, 4, 4, 4, 4]),
        ([2] * 7, [5, 1, 5, 6, 5, 1, 5]),
        ([0] * 9, [3, 9, 3, 3, 9, 3, 8, 9, 8]),
    ]
    for n, most in ((12, 30), (100, 250), (5000, 400)):
        cases.append((ints(rng, n, 0, most), ints(rng, n, most, 5 * most // 2)))
    return [call(*c) for c in cases]


def _choir_leaders(rng: random.Random) -> Inputs:
    cases: list[tuple[list[int], list[str]]] = [
        ([3], ["lead 1"]),
        ([3], ["join 1 1", "lead 1"]),
        ([3, 3], ["join 2 1", "lead 1", "lead 2"]),
        ([1, 2, 3], ["join 1 2", "join 1 3", "lead 1", "lead 2", "lead 3"]),
        ([1, 2, 9, 4], ["join 1 2", "join 2 4", "lead 4", "join 1 3", "lead 4", "join 4 3", "lead 1"]),
        ([5] * 4, ["join 4 3", "lead 4", "join 2 1", "lead 2", "join 4 1", "lead 3"]),
        ([7, 8, 7, 8], ["join 4 1", "lead 1", "join 1 2", "lead 4", "join 3 4", "lead 3"]),
    ]
    for n, q, songs in ((6, 20, 4), (80, 200, 30), (1000, 3000, 100_000), (5000, 6000, 40)):
        singers = range(1, n + 1)
        joins = [f"join {rng.choice(singers)} {rng.choice(singers)}" for _ in range(q * 2 // 3)]
        events = joins + [f"lead {rng.choice(singers)}" for _ in range(q - len(joins))]
        rng.shuffle(events)
        cases.append((ints(rng, n, 1, songs), events))
    return [lines([len(songs), len(events)], songs, *events) for songs, events in cases]


def _knitting_pattern(rng: random.Random) -> Inputs:
    cases = [
        "K",
        "P",
        "((P))",
        "10P",
        "2(2(2(KP)))K",
        "999999999999999K",
        "100(20P3K)4(K)",
        "2(3(K)P)2(K2(P)K)P",
        "(K(P(K(P))))5(6(7P))",
        "K" * 1000,
        "2(" * 49 + "K" + ")" * 49 + "P" * 300,
        "(" * 450 + "3(KP2K)" + ")" * 450,
    ]
    return [call(c) for c in cases] + [call(_pattern(rng, depth, 10**15)[0]) for depth in (2, 4, 6)]


def _pattern(rng: random.Random, depth: int, most: int) -> tuple[str, int]:
    """A random pattern of at most 999 characters and `most` stitches, and how many it has."""
    text, stitches = "", 0
    for _ in range(rng.randint(2, 5)):
        part, size = rng.choice("KP"), 1
        if depth and rng.random() < 0.7:
            inside, size = _pattern(rng, depth - 1, most // 500)
            part = f"({inside})"
        times = rng.choice((1, rng.randint(2, 9), rng.randint(10, 99)))
        if len(text) + len(part) + 2 < 1000 and stitches + size * times <= most:
            text += part if times == 1 else f"{times}{part}"
            stitches += size * times
    return (text, stitches) if text else ("K", 1)


MEDIUM: dict[str, Generator] = {
    "snow_walk": _snow_walk,
    "roof_views": _roof_views,
    "pancake_kitchen": _pancake_kitchen,
    "training_plan": _training_plan,
    "choir_leaders": _choir_leaders,
    "knitting_pattern": _knitting_pattern,
}
