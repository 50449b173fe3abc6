"""The patched llama-server against the unpatched tree: are its states right, and what do they cost?

    python -m benchmark.llama_server --json

Equality: span embeddings against a full prefill through the unpatched /embedding, cosines of mean and last,
for plain generation and n-gram drafts (0.5B) and for the 1.5B model with the 0.5B one as its draft model.

Cost, in CPU seconds of the server on one core, 0.5B, medians over interleaved pairs whose order alternates:
  generation_cost_ratio  128 tokens from a cached prompt, with the field / without it
  scoring_cost_ratio     what the field adds to drawing 4 candidates / what 4 calls of the unpatched
                         /embedding (prompt and candidate, averaged) cost, which a scorer makes without it
  many_slots_cost_ratio  32 prompts and 64 tokens each through 16 slots, patched / unpatched (3 pairs)

Both binaries are built on first use (minutes), the models pulled (1.7 GB in all). About 35 minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from atlas import config, models
from atlas.errors import AtlasError, StartupError
from benchmark.datasets import load
from benchmark.native_llama import NativeLlama, serve
from benchmark.span_equality import Agreement, agreement

BUILD = Path(__file__).parents[1] / "services" / "llama-server" / "build.sh"
FAILED, COMPLETE = 2, 0
CANDIDATES = 4
CANDIDATE_TOKENS = 96
GENERATED_TOKENS = 128
MANY_SLOTS, MANY_PROMPTS, MANY_TOKENS, MANY_PAIRS = 16, 32, 64, 3
STATES = {"return_embedding": True, "return_prompt_embedding": True}
# One batch must hold a text for the unpatched server to average it; both get the same.
BATCH = ("--batch-size", "2048", "--ubatch-size", "2048")
NGRAM = ("--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "3")
DRAFT = ("--spec-type", "draft-simple", "--spec-draft-n-max", "6", "--model-draft")
SMALL, LARGE = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"

Say = Callable[[str], None]


def equality(
    binaries: tuple[Path, Path], files: dict[str, Path], prompts: Sequence[str], logs: Path, say: Say
) -> dict[str, list[Agreement]]:
    """Agreement of each prompt's span with its reference, by kind of speculation."""
    patched, stock = binaries
    found: dict[str, list[Agreement]] = {}
    kinds = {
        "plain": (SMALL, ()),
        "ngram": (SMALL, NGRAM),
        "draft": (LARGE, (*DRAFT, str(files[SMALL]))),
    }
    for kind, (model, flags) in kinds.items():
        say(f"equality, {kind}: {len(prompts)} prompts, {model}")
        with (
            serve(patched, files[model], logs / f"{kind}.log", "--pooling", "mean", *flags) as ours,
            serve(stock, files[model], logs / "stock.log", "--pooling", "none", *BATCH) as reference,
        ):
            body = {"n_predict": 64, "temperature": 0, "cache_prompt": False}
            found[kind] = [agreement(ours, reference, ours.prompt(prompt), body) for prompt in prompts]
    return found


def generation_cost(server: NativeLlama, prompt: str, pairs: int) -> list[float]:
    """Return the ratio of CPU time with the field to that without, for each pair."""
    body = {
        "prompt": prompt,
        "n_predict": GENERATED_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "id_slot": 0,
    }

    def cpu(fields: dict[str, bool]) -> float:
        before = server.cpu_s
        (answer,) = server.complete(body | fields)
        if answer["tokens_predicted"] != GENERATED_TOKENS:
            raise StartupError(f"{answer['tokens_predicted']} tokens instead of {GENERATED_TOKENS}")
        return server.cpu_s - before

    cpu({})  # the prompt into the cache
    ratios = []
    for number in range(pairs):
        order = (STATES, {}) if number % 2 else ({}, STATES)
        used = {bool(fields): cpu(fields) for fields in order}
        ratios.append(used[True] / used[False])
    return ratios


