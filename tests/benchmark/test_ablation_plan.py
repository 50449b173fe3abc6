from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import BadInput
from atlas.policy import POLICIES
from benchmark.ablation.estimate import most_tokens, seconds_left
from benchmark.ablation.plan import model_name, read_plan

PLANS = Path(__file__).parents[2] / "benchmark" / "plans"
WHOLE = """
name = "budgets"
seeds = [0, 1]
models = ["qwen2.5-coder-0.5b", "mine/Other Model.gguf"]
[tasks]
dataset = "bundled"
limit = 3
[[conditions]]
policy = "A"
seeds = [0]
[[conditions]]
name = "resample-2k"
policy = "resample"
token_budget = 2048
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return path


def test_a_plan_is_models_times_seeds_times_conditions(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, WHOLE))
    assert [cell.name for cell in plan.cells] == [
        f"{model}--{run}"
        for model in ("qwen2.5-coder-0.5b", "Other-Model")
        for run in ("A--s0", "resample-2k--s0", "resample-2k--s1")
    ]
    assert plan.models[1] == str(tmp_path / "mine" / "Other Model.gguf"), "paths are the plan's"
    policy = plan.cells[2].variant.policy_among(POLICIES.values(), plan.cells[2].seed)
    assert (policy.name, policy.token_budget, policy.seed, policy.k) == ("resample-2k", 2048, 1, 64)
    assert plan.tasks.limit == 3


def test_files_are_looked_for_beside_the_plan(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("")
    (tmp_path / "ids.json").write_text("")
    tasks = 'dataset = ["mine.jsonl", "bundled"]\nids = "ids.json#report"'
    plan = read_plan(written(tmp_path, f'name = "x"\n[tasks]\n{tasks}\n[[conditions]]\npolicy = "A"\n'))
    assert plan.tasks.dataset == (str(tmp_path / "mine.jsonl"), "bundled")
    assert plan.tasks.ids == f"{tmp_path / 'ids.json'}#report"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "budgets"', "", "name: Field required"),
        ('name = "budgets"', 'name = "../x"', "name: String should match"),
        ('name = "budgets"', 'name = "x"\ncolour = 1', "colour: Extra inputs"),
        ('policy = "A"', 'policy = "Z"', "no policy 'Z'"),
        ("token_budget = 2048", "tokens = 2048", "condition 'resample-2k': tokens: Extra inputs"),
        ("token_budget = 2048", "k = 0", "condition 'resample-2k': k: Input should be greater"),
        ('name = "resample-2k"', 'name = "a b"', "a name without blanks"),
        ('name = "resample-2k"\npolicy = "resample"', 'policy = "A"', "planned twice: .*--A--s0"),
        ("limit = 3", "limit = 0", "limit: Input should be greater"),
        ("seeds = [0, 1]", "seeds = []", "seeds: Tuple should have at least 1 item"),
        ("seeds = [0, 1]", "seeds = [-1]", "a seed is a whole number"),
        ("seeds = [0, 1]", "seeds = [", "is not TOML"),
        ("token_budget = 2048", 'tokens_of = "E"', "tokens_of = 'E' is no condition before it"),
        ("token_budget = 2048", 'tokens_of = "resample-2k"', "is no condition before it"),
        ("token_budget = 2048", 'tokens_of = "A"', "measured with the same seeds"),
        ("[[conditions]]", "[[nothing]]", "nothing: Extra inputs|conditions: Tuple should have"),
    ],
)
def test_a_wrong_plan_is_refused_by_what_is_wrong(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in WHOLE
    with pytest.raises(BadInput, match=says):
        read_plan(written(tmp_path, WHOLE.replace(old, new)))


def test_a_plan_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read the plan"):
        read_plan(tmp_path / "none.toml")


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_plans_that_are_here_can_be_read(path: Path) -> None:
    assert read_plan(path).name == path.stem


def test_model_names_are_file_names() -> None:
    assert model_name("/a/b/Qwen 3 (14B).gguf") == "Qwen-3-14B-"
    assert model_name(None) == "model"


def test_a_policy_takes_at_most_its_budget() -> None:
    assert most_tokens(POLICIES["A"]) == 1024
    assert most_tokens(POLICIES["B"]) == 3 * (1024 + 2048) + 4 * 512
    assert most_tokens(POLICIES["D"]) == 8192


rates = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.floats(0.1, 1e4), st.integers(1, 500)), min_size=1
)
lefts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 500))
weights = st.fixed_dictionaries({key: st.floats(1, 1e5) for key in "abcd"})


@given(lefts, rates, weights)
def test_an_estimate_uses_what_was_measured(
    left: dict[str, int], measured: dict[str, tuple[float, int]], weight: dict[str, float]
) -> None:
    rest = seconds_left(left, measured, weight)
    assert rest is not None
    known = sum(n * measured[key][0] / measured[key][1] for key, n in left.items() if key in measured)
    assert rest >= known - 1e-6
    if set(left) <= set(measured):
        assert rest == pytest.approx(known)
    more = {key: n + 1 for key, n in left.items()}
    assert (seconds_left(more, measured, weight) or 0) >= rest


def test_nothing_measured_is_no_estimate() -> None:
    assert seconds_left({"a": 3}, {}, {"a": 1.0}) is None
    assert seconds_left({"a": 3}, {"a": (5.0, 0)}, {"a": 1.0}) is None


def test_a_condition_not_yet_measured_is_weighed() -> None:
    assert seconds_left({"b": 2}, {"a": (10.0, 5)}, {"a": 100.0, "b": 400.0}) == pytest.approx(16.0)
