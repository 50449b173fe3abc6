"""A deep pool of scripted tasks, recorded through the real stack: what is in it; nothing is made twice."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console
from scripted_tasks import answering_model, dataset

from atlas.config import Settings
from atlas.embedded.own_stack import free_ports
from atlas.errors import Conflict
from benchmark import deep_pool, pack_pool
from benchmark.drawn import programs
from benchmark.recorded.executions import EXECUTIONS, INPUTS, GeneratedInput, GeneratedRun
from benchmark.recorded.material import gather
from benchmark.recorded.row_file import read_rows
from benchmark.recorded.serving import served
from benchmark.results import load_run


@pytest.mark.integration
def test_a_pool_holds_every_sample_run_on_every_input(tmp_path: Path) -> None:
    model = answering_model()
    own = tmp_path / "own.jsonl"
    own.write_text('{"task": "t0", "input": "100 200\\n"}\n')
    data, pool = str(dataset(tmp_path / "two.jsonl", 2)), tmp_path / "pool"
    arguments = [
        "--dataset",
        data,
        "--k",
        "3",
        "--inputs",
        "0",
        "--mutations",
        "4",
        "--inputs-file",
        str(own),
        "--pool",
        str(pool),
    ]

    async def record() -> deep_pool.DeepPool:
        async with served(model.app()) as url:
            settings = Settings(data_dir=tmp_path / "data", llama_url=url, port=free_ports())
            return await deep_pool.record(*deep_pool.parse(arguments), settings, Console(file=io.StringIO()))

    made = asyncio.run(record())
    assert (made.tasks, made.errors, made.k) == (2, 0, 3)
    assert (made.programs, made.inputs, made.runs) == (6, 9, 27)
    assert (made.drawn, made.recorded) == (6, 0)
    again = asyncio.run(record())
    nothing = {"runs": 0, "drawn": None, "recorded": None, "spans_read": None, "seconds": again.seconds}
    assert again == made.model_copy(update=nothing)

    inputs = list(read_rows(pool / INPUTS, GeneratedInput))
    assert [row.text for row in inputs if row.origin == "file"] == ["100 200\n"]
    runs = list(read_rows(pool / EXECUTIONS, GeneratedRun))
    assert len({(run.program_sha256, run.input_sha256) for run in runs}) == 27
    material = gather(pool)
    assert len(material.executions) == 27 + 6 * 2
    assert material.facts.model == "scripted"


@pytest.mark.integration
def test_a_pool_is_made_again_from_its_packed_samples_without_a_model(tmp_path: Path) -> None:
    model = answering_model()
    data = str(dataset(tmp_path / "two.jsonl", 2))
    packed, there, here = tmp_path / "two.jsonl.xz", tmp_path / "there", tmp_path / "here"

    def arguments(pool: Path, *more: str, k: int = 3) -> list[str]:
        return ["--dataset", data, "--k", str(k), "--inputs", "0", "--pool", str(pool), *more]

    async def record(arguments: list[str], url: str | None) -> deep_pool.DeepPool:
        data_dir = tmp_path / f"data-{url is None}"
        settings = Settings(data_dir=data_dir, llama_url=url, port=free_ports())
        return await deep_pool.record(*deep_pool.parse(arguments), settings, Console(file=io.StringIO()))

    async def drawn() -> deep_pool.DeepPool:
        async with served(model.app()) as url:
            return await record(arguments(there), url)

    made = asyncio.run(drawn())
    assert (made.errors, made.drawn, made.recorded) == (0, 6, 0)
    pack_pool.pack(there, packed)
    unpacked = pack_pool.unpack(packed, here)
    assert unpacked.new == 6
    again = asyncio.run(record(arguments(here, "--frozen"), None))
    assert (again.errors, again.drawn, again.recorded, again.programs) == (0, 0, 6, made.programs)
    assert programs(load_run(here)) == programs(load_run(there))

    with pytest.raises(Conflict, match="k was 3, is 2"):
        asyncio.run(
            record(arguments(tmp_path / "other", "--frozen", "--samples", str(here / "pool"), k=2), None)
        )


def test_arguments() -> None:
    options, selection = deep_pool.parse(["--k", "4", "--temperature", "1", "--limit", "3"])
    variant = deep_pool.deep(options)
    assert (variant.name, variant.changes["k"], variant.changes["temperature"]) == ("deep-4", 4, 1.0)
    assert selection.limit == 3
    assert [variant.changes[each] for each in ("inputs", "input_tokens", "readings")] == [16, 0, 0]
    options, _ = deep_pool.parse(["--inputs", "0"])
    assert "readings" not in deep_pool.deep(options).changes
    options, _ = deep_pool.parse(["--input-tokens", "300", "--distinguish", "2", "--readings", "1"])
    changes = deep_pool.deep(options).changes
    assert [changes[each] for each in ("input_tokens", "distinguish", "readings")] == [300, 2, 1]
    for wrong in (["--k", "65"], ["--frozen", "--target", "http://127.0.0.1:1"]):
        with pytest.raises(SystemExit):
            deep_pool.parse(wrong)
