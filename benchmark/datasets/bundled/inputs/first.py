"""Inputs of the first fourteen tasks."""

from __future__ import annotations

import random
from itertools import pairwise

from benchmark.datasets.bundled.inputs.forms import Generator, Inputs, call, ints, lines, word


def _loud_words(rng: random.Random) -> Inputs:
    out = [call(t) for t in ("", "   ", "A", "a", "  HELLO  World ", "ABc aBC ABC", "I SAID NO", "x Y z W")]
    for words in (10, 60, 150):
        parts = [word(rng, rng.randint(1, 4), rng.choice(("ABXYZ", "abxyz", "ABXYZa"))) for _ in range(words)]
        out.append(call("".join(p + " " * rng.randint(1, 2) for p in parts)))
    return out


def _tea_orders(rng: random.Random) -> Inputs:
    cases = [
        (1, [1]),
        (1000, [1000]),
        (6, [10]),
        (6, [9]),
        (6, [11]),
        (2, [20, 10, 100]),
        (1, [10] * 5),
    ]
    cases += [(rng.randint(1, 50), ints(rng, n, 1, 15)) for n in (5, 30, 200)]
    cases.append((997, ints(rng, 1000, 1, 1000)))
    return [lines([len(cups), p], cups) for p, cups in cases]


def _quiet_stretch(rng: random.Random) -> Inputs:
    cases = [
        ([0], 0),
        ([1], 0),
        ([10], 10),
        ([0, 0, 5, 0, 0, 0], 0),
        ([5, 1, 1, 1, 1, 5], 4),
        ([1, 2, 3, 4, 5], 1_000_000_000),
        ([2, 9, 2, 2, 9, 2, 2, 2], 6),
        ([7, 7, 7, 7], 6),
    ]
    cases += [(ints(rng, n, 0, high), rng.randint(high, 6 * high)) for n, high in ((12, 9), (40, 20))]
    cases.append((ints(rng, 500, 0, 1000), 20_000))
    cases.append((ints(rng, 20_000, 0, 9), 60_000))  # windows of some 13000: every pair is hopeless
    return [call(*c) for c in cases]


def _goal_streak(rng: random.Random) -> Inputs:
    cases: list[tuple[int, list[int]]] = [
        (0, [0]),
        (1, [0]),
        (5, [5]),
        (10, [10, 9, 10, 10, 9, 10, 10, 10]),
        (10, [10, 10, 10, 9, 10]),
        (3, [1, 3, 3, 1]),
        (100_000, [100_000, 99_999]),
        (0, [0, 0, 0]),
    ]
    cases += [(rng.randint(2, 8), ints(rng, n, 0, 10)) for n in (15, 80)]
    cases.append((30_000, ints(rng, 6000, 0, 100_000)))
    return [lines([len(steps), g], steps) for g, steps in cases]


def _robot_bumps(rng: random.Random) -> Inputs:
    cases: list[tuple[list[str], str]] = [
        (["."], "F"),
        (["."], "LRLR"),
        (["..."], "FFFF"),
        ([".", ".", "."], "RFFFLF"),
        ([".#", "#."], "FRFLLF"),
        (["..", ".."], "FRFRFRFRF"),
        (["....", ".##.", "...."], "RFFLFFFLFFLFFF"),
    ]
    for r, c, n in ((4, 5, 40), (10, 8, 300), (50, 50, 5000)):
        grid = ["".join(rng.choice("....#") for _ in range(c)) for _ in range(r)]
        grid[0] = "." + grid[0][1:]
        cases.append((grid, word(rng, n, "FFFLR")))
    return [lines([len(grid), len(grid[0])], *grid, commands) for grid, commands in cases]


