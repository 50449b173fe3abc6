"""Packs the samples of a deep pool or an ablation into one small file, and puts them back, here or elsewhere.

    python -m benchmark.pack_pool data/pools/bundled-k16-s0 bundled.jsonl.xz
    python -m benchmark.pack_pool data/pools/bundled-k16-s0 bundled.jsonl.xz --unpack
    python -m benchmark.deep_pool --dataset bundled --k 16 --frozen      # the same pool, without the model
    python -m benchmark.pack_pool data/ablations/study/model study.jsonl.xz      # an ablation's

The file is JSON lines, compressed: what the samples were drawn from (`Packed`), then one choice a line.
It holds what the model answered and hashes of what it was asked: no prompt, statement or test. Prompts come
out of the data set again when the pool is made again, programs are run again, and the model is not asked.
An unfinished recording packs as well, also while it goes on. The same samples always give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from rich.console import Console

from atlas.contracts import Contract
from atlas.errors import BadInput, InfrastructureError
from atlas.model_facts import ModelFacts
from benchmark.command import COMPLETE, carry_out
from benchmark.pooled_stack import SAMPLES
from benchmark.recorded.completions import CompletionStore, Recorded, Row
from benchmark.recorded.model_file import read_model_facts, save_model_facts
from benchmark.recorded.pool import COMPLETIONS
from benchmark.recorded.recording import Recording, read_recording, save_recording
from benchmark.stored import write_atomic

EXAMPLES = """examples:
  python -m benchmark.pack_pool data/pools/bundled-k16-s0 bundled.jsonl.xz
  python -m benchmark.pack_pool data/pools/bundled-k16-s0 bundled.jsonl.xz --unpack
  python -m benchmark.pack_pool data/ablations/study/model study.jsonl.xz

exit codes: 0 done; 1 could not; 2 wrong arguments"""


class Packed(Contract):
    """The first line. `rows_sha256` is the hash of all lines that follow, `choices` their number."""

    version: Literal[1] = 1
    recording: Recording
    model: ModelFacts
    choices: int
    rows_sha256: str


class Line(Contract):
    """A choice. `key` and `prompt` are hashes (`benchmark.recorded.completions`)."""

    key: str
    seed: int
    prompt: str
    tokens_in: int
    recorded: Recorded


class Result(Contract):
    """What `--json` prints. `new`: choices that unpacking added, None when packing. `sha256`: the file's."""

    file: str
    samples: str
    choices: int
    new: int | None
    tasks: int
    bytes: int
    bytes_per_task: float
    sha256: str


def pack(pool: Path, file: Path, *, pieces: bool = False, spans: bool = False) -> Result:
    """Write the samples of a deep pool, or of an ablation's model, to a file.

    Args:
        pool: the deep pool's directory, that of an ablation's model, or that of the samples in either.
        file: written whole or not at all.
        pieces: keep the log-probability of each token as well, which a policy with fewer tokens to a sample
            needs, at several times the size. Without, a token's is made up so that their summary stays
            (`completions.spread`).
        spans: keep the hidden states of what was generated as well, which a policy with the Lens needs, at
            many times the size.

    Raises:
        BadInput: there are no samples, or nothing tells what they were drawn from.
        InfrastructureError: a file cannot be read or written.
    """
    samples = samples_of(pool)
    recording, model = read_recording(samples), read_model_facts(samples)
    if recording is None or model is None or not (samples / COMPLETIONS).is_file():
        raise BadInput(f"{samples} holds no samples of benchmark.deep_pool or benchmark.ablation")
    store = CompletionStore(samples / COMPLETIONS)
    try:
        lines = [_line(row, pieces=pieces, spans=spans) for row in store.rows()]
    finally:
        store.close()
    packed = Packed(recording=recording, model=model, choices=len(lines), rows_sha256=_sha256_of(lines))
    head = f"{packed.model_dump_json()}\n".encode()
    _write(file, lzma.compress(head + b"".join(lines), preset=9 | lzma.PRESET_EXTREME))
    return _result(file, samples, packed, new=None)


