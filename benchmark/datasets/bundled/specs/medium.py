"""Medium tasks, after the first fourteen: each asks for one of the ordinary techniques."""

from __future__ import annotations

from benchmark.datasets.bundled.specs.spec import Spec

MEDIUM = (
    Spec(
        id="snow_walk",
        title="Snow Walk",
        difficulty="medium",
        statement="""\
A village after a night of snow is a grid with r rows and c columns. A cell with a digit d from 0 to 9 has \
snow of that depth, and a cell with '#' is a wall that nobody can enter.

You stand in the top left cell and want to walk to the bottom right cell. One step leads from a cell to the \
next one above, below, to the left or to the right. A step into a cell with snow of depth d takes d + 1 \
minutes. The cell you start in takes no time.

Print the smallest number of minutes the walk can take, or -1 if there is no way.

Input

The first line contains two integers r and c.
Each of the next r lines contains c characters: one row of the village. The top left and the bottom right \
cell are never walls.

Output

Print one integer: the number of minutes, or -1.

Constraints

1 <= r, c <= 150""",
        public=("3 4\n0190\n0#90\n0000\n", "2 2\n0#\n#0\n", "1 3\n925\n"),
    ),
    Spec(
        id="roof_views",
        title="Roof Views",
        difficulty="medium",
        method="roofViews(self, heights: List[int]) -> int",
        statement="""\
Houses stand in a row from west to east, and heights[i] is the height of house i. From the roof of a house \
you look to the east: you see every house up to and including the first one that is higher than the house \
you stand on. Houses behind that one are hidden. A house of equal height hides nothing. If no house to the \
east is higher, you see all houses to the east.

Count for each house how many houses are seen from its roof (the house itself does not count), and return \
the sum of these numbers.

Constraints:

1 <= heights.length <= 30000
1 <= heights[i] <= 1000

A solution that walks from every house to the first higher one is too slow for the largest tests.""",
        public=("[3, 1, 2, 5, 4]", "[2, 2, 2]", "[1, 2, 3, 4]"),
    ),
    Spec(
        id="pancake_kitchen",
        title="Pancake Kitchen",
        difficulty="medium",
        statement="""\
A kitchen has n cooks. Cook i comes into the kitchen at minute s_i and from then on makes one pancake after \
the other, without a break. Each of them takes the cook c_i minutes, so the first is ready at minute \
s_i + c_i, the second at minute s_i + 2 * c_i, and so on.

Print the first minute at which the cooks together have made at least k pancakes. A pancake that is ready at \
a minute counts at that minute; one that is not ready does not count.

Input

The first line contains two integers n and k.
Each of the next n lines contains two integers s_i and c_i.

Output

Print one integer: the minute.

Constraints

1 <= n <= 2000
1 <= k <= 1000000000
0 <= s_i <= 1000000000
1 <= c_i <= 1000000

A solution that makes the pancakes one by one is too slow for the largest tests.""",
        public=("2 4\n0 3\n5 2\n", "1 3\n10 7\n", "3 3\n0 5\n0 5\n0 5\n"),
    ),
    Spec(
        id="training_plan",
        title="Training Plan",
        difficulty="medium",
        method="trainingPlan(self, light: List[int], hard: List[int]) -> int",
        statement="""\
A runner plans the next n days, numbered from 0. On each day she does one of three things:

She rests, which earns no points.
She trains lightly, which earns light[i] points on day i.
She trains hard, which earns hard[i] points on day i. She must rest on the day before a hard training and on \
the day after it. The days before day 0 and after day n - 1 are rest days.

Return the largest number of points she can earn in all.

Constraints:

1 <= n <= 5000
light.length = hard.length = n
0 <= light[i], hard[i] <= 1000""",
        public=("[1, 2, 1, 4]\n[9, 3, 7, 5]", "[5, 5, 5]\n[1, 14, 1]", "[3]\n[2]"),
    ),
    Spec(
        id="choir_leaders",
        title="Choir Leaders",
        difficulty="medium",
        statement="""\
There are n singers, numbered from 1 to n, and singer i knows s_i songs. At the start each singer is a choir \
of one. The leader of a choir is the singer in it who knows the most songs; if several of them know the most \
songs, the one of them with the smallest number.

Then q lines follow, one after the other in time. Each of them is of one of two forms:

join a b: the choir of singer a and the choir of singer b become one choir. If they are in the same choir \
already, nothing happens.
lead a: you are asked for the leader of singer a's choir at this time.

Print the answer to each question.

Input

The first line contains two integers n and q.
The second line contains n integers s_1, ..., s_n.
Each of the next q lines is "join a b" or "lead a". At least one of them is a question.

Output

Print one line for each question: the number of the leader.

Constraints

1 <= n <= 5000
1 <= q <= 6000
1 <= s_i <= 100000
1 <= a, b <= n""",
        public=(
            "4 6\n5 8 8 2\nlead 1\njoin 1 4\nlead 4\njoin 3 4\nlead 1\nlead 2\n",
            "3 5\n7 7 9\njoin 2 1\nlead 2\njoin 1 2\njoin 3 2\nlead 1\n",
        ),
    ),
    Spec(
        id="knitting_pattern",
        title="Knitting Pattern",
        difficulty="medium",
        method="knittingPattern(self, pattern: str) -> List[int]",
        statement="""\
A knitting pattern is written with two kinds of stitches, K (knit) and P (purl). It is a series of one or \
more parts, written without spaces. Each part is one of these:

K or P: one stitch.
A pattern in round brackets, such as (KKP): the stitches of that pattern.
A whole number followed by one of the two above: the same, that many times. So 3K is KKK, 2(KP) is KPKP, and \
2(P3K) is PKKKPKKK.

Brackets can lie inside other brackets, and they always match. A number is at least 2, has no zeros at its \
beginning, and is always followed by K, P or an opening bracket.

Return a list of two integers: how many K stitches and how many P stitches are knitted in all.

Constraints:

1 <= pattern.length <= 1000
pattern contains only the characters K, P, (, ) and digits.
There are at most 10^15 stitches in all, too many to write them out.""",
        public=('"K3P2(KP)"', '"2(P3(KP)K)"', '"12K"'),
    ),
)
