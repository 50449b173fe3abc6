"""Adaptive k: its rule by hand, what it saves where difficulty is known and where it is not, from a pool."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_dirs import Draw, write_pool

from atlas.catalogue import CATALOGUE
from atlas.contracts import Usage
from atlas.errors import BadInput
from atlas.events import Choice, ModelCallFinished
from atlas.lens.prompt_probe import PromptProbe
from benchmark.adaptive_k import Measured, adapted, main, measured, places, summarise, told_by, uniform_tokens
from benchmark.selection.energies import weights_of
from benchmark.selection.pools import PooledTask, load_pools
from tests.support.lens_weights import span, span_set, write_weights

MODEL = "qwen2.5-coder-0.5b"
SHA = str(CATALOGUE[MODEL].sha256)
KS = (1, 2, 4, 8)
PROBE = PromptProbe(
    mean=np.zeros(4, np.float32),
    scale=np.ones(4, np.float32),
    weight=np.full(4, 0.5, np.float32),
    bias=np.zeros(1, np.float32),
)


def world(told: str) -> Measured:
    """A third of the tasks is easy, a third hopeless, a third right from the fourth sample on."""
    p = np.repeat([0.99, 0.01, 0.35], 100)
    right = np.repeat([[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]], 100, axis=0).astype(float)
    probe = {"truth": p, "nothing": np.random.default_rng(0).permutation(p)}[told]
    return Measured(
        ks=KS,
        p={"probe": probe, "known": p},
        group=np.arange(300),
        kind=np.arange(300) % 2,
        first=right[:, 0] > 0,
        chars=np.arange(300.0) % 7,
        tokens=np.tile(np.asarray(KS) * 100.0, (300, 1)),
        right={"chosen": right, "any": right},
    )


def test_the_rule_draws_most_where_a_further_sample_brings_most() -> None:
    chances = np.asarray([0.0, 0.02, 0.3, 0.8, 1.0])
    assert [KS[i] for i in places(chances, KS, 0.05)] == [1, 1, 4, 2, 1]
    assert [KS[i] for i in places(chances, KS, 1.0)] == [1] * 5
    assert [KS[i] for i in places(chances[1:4], KS, 1e-6)] == [8] * 3


@given(st.floats(0, 1), st.floats(1e-4, 0.5))
def test_what_costs_more_is_drawn_less(p: float, cost: float) -> None:
    (cheap,), (dear,) = places(np.asarray([p]), KS, cost), places(np.asarray([p]), KS, 2 * cost)
    assert dear <= cheap


def test_uniform_tokens_are_those_of_the_best_mixture() -> None:
    tokens, accuracies = np.asarray([100.0, 200, 400]), np.asarray([0.2, 0.2, 0.4])
    assert uniform_tokens(0.2, tokens, accuracies) == 100
    assert uniform_tokens(0.3, tokens, accuracies) == pytest.approx(250), "half k = 1, half k = 4"
    assert uniform_tokens(0.1, tokens, accuracies) == pytest.approx(50), "half of them nothing"
    assert uniform_tokens(0.9, tokens, accuracies) == 400
    assert uniform_tokens(0.0, tokens, accuracies) == 0


def test_difficulty_that_is_known_saves_tokens_and_a_guess_does_not() -> None:
    true, guess = (adapted(world(told), "probe", "chosen", 0.05) for told in ("truth", "nothing"))
    assert true.accuracy == pytest.approx(2 / 3)
    assert (true.mean_k, true.tokens, true.uniform_tokens) == pytest.approx((2, 200, 400))
    assert true.saved.value == pytest.approx(0.5)
    assert 0.4 < true.saved.low <= 0.5 <= true.saved.high < 0.6
    assert guess.saved.value < 0.2
    assert guess.saved.low < 0.1
    summary = summarise(world("truth"), ["w"], 0)
    assert summary.auc["probe"].value > 0.95
    assert abs(summary.auc["prompt_length"].value - 0.5) < 0.1
    assert summary.auc_within["probe"].value > 0.95
    assert [each.accuracy["chosen"] for each in summary.uniform] == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3, 2 / 3]
    )
    alike = world("truth")
    with pytest.raises(BadInput, match="all right, or all wrong"):
        summarise(Measured(**{**vars(alike), "first": alike.first | True}), ["w"], 0)


def pool(directory: Path) -> list[PooledTask]:
    """Tasks in whose journals the calls stand; the prompt's state is -1 where the first sample is wrong."""
    rolls = random.Random(0)
    tasks = {}
    for number in range(12):
        right = [number % 3 == 0, *(rolls.random() < 0.3 for _ in range(3))]
        tasks[f"t{number}"] = [Draw(f"{number} {i}", right=each) for i, each in enumerate(right)]
    write_pool(directory, tasks, model=MODEL)
    for path in (directory / "journals").glob("*.jsonl"):
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        state = 1.0 if int(path.stem[1:]) % 3 == 0 else -1.0
        for entry in entries:
            event = entry["event"]
            if event["type"] == "CandidateGenerated":
                call = f"{event['command']}/code:{event['candidate']['id'][1:]}"
                choice = Choice(
                    text="", usage=Usage(tokens_out=5), finish="stop", span=span(0, 0, 0, 0, prompt=state)
                )
                drawn = ModelCallFinished(
                    command=event["command"],
                    call=call,
                    prompt="p",
                    sampling=event["candidate"]["sampling"],
                    choices=(choice,),
                    server_s=0.1,
                )
                entry["before"] = drawn.model_dump(mode="json")
        written = []
        for entry in entries:
            if before := entry.pop("before", None):
                written.append({**entry, "event": before})
            written.append(entry)
        numbered = [{**entry, "seq": i} for i, entry in enumerate(written, 1)]
        path.write_text("".join(json.dumps(entry) + "\n" for entry in numbered))
    return load_pools([directory])


def test_a_task_is_told_by_the_state_of_its_prompt(tmp_path: Path) -> None:
    tasks = pool(tmp_path / "p")
    weights = weights_of([write_weights(tmp_path / "w.safetensors", span_set(), sha256=SHA, probe=PROBE)])
    told = told_by(tasks, weights)
    assert [each.task for each in told] == tasks
    for each in told:
        first = each.task.right["c0"]
        assert each.p == pytest.approx(1 / (1 + np.exp(-2 if first else 2)), abs=1e-6)
    data = measured(told, [[1.0, 1.0, 1.0]] * len(told), (1, 2, 4))
    assert data.tokens.tolist() == [[5, 10, 20]] * 12
    for task, row in zip(tasks, data.right["any"].tolist(), strict=True):
        right = sum(task.right.values())
        assert row == pytest.approx([right / 4, 1 - (4 - right) * (3 - right) / 12, float(right > 0)])
    assert data.p["known"].tolist() == [np.mean(list(t.right.values())) for t in tasks]
    without = weights_of([write_weights(tmp_path / "n.safetensors", span_set(), sha256=SHA)])
    assert told_by(tasks, without) == []


@pytest.mark.integration
def test_the_command_prints_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool(tmp_path / "p")
    file = write_weights(tmp_path / "w.safetensors", span_set(), sha256=SHA, probe=PROBE)
    assert main([str(tmp_path / "p"), "--lens", str(file), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["n_tasks"], result["left_out"]) == (12, 0)
    assert result["auc"]["probe"]["value"] == 1.0
    assert [each["k"] for each in result["uniform"]] == [1, 2, 4]
    none = write_weights(tmp_path / "n.safetensors", span_set(), sha256=SHA)
    assert main([str(tmp_path / "p"), "--lens", str(none)]) == 1
    assert "train --features span" in capsys.readouterr().err