def scoring_cost(
    ours: NativeLlama, stock: NativeLlama, prompt: str, pairs: int
) -> tuple[list[float], list[float]]:
    """CPU seconds for each pair: what the field adds to 4 candidates, and what embedding them again costs."""
    body = {
        "prompt": prompt,
        "n_predict": CANDIDATE_TOKENS,
        "n_cmpl": CANDIDATES,
        "temperature": 0.8,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    added, again = [], []
    for number in range(pairs):
        used: dict[bool, float] = {}
        texts: list[str] = []
        for fields in (STATES, {}) if number % 2 else ({}, STATES):
            before = ours.cpu_s
            choices = ours.complete(body | fields | {"seed": number})
            used[bool(fields)] = ours.cpu_s - before
            texts = [prompt + choice["content"] for choice in choices]
        before = stock.cpu_s
        for text in texts:
            stock.embed(text)
        again.append(stock.cpu_s - before)
        added.append(used[True] - used[False])
    return added, again


def many_slots_cost(ours: NativeLlama, stock: NativeLlama, prompts: Sequence[str]) -> list[float]:
    """Return the ratio of CPU time, patched to unpatched, of a load on many slots, for each pair."""

    def cpu(server: NativeLlama, pair: int) -> float:
        def one(number: int) -> None:
            body = {"n_predict": MANY_TOKENS, "temperature": 0, "ignore_eos": True}
            server.complete(
                body | {"prompt": f"{pair}, {number}: {prompts[number % len(prompts)]}"}  # none is cached
            )

        before = server.cpu_s
        with ThreadPoolExecutor(MANY_SLOTS) as clients:
            list(clients.map(one, range(MANY_PROMPTS)))
        return server.cpu_s - before

    ratios = []
    for pair in range(MANY_PAIRS):
        used = {server.url: cpu(server, pair) for server in ((ours, stock) if pair % 2 else (stock, ours))}
        ratios.append(used[ours.url] / used[stock.url])
    return ratios


def measure(options: argparse.Namespace, say: Say) -> dict[str, object]:
    """Every figure there is.

    Raises:
        StartupError: a binary cannot be built or does not start.
        ModelFileError: a model cannot be had.
        InfrastructureError: a server answers what it should not.
    """
    binaries = _binaries(options)
    models_dir = models.models_dir_of(config.load())
    files = {name: models.pull(name, models_dir) for name in (SMALL, LARGE)}
    prompts = [task.problem.statement for task in load("bundled", limit=options.prompts)]
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as directory:
        logs = Path(directory)
        found = equality(binaries, files, prompts, logs, say)
        say(f"cost: {options.pairs} pairs of each")
        patched, stock = binaries
        with (
            serve(patched, files[SMALL], logs / "a", "--pooling", "mean", *BATCH, one_core=True) as ours,
            serve(stock, files[SMALL], logs / "b", "--pooling", "mean", *BATCH, one_core=True) as theirs,
        ):
            prompt = ours.prompt(max(prompts, key=len))
            length = len(ours.tokens(prompt))
            ratios = generation_cost(ours, prompt, options.pairs)
            added, again = scoring_cost(ours, theirs, prompt, options.pairs)
            props = ours.get("/props")
        say(f"cost: {MANY_SLOTS} slots")
        shared = ("--pooling", "mean", "--kv-unified")
        with (
            serve(patched, files[SMALL], logs / "c", *shared, slots=MANY_SLOTS, one_core=True) as ours,
            serve(stock, files[SMALL], logs / "d", *shared, slots=MANY_SLOTS, one_core=True) as theirs,
        ):
            many = many_slots_cost(ours, theirs, [ours.prompt(prompt) for prompt in prompts])
    everything = [each for kind in found.values() for each in kind]
    drafts = found["draft"]
    return {
        "cosine_min": min(each.mean for each in everything),
        "cosine_last_min": min(each.last for each in everything),
        "cosine_prompt_last_min": min(each.prompt_last for each in everything),
        "generation_cost_ratio": statistics.median(ratios),
        "scoring_cost_ratio": statistics.median(a / e for a, e in zip(added, again, strict=True)),
        "many_slots_cost_ratio": statistics.median(many),
        "draft_acceptance": sum(d.accepted for d in drafts) / sum(d.drafted for d in drafts),
        "equality": {kind: _summary(agreements) for kind, agreements in found.items()},
        "generation_cost_ratios": _spread(ratios),
        "scoring_added_cpu_s": _spread(added),
        "scoring_again_cpu_s": _spread(again),
        "many_slots_cost_ratios": _spread(many),
        "prompt_tokens": length,
        "pairs": options.pairs,
        "build": _build(patched, str(props["build_info"])),
        "machine": platform.processor() or platform.machine(),
    }


def _binaries(options: argparse.Namespace) -> tuple[Path, Path]:
    if options.server and options.stock:
        return options.server, options.stock
    built = subprocess.run(
        [str(BUILD), "cpu", "--with-stock"], stdout=subprocess.PIPE, text=True, check=False
    )
    if built.returncode != 0:
        raise StartupError(f"{BUILD.name} failed (status {built.returncode}); it says above what to do")
    patched = Path(built.stdout.strip())
    return options.server or patched, options.stock or patched.with_name("llama-server-stock")


def _build(binary: Path, info: str) -> dict[str, object]:
    """What the server says of its build, and what is written beside the binary."""
    stamp = binary.with_name("build.json")
    written = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else {}
    return {"build_info": info, **written}


def _summary(found: Sequence[Agreement]) -> dict[str, float]:
    return {
        "prompts": len(found),
        "tokens": sum(each.n_tokens for each in found),
        "drafted": sum(each.drafted for each in found),
        "accepted": sum(each.accepted for each in found),
        "mean_min": min(each.mean for each in found),
        "last_min": min(each.last for each in found),
    }


def _spread(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    named = {"min": ordered[0], "median": statistics.median(ordered), "max": ordered[-1]}
    return {name: round(value, 4) for name, value in named.items()}


def _table(figures: dict[str, object]) -> Table:
    table = Table("figure", "value", "bar")
    bars = {
        "cosine_min": "≥ 0.999",
        "cosine_last_min": "≥ 0.998",
        "generation_cost_ratio": "< 1.03",
        "scoring_cost_ratio": "< 0.05",
        "many_slots_cost_ratio": "< 1",
        "draft_acceptance": "",
    }
    for name, bar in bars.items():
        table.add_row(name, f"{figures[name]:.5f}", bar)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 2 if something cannot be built, started or trusted."""
    options = _parse(argv)
    errors, out = Console(stderr=True, highlight=False, soft_wrap=True), Console(highlight=False)
    try:
        figures = measure(options, errors.print)
    except (AtlasError, httpx.HTTPError) as error:
        title = error.title if isinstance(error, AtlasError) else "The server did not answer"
        errors.print(f"{title}: {error}", style="red", markup=False)
        return FAILED
    out.print(_table(figures))
    if options.json:
        print(json.dumps(figures), flush=True)
    return COMPLETE


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.llama_server",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--server", type=Path, help="patched binary [what build.sh makes]")
    parser.add_argument("--stock", type=Path, help="unpatched binary of the same tree [what build.sh makes]")
    parser.add_argument("--pairs", type=int, default=12, metavar="N", help="pairs for each cost [12]")
    parser.add_argument("--prompts", type=int, default=20, metavar="N", help="prompts for equality [20]")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    options = parser.parse_args(argv)
    if options.pairs < 1 or options.prompts < 1:
        parser.error("--pairs and --prompts must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
