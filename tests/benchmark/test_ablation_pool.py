"""The samples of an ablation on its own stack: packed on one machine, gone on with on another."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console
from runner_bench import FakeGrader
from scripted_tasks import answering_model, dataset

from atlas.config import Settings
from atlas.embedded.own_stack import free_ports
from benchmark import pack_pool
from benchmark.ablation.carry_out import How, carry_out
from benchmark.ablation.plan import read_plan
from benchmark.ablation.store import AblationStore
from benchmark.datasets.selection import load
from benchmark.recorded.recording import read_recording
from benchmark.recorded.serving import served
from benchmark.run_summary import RunSummary

PLAN = """
name = "packed"
[tasks]
dataset = "two.jsonl"
[[conditions]]
policy = "A"
[[conditions]]
policy = "resample"
k = 3
token_budget = 0
stop_after_passing = 0
"""


@pytest.mark.integration
def test_an_ablation_goes_on_with_the_samples_of_another_machine(tmp_path: Path) -> None:
    model = answering_model()
    dataset(tmp_path / "two.jsonl", 2)
    (tmp_path / "plan.toml").write_text(PLAN)
    plan = read_plan(tmp_path / "plan.toml")

    async def carried_out(directory: Path, log: io.StringIO) -> list[RunSummary]:
        async with served(model.app()) as url:
            settings = Settings(data_dir=tmp_path / "data", llama_url=url, port=free_ports())
            with AblationStore(directory, plan, load(plan.tasks, directory)) as store:
                return await carry_out(store, How(settings), Console(file=log, width=200), FakeGrader())

    there, here, packed = tmp_path / "there", tmp_path / "here", tmp_path / "samples.jsonl.xz"
    first, second = io.StringIO(), io.StringIO()
    done = asyncio.run(carried_out(there, first))
    assert [each.errors for each in done] == [0, 0]
    made = pack_pool.pack(there / "model", packed)
    assert (made.choices, made.tasks) == (8, 2)
    assert "samples: 8 drawn, 0 from the pool" in first.getvalue()

    pack_pool.unpack(packed, here / "model")
    again = asyncio.run(carried_out(here, second))
    assert "samples: 0 drawn, 8 from the pool" in second.getvalue()
    assert [(each.passed, each.tokens_out) for each in again] == [(e.passed, e.tokens_out) for e in done]
    recording = read_recording(here / "model" / "pool")
    assert recording is not None
    assert (recording.dataset, recording.k) == (plan.tasks.label, None)
