"""Hard tasks, after the first fourteen: trying everything is right and never ends on the largest tests."""

from __future__ import annotations

from benchmark.datasets.bundled.specs.spec import Spec

HARD = (
    Spec(
        id="scenic_road",
        title="Scenic Road",
        difficulty="hard",
        statement="""\
A road consists of n sections in a row, numbered from 1 to n. Section i has a beauty v_i, which is negative \
where the road is ugly. A tour is a group of one or more consecutive sections, and its worth is the sum of \
their beauties.

The beauty of the sections changes over time: there are q changes, one after the other. The change "i x" \
sets the beauty of section i to x, and it stays so until section i is changed again.

After each change, print the worth of the best tour at that time.

Input

The first line contains two integers n and q.
The second line contains n integers v_1, ..., v_n: the beauties at the start.
Each of the next q lines contains two integers i and x.

Output

Print q lines: after each change, the largest worth of a tour.

Constraints

1 <= n <= 20000
1 <= q <= 12000
1 <= i <= n
-100 <= v_i, x <= 100

A solution that looks at the whole road after every change is too slow for the largest tests.""",
        public=("5 3\n3 -9 4 -1 2\n2 0\n3 -5\n1 -6\n", "2 3\n-3 -7\n1 -8\n2 -8\n1 5\n"),
    ),
    Spec(
        id="festival_shifts",
        title="Festival Shifts",
        difficulty="hard",
        method="festivalShifts(self, free: List[List[int]], need: List[int], most: int) -> int",
        statement="""\
A festival needs helpers for its shifts, which are numbered from 0. For shift j there are need[j] places. \
Helper i can only work in the shifts listed in free[i]; the list may be empty. A helper takes at most one \
place in a shift, and at most most places in all. All shifts are at different times.

Return the largest number of places that can be filled in all shifts together.

Constraints:

1 <= free.length <= 100
1 <= need.length <= 50
0 <= need[j] <= 20
1 <= most <= 5
0 <= free[i][j] < need.length
The numbers in free[i] are all different.""",
        public=("[[0, 1], [0]]\n[1, 1]\n1", "[[0, 1, 2], [2, 1], [1]]\n[2, 1, 1]\n2", "[[], [0]]\n[3]\n5"),
    ),
    Spec(
        id="village_wells",
        title="Village Wells",
        difficulty="hard",
        statement="""\
There are n villages, numbered from 1 to n, and n - 1 roads between them. Each road connects two villages, \
and from every village one can get to every other one by road.

Wells are to be dug in some of the villages. A well in village i costs c_i coins. In the end each village \
must have a well of its own, or there must be a well in at least one village that is connected with it by a \
single road.

Print the smallest possible total cost of the wells.

Input

The first line contains one integer n.
The second line contains n integers c_1, ..., c_n.
Each of the next n - 1 lines contains two integers a and b: a road between the villages a and b.

Output

Print one integer: the smallest total cost.

Constraints

1 <= n <= 6000
1 <= c_i <= 1000
1 <= a, b <= n""",
        public=(
            "5\n9 2 9 9 3\n1 2\n2 3\n3 4\n4 5\n",
            "4\n10 4 4 4\n1 2\n1 3\n1 4\n",
            "1\n6\n",
        ),
    ),
    Spec(
        id="candle_game",
        title="Candle Game",
        difficulty="hard",
        method="candleGame(self, row: str, most: int) -> int",
        statement="""\
Two players play a game with a row of candles, given as a string: '*' is a burning candle, '.' is one that \
is out. They take turns. In a turn, a player chooses a group of at least 1 and at most most candles that \
stand side by side and all burn, and blows them out. Candles are never lit again and never moved. The player \
who blows out the last burning candle wins.

A first move is a winning move if the player who makes it can then win, whatever the other one does. Two \
moves are different if they blow out different candles.

Return the number of winning first moves. If no candle burns, there are no moves, so return 0.

Constraints:

1 <= row.length <= 20000
1 <= most <= 8
row contains only the characters '*' and '.'.
No more than 400 burning candles stand side by side.""",
        public=('"***"\n2', '"**.*"\n1', '"****.**.*"\n2'),
    ),
    Spec(
        id="refrain",
        title="Refrain",
        difficulty="hard",
        statement="""\
The words of a song are written as one string of small letters, without spaces. A refrain is a string of \
letters that is sung at least twice: it stands in the song at two places that do not overlap. The two places \
may touch.

Print the length of the longest refrain. If there is none, print 0.

Input

One line with the song.

Output

Print one integer: the number of letters in the longest refrain.

Constraints

The song is between 1 and 20000 letters long.

A solution that compares every two places is too slow for the largest tests.""",
        public=("banana\n", "lalalala\n", "song\n"),
    ),
)