def unpack(file: Path, pool: Path) -> Result:
    """Put the samples of a file back, beside those that are there already, if they are of the same recording.

    Raises:
        BadInput: the file is none that `pack` wrote, or not whole.
        Conflict: the directory holds samples of another recording or model.
        InfrastructureError: a file cannot be read or written.
    """
    packed, rows = read_packed(file)
    samples = samples_of(pool)
    save_recording(samples, packed.recording)
    save_model_facts(samples, packed.model)
    store = CompletionStore(samples / COMPLETIONS)
    try:
        new = store.put(rows)
    finally:
        store.close()
    return _result(file, samples, packed, new=new)


def read_packed(file: Path) -> tuple[Packed, list[Row]]:
    """Read a packed file and see that it is whole.

    Raises:
        BadInput: it is none that `pack` wrote, or not whole.
        InfrastructureError: it cannot be read.
    """
    try:
        with lzma.open(file) as lines:
            packed = Packed.model_validate_json(next(lines, b""))
            rest = list(lines)
    except (lzma.LZMAError, EOFError, ValidationError) as error:
        raise BadInput(f"{file} is no whole packed pool: {error}"[:400]) from error
    except OSError as error:
        raise InfrastructureError(f"cannot read {file}: {error.strerror}") from error
    if (len(rest), _sha256_of(rest)) != (packed.choices, packed.rows_sha256):
        raise BadInput(f"{file} does not hold the {packed.choices} choices that it says it does")
    return packed, list(_rows(rest))


def samples_of(pool: Path) -> Path:
    """Return where the samples are: in `pool`, or in the directory itself if it is that of samples."""
    return pool if (pool / COMPLETIONS).is_file() else pool / SAMPLES


def _line(row: Row, *, pieces: bool, spans: bool) -> bytes:
    recorded = row.recorded if pieces else row.recorded.model_copy(update={"pieces": None})
    if not spans:
        recorded = recorded.without_span()
    line = Line(**row._replace(recorded=recorded)._asdict())
    return f"{line.model_dump_json()}\n".encode()


def _rows(lines: Iterable[bytes]) -> Iterator[Row]:
    for text in lines:
        line = Line.model_validate_json(text)
        yield Row(line.key, line.seed, line.prompt, line.tokens_in, line.recorded)


def _sha256_of(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _write(file: Path, content: bytes) -> None:
    try:
        write_atomic(file, content)
    except OSError as error:
        raise InfrastructureError(f"cannot write {file}: {error.strerror}") from error


def _result(file: Path, samples: Path, packed: Packed, new: int | None) -> Result:
    content = file.read_bytes()
    return Result(
        file=str(file),
        samples=str(samples),
        choices=packed.choices,
        new=new,
        tasks=packed.recording.tasks,
        bytes=len(content),
        bytes_per_task=round(len(content) / packed.recording.tasks, 1),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.pack_pool",
        description="Pack the samples of a deep pool or an ablation into one file, or put them back.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("pool", type=Path, metavar="DIR", help="a deep pool, DIR/MODEL of an ablation, or its samples")
    add("file", type=Path, metavar="FILE", help="the packed file, *.jsonl.xz")
    add("--unpack", action="store_true", help="from FILE to DIR")
    add("--pieces", action="store_true", help="pack each token's log-probability as well")
    add("--spans", action="store_true", help="pack each sample's hidden states as well, for the Lens")
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    options = parser.parse_args(argv)
    if options.unpack and (options.pieces or options.spans):
        parser.error("--pieces and --spans are for packing")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Pack or unpack and return the exit code."""
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> Result:
        if options.unpack:
            return unpack(options.file, options.pool)
        return pack(options.pool, options.file, pieces=options.pieces, spans=options.spans)

    result = carry_out(work, _show, err, json=options.json)
    return result if isinstance(result, int) else COMPLETE


def _show(result: Result, console: Console) -> None:
    said = f"{result.file}: {result.choices} choices, {result.bytes} bytes ({result.bytes_per_task:g} a task)"
    if result.new is not None:
        said += f", {result.new} new in {result.samples}"
    console.print(said, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