def _coldest_so_far(rng: random.Random) -> Inputs:
    cases = [[], [0], [-100], [100, 99, 98], [1, 2, 3], [0, -1, 0, -2, 5], [3, 3, 1, 1, 2], [-5, -5, -6]]
    cases += [ints(rng, n, -100, 100) for n in (10, 50)]
    # Slowly falling, so that the answer keeps changing.
    cases.append([max(-100, 90 - i // 10 + rng.randint(0, 9)) for i in range(2000)])
    return [call(c) for c in cases]


def _lift_log(rng: random.Random) -> Inputs:
    cases = [
        (1, [1]),
        (1, [-1]),
        (5, [5, -5]),
        (5, [200, -1]),
        (10, [-3, 2]),
        (200, [200, -200, 100]),
        (7, [4, -6, 3]),
        (3, [0, 0]),
    ]
    cases += [(t, ints(rng, n, -k, k)) for t, n, k in ((10, 20, 6), (50, 100, 30), (200, 1000, 90))]
    return [lines([len(moves), t], moves) for t, moves in cases]


def _two_stands(rng: random.Random) -> Inputs:
    cases = [
        ([1, 2], 1),
        ([-1, -2], 1),
        ([9, 9, 1, 1], 3),
        ([9, 9, 9], 2),
        ([-5, 10, 10, -6], 3),
        ([0, 0, 0, 0], 1),
        ([1, 5, 6, 7, 2], 1),
        ([7, -1, 3, 8, -9, 2], 4),
    ]
    cases += [(ints(rng, n, -20, 20), rng.randint(1, n - 1)) for n in (10, 60)]
    cases.append((ints(rng, 700, -1000, 1000), 350))
    # Ends low and middle high, so that the gap matters in a list that is too long for all pairs.
    cases.append(([rng.randint(-1000, 0) + min(i, 20_000 - i) // 10 for i in range(20_000)], 1_500))
    return [call(*c) for c in cases]


def _name_tags(rng: random.Random) -> Inputs:
    cases: list[tuple[list[str], int]] = [
        ([], 3),
        (["a"], 1),
        (["abc"], 3),
        (["abc"], 2),
        (["abc"], 4),
        (["x", "xy", "xyz"], 2),
        (["Z" * 50], 50),
        (["Q"], 50),
    ]
    for n, width in ((5, 4), (30, 10), (100, 25)):
        cases.append(([word(rng, rng.randint(1, 2 * width), "abcdeXYZ") for _ in range(n)], width))
    return [call(*c) for c in cases]


def _parcel_lockers(rng: random.Random) -> Inputs:
    cases: list[tuple[int, list[tuple[int, int]]]] = [
        (1, [(0, 1)]),
        (1, [(0, 10), (5, 6), (9, 12), (10, 11)]),
        (3, [(0, 9), (0, 9), (0, 9), (0, 9)]),
        (3, [(0, 9), (0, 2), (0, 9), (2, 5), (2, 4), (5, 6)]),
        (2, [(0, 3), (1, 3), (3, 4), (3, 4), (3, 4)]),
        (100, [(i, 1_000_000) for i in range(5)]),
        (2, [(0, 100), (1, 2), (2, 3), (3, 4), (4, 200), (100, 101)]),
    ]
    for m, n, span, stay in ((3, 30, 60, 8), (10, 300, 900, 40), (100, 2000, 20_000, 1_400)):
        arrivals = sorted(ints(rng, n, 0, span))
        cases.append((m, [(a, a + rng.randint(1, stay)) for a in arrivals]))
    return [lines([m, len(parcels)], *parcels) for m, parcels in cases]


def _packing_list(rng: random.Random) -> Inputs:
    cases: list[list[tuple[int, int]]] = [
        [(0, 0)],
        [(0, 5), (0, 6), (0, 7)],
        [(0, 1), (1, 2), (1, 3), (1, 4)],
        [(0, 1), (1, 2), (2, 3), (1, 4), (2, 5), (0, 6), (1, 7)],
        [(0, 0), (1, 0), (2, 9), (3, 0), (1, 1)],
        [(d, 1_000_000) for d in range(201)],
        [(0, 3), (1, 3), (2, 3), (3, 3), (0, 3), (1, 3)],
    ]
    for n, deepest in ((12, 3), (200, 12), (5000, 200)):
        things = [(0, rng.randint(0, 1000))]
        while len(things) < n:
            depth = min(things[-1][0] + 1, deepest) if rng.random() < 0.6 else rng.randint(0, things[-1][0])
            things.append((depth, rng.randint(0, 1000)))
        cases.append(things)
    return [lines([len(things)], *things) for things in cases]


def _hanging_pictures(rng: random.Random) -> Inputs:
    cases = [
        ([7], 1, 0),
        ([7], 60, 100_000),
        ([1, 2, 3, 4], 1, 5),
        ([1, 2, 3, 4], 4, 0),
        ([5, 5, 5, 5, 5], 2, 3),
        ([1, 1, 9, 9, 1, 1], 6, 20),
        ([1, 1, 9, 9, 1, 1], 6, 2),
        ([3, 8, 3, 8, 3, 8], 3, 12),
    ]
    cases += [(ints(rng, n, 1, 30), most, fee) for n, most, fee in ((10, 4, 25), (18, 6, 40), (60, 60, 200))]
    cases.append((ints(rng, 3000, 1, 10_000), 60, 60_000))
    return [call(*c) for c in cases]


def _night_bus(rng: random.Random) -> Inputs:
    cases: list[tuple[int, list[tuple[int, int, int]]]] = [
        (2, []),
        (2, [(2, 1, 1)]),
        (2, [(1, 2, 7), (1, 2, 8)]),
        (3, [(1, 2, 5), (2, 3, 5), (1, 3, 19)]),
        (3, [(1, 2, 5), (2, 3, 5), (1, 3, 13)]),
        (5, [(1, 2, 2), (2, 3, 2), (3, 5, 2), (1, 4, 1), (4, 5, 9)]),
        (4, [(1, 2, 3), (3, 4, 3)]),
        (4, [(1, 2, 1_000_000), (2, 3, 1_000_000), (3, 4, 1_000_000)]),
    ]
    for n, m in ((8, 14), (60, 150), (4000, 10_000)):
        order = list(range(2, n))
        rng.shuffle(order)
        path = [1, *order, n]
        step = 1 + 2000 // n
        # A cheap long path through all towns, shuffled, plus dearer short cuts: many rides, many relaxations.
        rides = [(a, b, rng.randint(step, 4 * step)) for a, b in pairwise(path)]
        while len(rides) < m:
            i = rng.randrange(n - 1)
            j = min(n - 1, i + rng.randint(2, 40))
            if i < j:
                rides.append((path[i], path[j], rng.randint(2, 5) * step * (j - i)))
        rng.shuffle(rides)
        cases.append((n, rides))
    return [lines([n, len(rides)], *rides) for n, rides in cases]


def _workshop_order(rng: random.Random) -> Inputs:
    def case(n: int, longest: int, saving: int) -> str:
        rows = [[0 if i == j else rng.randint(0, saving) for j in range(n)] for i in range(n)]
        return lines([n], ints(rng, n, 1, longest), *rows)

    sizes = ((2, 9, 9), (3, 20, 10), (4, 10, 30), (6, 50, 12), (8, 100, 20), (10, 1000, 150), (13, 300, 40))
    out = [
        lines([1], [1000], [0]),
        lines([2], [1, 1], [0, 1000], [1000, 0]),
        lines([3], [6, 6, 6], *[[0, 0, 0]] * 3),
    ]
    return out + [case(*size) for size in (*sizes, (14, 1000, 130), (14, 1000, 1000))]


FIRST: dict[str, Generator] = {
    "loud_words": _loud_words,
    "tea_orders": _tea_orders,
    "quiet_stretch": _quiet_stretch,
    "goal_streak": _goal_streak,
    "robot_bumps": _robot_bumps,
    "coldest_so_far": _coldest_so_far,
    "lift_log": _lift_log,
    "two_stands": _two_stands,
    "name_tags": _name_tags,
    "parcel_lockers": _parcel_lockers,
    "packing_list": _packing_list,
    "hanging_pictures": _hanging_pictures,
    "night_bus": _night_bus,
    "workshop_order": _workshop_order,
}
