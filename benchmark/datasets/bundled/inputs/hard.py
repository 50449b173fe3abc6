"""Inputs of the hard tasks after the first fourteen."""

from __future__ import annotations

import random

from benchmark.datasets.bundled.inputs.forms import Generator, Inputs, call, ints, lines, word

Festival = tuple[list[list[int]], list[int], int]  # free, need, most


def _scenic_road(rng: random.Random) -> Inputs:
    cases: list[tuple[list[int], list[tuple[int, int]]]] = [
        ([0], [(1, -1), (1, 0), (1, 1)]),
        ([-5], [(1, -100)]),
        ([-4, -2, -9], [(2, -8), (1, -5), (3, -1)]),
        ([5, -5, 5], [(2, -4), (2, -6), (2, 0), (1, -1), (3, -1)]),
        ([1] * 7, [(4, -10), (4, -2), (1, 9), (7, 9), (4, 1)]),
        ([100] * 16, [(16, -100), (1, -100), (8, -100)]),
        ([-1] * 9, [(i, 2) for i in range(1, 10)]),
        ([7, -3] * 8, [(i, -4) for i in range(16, 0, -1)]),
    ]
    for n, q, most in ((6, 12, 9), (50, 100, 20), (777, 900, 100), (20_000, 12_000, 100)):
        # A little more ugly than beautiful, so that the best tour is neither one section nor the whole road.
        changes = [(rng.randint(1, n), rng.randint(-most, most * 9 // 10)) for _ in range(q)]
        cases.append((ints(rng, n, -most, most * 9 // 10), changes))
    return [lines([len(v), len(changes)], v, *changes) for v, changes in cases]


def _festival_shifts(rng: random.Random) -> Inputs:
    cases: list[Festival] = [
        ([[]], [1], 1),
        ([[0]], [0], 5),
        ([[0]], [20], 5),
        ([[0, 1, 2, 3]], [1, 1, 1, 1], 3),
        ([[0], [0], [0]], [2], 1),
        ([[0, 1], [1, 2], [2, 3], [3]], [1, 1, 1, 1], 1),
        ([[1, 0], [1, 2], [2, 1], [2]], [1, 2, 1], 1),
        ([[0, 1, 2], [0, 1, 2], [0], [1]], [1, 1, 2], 2),
    ]
    cases += [_planned(rng, *size) for size in ((6, 4, 1), (40, 20, 3), (100, 30, 4))]
    cases += [_tangled(rng, *size) for size in ((6, 1, 1), (30, 1, 1), (50, 2, 1), (50, 4, 2), (40, 12, 5))]
    # Every helper is free nearly always, and there are more places than helpers can fill.
    always = [rng.sample(range(50), rng.randint(40, 50)) for _ in range(100)]
    return [call(*c) for c in [*cases, (always, ints(rng, 50, 8, 20), 5)]]


def _planned(rng: random.Random, helpers: int, shifts: int, most: int) -> Festival:
    """Places for a plan that gives nearly everybody `most` shifts, and other free shifts to lead astray."""
    need = [0] * shifts
    free = []
    for _ in range(helpers):
        plan = rng.sample(range(shifts), rng.randint(most - 1, most))
        for shift in plan:
            need[shift] += 1
        others = [s for s in range(shifts) if s not in plan]
        free.append(plan + rng.sample(others, min(len(others), rng.choice((0, 1, 2, 2)))))
        rng.shuffle(free[-1])
    for shift in rng.sample(range(shifts), shifts // 4):
        need[shift] += rng.choice((-1, 1, 1))
    return free, [min(20, max(0, n)) for n in need], most


def _tangled(rng: random.Random, shifts: int, trees: int, most: int) -> Festival:
    """Helpers who choose between the two ends of edges of random trees over the shifts.

    The edges of a tree can be given to all of its nodes but one, so who starts badly leaves places open. A
    helper has `most` edges.
    """
    edges = [{i, rng.randrange(i)} for _ in range(trees) for i in range(1, shifts)]
    rng.shuffle(edges)
    free = [sorted(set().union(*edges[i : i + most])) for i in range(0, len(edges), most)]
    for shifts_of_one in free:
        rng.shuffle(shifts_of_one)
    return free, [trees + rng.choice((0, 0, 0, 1, -1)) for _ in range(shifts)], most


def _village_wells(rng: random.Random) -> Inputs:
    def tree(n: int, back: int) -> list[tuple[int, int]]:
        """Each village hangs on one of the `back` before it: 1 makes a chain, n - 1 a bush. Renumbered."""
        names = list(range(1, n + 1))
        rng.shuffle(names)
        roads = [(names[i], names[rng.randint(max(0, i - back), i - 1)]) for i in range(1, n)]
        rng.shuffle(roads)
        return roads

    cases: list[tuple[list[int], list[tuple[int, int]]]] = [
        ([1000], []),
        ([5, 5], [(2, 1)]),
        ([9, 1, 9], [(1, 2), (2, 3)]),
        ([3, 10, 3], [(1, 2), (2, 3)]),
        ([1, 9, 9, 1], [(1, 2), (2, 3), (3, 4)]),
        ([100, 1, 1, 1, 1], [(1, 2), (1, 3), (1, 4), (1, 5)]),
        ([7, 2, 8, 8, 2, 7], [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]),
    ]
    for n, back in ((9, 3), (30, 2), (200, 199), (1000, 5), (3000, 1), (5000, 4999), (6000, 8)):
        cases.append((ints(rng, n, 1, rng.choice((5, 50, 1000))), tree(n, back)))
    return [lines([len(costs)], costs, *roads) for costs, roads in cases]


def _candle_game(rng: random.Random) -> Inputs:
    cases = [
        (".", 1),
        ("*", 8),
        ("*.*", 1),
        ("****", 1),
        ("**..**", 8),
        ("*********", 8),
        ("***.*****", 2),
        ("*****.***.*", 3),
        ("." * 50, 4),
        ("*" * 400, 8),
    ]
    for n, longest, most in ((25, 6, 2), (120, 20, 3), (2000, 90, 5), (9000, 200, 8), (20_000, 400, 7)):
        row = ""
        while len(row) < n:
            row += "*" * rng.randint(1, longest) + "." * rng.randint(1, 2)
        cases.append((row[:n], most))
    return [call(*c) for c in cases]


def _refrain(rng: random.Random) -> Inputs:
    half = word(rng, 700, "abc")
    twice = word(rng, 9000, "abcdefgh")
    songs = [
        "a",
        "zz",
        "zzz",
        "abcdefghijklmnopqrstuvwxyz",
        "abab",
        "ababa",
        "abcabcabca",
        "aabaabaaab",
        "xyzqxyz",
        word(rng, 30, "ab"),
        word(rng, 500, "ab"),
        half + "d" + half,
        word(rng, 5, "ab") * 300,
        "a" * 19_999,
        word(rng, 800, "pq") + twice + word(rng, 1200, "pq") + twice,
    ]
    return [lines(s) for s in songs]


HARD: dict[str, Generator] = {
    "scenic_road": _scenic_road,
    "festival_shifts": _festival_shifts,
    "village_wells": _village_wells,
    "candle_game": _candle_game,
    "refrain": _refrain,
}
