"""The first fourteen tasks. The first eight of them, a fair mix for a small model, are the demo."""

from __future__ import annotations

from benchmark.datasets.bundled.specs.spec import Spec

FIRST = (
    Spec(
        id="loud_words",
        title="Loud Words",
        difficulty="easy",
        method="loudWords(self, text: str) -> int",
        statement="""\
A chat program wants to know how loud a message is.

You are given a string text made of English letters and spaces. A word is a group of letters with no space \
inside it. A word is loud if all of its letters are capital letters (A to Z).

Return the number of loud words in text. There can be several spaces between two words, and there can be \
spaces at the beginning and at the end. If text has no words, return 0.

Constraints:

0 <= text.length <= 1000
text contains only letters and spaces.""",
        public=('"PLEASE stop SHOUTING at me"', '"I am calm"', '"so very   quiet"'),
    ),
    Spec(
        id="tea_orders",
        title="Tea Orders",
        difficulty="easy",
        statement="""\
A tea shop receives n orders. Every cup of tea costs p coins. If an order has 10 or more cups, one cup of \
that order is free, so the customer pays for one cup less. At most one cup is free in each order.

Add up what the customers pay for all orders, and print this one total.

Input

The first line contains two integers n and p: the number of orders and the price of a cup.
The second line contains n integers: the number of cups in each order.

Output

Print one integer: the total number of coins for all orders together.

Constraints

1 <= n <= 1000
1 <= p <= 1000
1 <= number of cups <= 1000""",
        public=("3 5\n2 10 1\n", "1 7\n9\n", "2 3\n25 1\n"),
    ),
    Spec(
        id="quiet_stretch",
        title="Quiet Stretch",
        difficulty="medium",
        method="quietStretch(self, noise: List[int], budget: int) -> int",
        statement="""\
A recorder measured the noise in a forest once per minute: noise[i] is the noise in minute i. A biologist \
wants to cut out one recording made of consecutive minutes whose total noise is at most budget.

Return the largest number of consecutive minutes that such a recording can have. If even a single minute is \
always louder than budget, return 0.

Constraints:

1 <= noise.length <= 20000
0 <= noise[i] <= 10000
0 <= budget <= 10^9

A solution that looks at every pair of start and end is too slow for the largest tests.""",
        public=("[4, 1, 2, 1, 5, 1]\n5", "[3, 0, 0, 3]\n2", "[9, 8, 7]\n6"),
    ),
    Spec(
        id="goal_streak",
        title="Goal Streak",
        difficulty="easy",
        statement="""\
Mina counts her steps every day. Her goal is g steps per day. A streak is a group of days in a row on which \
she made at least g steps on every day.

Given her step counts for n days, print the length of her longest streak. If she never reached her goal, \
print 0.

Input

The first line contains two integers n and g.
The second line contains n integers: the steps of day 1, day 2, ..., day n.

Output

Print one integer: the number of days in the longest streak.

Constraints

1 <= n <= 10000
0 <= g <= 100000
0 <= steps <= 100000""",
        public=(
            "7 5000\n5200 6100 400 5000 7000 9000 4999\n",
            "3 100\n10 20 30\n",
            "4 8000\n8000 8001 9000 8000\n",
        ),
    ),
    Spec(
        id="robot_bumps",
        title="Robot Bumps",
        difficulty="medium",
        statement="""\
A cleaning robot drives through a room that is a grid with r rows and c columns. Rows are numbered from 1 at \
the top, columns from 1 at the left. A cell is either free ('.') or holds furniture ('#'). The robot starts \
in row 1, column 1 (which is always free) and looks to the right.

It follows a string of commands, from left to right:

'L': turn left by 90 degrees, without moving.
'R': turn right by 90 degrees, without moving.
'F': move one cell forward. If the cell in front holds furniture or lies outside the room, the robot does \
not move, and this counts as one bump.

Print where the robot is at the end and how many bumps it had.

Input

The first line contains two integers r and c.
Each of the next r lines contains c characters: one row of the room.
The last line contains the commands, a string of the letters L, R and F.

Output

Print three integers on one line, separated by spaces: the row, the column and the number of bumps.

Constraints

1 <= r, c <= 50
The commands are between 1 and 5000 letters long.""",
        public=("2 3\n..#\n...\nFFRFLF\n", "1 1\n.\nFLF\n", "3 3\n...\n.#.\n...\nRFFLFF\n"),
    ),
    Spec(
        id="coldest_so_far",
        title="Coldest So Far",
        difficulty="easy",
        method="coldestSoFar(self, temperatures: List[int]) -> List[int]",
        statement="""\
A weather station writes down one temperature each day. For every day it also shows the coldest temperature \
seen so far: the smallest of all temperatures from the first day up to and including that day.

Given the list temperatures, return the list of the values shown, one for each day. For an empty list return \
an empty list.

Constraints:

0 <= temperatures.length <= 2000
-100 <= temperatures[i] <= 100""",
        public=("[5, 7, 3, 4, -1]", "[2, 2, 2]"),
    ),
    Spec(
        id="lift_log",
        title="Lift Log",
        difficulty="easy",
        statement="""\
A lift in a tower can stop at the floors 0, 1, 2, ..., t. It starts at floor 0 and makes n moves. Each move \
is an integer: 3 means up by three floors, -2 means down by two floors. If a move would take the lift above \
floor t, it stops at floor t. If a move would take it below floor 0, it stops at floor 0.

Print the floor of the lift after all moves.

Input

The first line contains two integers n and t.
The second line contains n integers: the moves, in order.

Output

Print one integer: the last floor.

Constraints

1 <= n <= 1000
1 <= t <= 200
-200 <= move <= 200""",
        public=("4 10\n3 4 -5 1\n", "3 5\n9 -2 1\n", "3 8\n2 -4 6\n"),
    ),
    Spec(
        id="two_stands",
        title="Two Food Stands",
        difficulty="medium",
        method="twoStands(self, sales: List[int], gap: int) -> int",
        statement="""\
A street has places for food stands in a row, numbered from 0. A stand at place i earns sales[i] coins (this \
can be negative: the stand makes a loss). You must open exactly two stands, and they may not be too close: \
if they are at places i and j with i < j, then j - i must be at least gap.

Return the largest possible sum sales[i] + sales[j].

Constraints:

2 <= sales.length <= 20000
-1000 <= sales[i] <= 1000
1 <= gap <= sales.length - 1

A solution that tries every pair of places is too slow for the largest tests.""",
        public=("[8, 9, 1, 4, 2]\n2", "[5, 3]\n1", "[-4, -2, -7, -1]\n2"),
    ),
    Spec(
        id="name_tags",
        title="Name Tags",
        difficulty="easy",
        method="nameTags(self, names: List[str], width: int) -> List[str]",
        statement="""\
A printer makes name tags that are exactly width characters wide.

For each name: if it is longer than width, only its first width characters are printed. If it is shorter \
than width, dots ('.') are added at its end until it has width characters.

Return the list of printed tags, in the order of names.

Constraints:

0 <= names.length <= 100
1 <= names[i].length <= 50
1 <= width <= 50
names[i] contains only English letters.""",
        public=('["Ada", "Margaret", "Linus"]\n5', '["Bo"]\n1'),
    ),
    Spec(
        id="parcel_lockers",
        title="Parcel Lockers",
        difficulty="medium",
        statement="""\
A station has m lockers, numbered from 1 to m, all empty at the start. Then n parcels arrive. Parcel i \
arrives at minute a and will be picked up at minute p. It occupies its locker from minute a on, and at \
minute p the locker is free again (also for a parcel that arrives in that same minute p).

Each parcel is put into the free locker with the smallest number. If no locker is free when it arrives, the \
parcel is sent back and uses no locker.

Print for each parcel the number of its locker, or -1 if it is sent back.

Input

The first line contains two integers m and n.
Each of the next n lines contains two integers a and p. The parcels are given in the order in which they \
arrive, so a never decreases; parcels with the same a arrive in the given order.

Output

Print n lines: the locker number of each parcel, or -1.

Constraints

1 <= m <= 100
1 <= n <= 2000
0 <= a < p <= 1000000""",
        public=("2 4\n0 5\n1 3\n2 4\n3 9\n", "1 3\n0 2\n2 3\n2 8\n"),
    ),
    Spec(
        id="packing_list",
        title="Packing List",
        difficulty="medium",
        statement="""\
An expedition packs things into each other: a crate holds boxes, a box holds bags, and so on. The packing \
list has n lines. Each line describes one thing by its depth d and its own weight w, without what is inside \
it.

A thing of depth 0 stands on the floor. A thing of depth d > 0 lies inside the nearest thing above it in the \
list that has depth d - 1. The list is always valid: the first line has depth 0, and the depth grows by at \
most 1 from one line to the next.

For every thing, print its full weight: its own weight plus the weight of everything inside it, directly or \
inside other things.

Input

The first line contains one integer n.
Each of the next n lines contains two integers d and w.

Output

Print n lines: the full weights, in the order of the list.

Constraints

1 <= n <= 5000
0 <= d <= 200
0 <= w <= 1000000""",
        public=("5\n0 10\n1 3\n2 4\n1 1\n0 7\n", "3\n0 1\n1 1\n2 1\n"),
    ),
    Spec(
        id="hanging_pictures",
        title="Hanging Pictures",
        difficulty="hard",
        method="hangingPictures(self, heights: List[int], most: int, fee: int) -> int",
        statement="""\
A gallery hangs its pictures on rails. The pictures have a fixed order, and heights[i] is the height of \
picture i. Each rail carries a group of consecutive pictures: at least one and at most most of them. Every \
picture must hang on exactly one rail.

A rail costs fee coins, plus the difference between the largest and the smallest height of the pictures on \
it, multiplied by the number of pictures on it.

Return the smallest possible total cost of all rails.

Constraints:

1 <= heights.length <= 3000
1 <= most <= 60
1 <= heights[i] <= 10000
0 <= fee <= 100000""",
        public=("[10, 11, 30, 31, 10]\n3\n5", "[4, 4, 4]\n2\n10", "[1, 100]\n2\n50"),
    ),
    Spec(
        id="night_bus",
        title="Night Bus Voucher",
        difficulty="hard",
        statement="""\
A region has n towns, numbered from 1 to n, and m night bus lines. Each line connects two different towns a \
and b, runs in both directions, and a ride on it costs w coins. There can be several lines between two towns.

You travel from town 1 to town n, and you have one voucher. It can be used for at most one ride of the \
journey, and makes that ride cost half the price, rounded down.

Print the smallest possible total cost of the journey, or -1 if town n cannot be reached.

Input

The first line contains two integers n and m.
Each of the next m lines contains three integers a, b and w.

Output

Print one integer: the smallest cost, or -1.

Constraints

2 <= n <= 4000
0 <= m <= 10000
1 <= w <= 1000000""",
        public=("4 4\n1 2 4\n2 4 4\n1 3 1\n3 4 8\n", "3 1\n1 2 5\n", "2 2\n1 2 9\n2 1 10\n"),
    ),
    Spec(
        id="workshop_order",
        title="Workshop Order",
        difficulty="hard",
        statement="""\
A workshop has n different jobs to do, one after the other, in an order that it may choose freely. Job j \
takes b_j minutes if it is done first. Experience helps: every job i that was done earlier makes job j \
shorter by s_ij minutes. But a job never takes less than 1 minute, however much experience there is.

So if the jobs done before job j form the set D, job j takes max(1, b_j - (sum of s_ij over all i in D)) \
minutes.

Print the smallest total number of minutes in which all jobs can be done.

Input

The first line contains one integer n.
The second line contains n integers b_1, ..., b_n.
Each of the next n lines contains n integers: line i holds s_i1, ..., s_in. The value s_ii is always 0.

Output

Print one integer: the smallest total time.

Constraints

1 <= n <= 14
1 <= b_j <= 1000
0 <= s_ij <= 1000""",
        public=("2\n10 10\n0 3\n8 0\n", "3\n5 5 5\n0 9 0\n0 0 9\n9 0 0\n", "1\n7\n0\n"),
    ),
)
