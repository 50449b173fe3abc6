"""Easy tasks, after the first fourteen: one loop each, with one thing to be careful about."""

from __future__ import annotations

from benchmark.datasets.bundled.specs.spec import Spec

EASY = (
    Spec(
        id="oven_clock",
        title="Oven Clock",
        difficulty="easy",
        statement="""\
The clock of an oven shows the time as HH:MM, from 00:00 to 23:59. It has two buttons:

Button H adds one hour and leaves the minutes as they are. From hour 23 it goes on to hour 00.
Button M adds one minute and leaves the hours as they are. From minute 59 it goes on to minute 00 of the \
same hour.

The clock shows one time and should show another. Print how often the two buttons must be pressed in all, at \
least.

Input

One line with two times, separated by a space: the time shown and the time wanted. Hours and minutes always \
have two digits.

Output

Print one integer: the smallest number of presses.

Constraints

00:00 <= time <= 23:59""",
        public=("07:30 09:45\n", "22:50 01:10\n", "12:00 12:00\n"),
    ),
    Spec(
        id="second_helping",
        title="Second Helping",
        difficulty="easy",
        method="secondHelping(self, visits: List[str]) -> List[str]",
        statement="""\
A canteen writes down the name of each guest who comes to the counter, in order, in the list visits. Guests \
with the same name are the same person.

Return the names of the guests who came at least twice, each name once, in the order in which these guests \
came for the second time. If nobody came twice, return an empty list.

Constraints:

0 <= visits.length <= 2000
1 <= visits[i].length <= 10
visits[i] contains only small English letters.""",
        public=('["ann", "bob", "bob", "ann", "cy", "ann"]', '["dora", "emil"]'),
    ),
    Spec(
        id="painted_planks",
        title="Painted Planks",
        difficulty="easy",
        statement="""\
A fence has n planks, numbered from 1 to n, none of them painted. Each of m helpers starts at plank a, walks \
straight along the fence to plank b, and paints every plank on the way, also plank a and plank b. A helper \
can walk in either direction, and a plank can be painted several times.

Print how many planks are not painted at the end.

Input

The first line contains two integers n and m.
Each of the next m lines contains two integers a and b: where a helper starts and stops.

Output

Print one integer: the number of planks without paint.

Constraints

1 <= n <= 1000
1 <= m <= 100
1 <= a, b <= n""",
        public=("10 2\n2 4\n8 7\n", "5 3\n1 3\n2 2\n3 5\n", "4 1\n3 3\n"),
    ),
    Spec(
        id="sticky_keys",
        title="Sticky Keys",
        difficulty="easy",
        method="stickyKeys(self, typed: str, most: int) -> str",
        statement="""\
The keys of an old keyboard stick: one press can type the same letter many times in a row.

A run is a group of equal letters side by side that cannot be made longer to the left or to the right. Clean \
the string typed: every run that is longer than most letters is cut down to exactly most letters, and every \
other run stays as it is. Small and capital letters are different letters.

Return the cleaned string.

Constraints:

0 <= typed.length <= 5000
1 <= most <= 10
typed contains only English letters.""",
        public=('"heeeellooo"\n2', '"abcabc"\n1', '"Ooops"\n1'),
    ),
    Spec(
        id="chess_club",
        title="Chess Club",
        difficulty="easy",
        statement="""\
A chess club plays n games. Each game is between two different players, first and second, and ends in one of \
three ways:

1-0: first wins and gets 2 points, second gets 0.
0-1: second wins and gets 2 points, first gets 0.
draw: both get 1 point.

The champion is the player with the most points. If several players have the most points, the champion is \
the one of them whose name comes first in the alphabet.

Print the name of the champion and the champion's points.

Input

The first line contains one integer n.
Each of the next n lines contains three words: the name of the first player, the name of the second player, \
and the result.

Output

Print the name and the points on one line, separated by a space.

Constraints

1 <= n <= 1000
A name has between 1 and 10 small English letters.""",
        public=(
            "4\nmia leo 1-0\nleo zoe 1-0\nzoe mia draw\nana mia 1-0\n",
            "1\npaul olga draw\n",
            "2\nkim lars 0-1\nlars kim 0-1\n",
        ),
    ),
)
