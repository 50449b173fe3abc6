"""`python -m benchmark.lens_training POOL`, which `atlas lens train` starts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from atlas.lens.table import SHIPPED
from atlas.lens.vectors import SPAN_PARTS
from benchmark.command import COMPLETE, carry_out, whole
from benchmark.lens_training.card_text import markdown
from benchmark.lens_training.training import Asked, Result
from benchmark.lens_training.training import carry_out as train

EXAMPLES = """examples:
  atlas lens train data/pools/train --features surface
  atlas lens train data/pools/train --report data/pools/report --features span --not-in splits.json#report
  atlas lens train data/pools/train --features span --parts mean,last --out data/lens

A pool is what benchmark.deep_pool recorded, its programs graded by benchmark.regrade (its grades.jsonl is the
file of labels); for `span` with the patched llama-server. docs/LENS.md goes through it.
exit codes: 0 the weights are written; 1 could not run; 2 wrong arguments; 130 interrupted"""


def parse(argv: Sequence[str] | None) -> tuple[Asked, bool]:
    """Read the arguments: what to train, and whether to print JSON."""
    parser = argparse.ArgumentParser(
        prog="atlas lens train",
        description="Train an energy on recorded pools; writes weights, model card and learning curve.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("pools", nargs="+", type=Path, metavar="POOL", help="a pool to train on")
    told = "a pool to measure on; its tasks are no others'"
    add("--report", action="append", default=[], type=Path, metavar="POOL", help=told)
    add("--features", choices=("span", "surface"), default="surface", help="the feature set [surface]")
    told = f"of a span, concatenated [{','.join(SPAN_PARTS)}]"
    add("--parts", default=",".join(SPAN_PARTS), metavar="P,P", help=told)
    add("--not-in", action="append", default=[], metavar="FILE[#KEY]", help="refuse tasks with these ids")
    add("--out", type=Path, default=Path("data/lens"), metavar="DIR", help="where to write [data/lens]")
    add("--ship", action="store_true", help="write to where those that ship with ATLAS are")
    add("--name", metavar="NAME", help="of the files [MODEL-FEATURES]")
    add("--seed", type=whole(0, 2**31 - 1), default=0, metavar="S", help="of folds and first weights [0]")
    add("--no-curve", action="store_true", help="without the learning curve, which takes most of the time")
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    options = parser.parse_args(argv)
    parts = tuple(options.parts.split(","))
    if strange := [part for part in parts if part not in SPAN_PARTS] or len(set(parts)) < len(parts):
        parser.error(f"--parts: each of {', '.join(SPAN_PARTS)} at most once, not {strange}")
    asked = Asked(
        pools=tuple(options.pools),
        report=tuple(options.report),
        kind=options.features,
        out=SHIPPED if options.ship else options.out,
        name=options.name,
        parts=parts,
        kept_out=tuple(options.not_in),
        seed=options.seed,
        curve=not options.no_curve,
    )
    return asked, options.json


def main(argv: Sequence[str] | None = None) -> int:
    """Train and return the exit code."""
    asked, json = parse(argv)
    err = Console(stderr=True, soft_wrap=True)

    def tell(what: str) -> None:
        err.print(what, markup=False, highlight=False)

    again = "the same command begins anew"
    result = carry_out(lambda: train(asked, tell), show, err, json=json, again=again)
    return result if isinstance(result, int) else COMPLETE


def show(result: Result, console: Console) -> None:
    """Print the card."""
    console.print(Markdown(markdown(result.report, None)))
    console.print(f"{result.weights} ({result.name})", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
