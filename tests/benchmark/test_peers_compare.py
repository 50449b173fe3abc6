"""A comparison from its tasks to its table, with a scripted gateway, model server and optillm."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from atlas.checkers import Checker
from atlas.client import Gateway
from atlas.embedded.own_stack import Stack
from atlas.errors import Conflict
from atlas.policy import POLICIES
from benchmark.peers.compare import compare
from benchmark.peers.optillm import Question, Versions
from benchmark.peers.progress import PeersProgress
from benchmark.peers.proxy import MeteringProxy
from benchmark.peers.store import PeerRecord, PeerStore
from benchmark.peers.systems import Asks, AtlasSystem, OptillmSystem
from benchmark.peers.table import WIDTH, PeersResult, drawn, summarise
from benchmark.scoring.grader import Grade
from benchmark.tasks import Task
from tests.benchmark.peers_bench import ScriptedLlama, ScriptedOptillm, comparison, four
from tests.benchmark.runner_bench import CANARIES, FakeGrader, hasten, two_is_wrong
from tests.support.scripted_gateway import RIGHT, ScriptedGateway, ended

SYSTEMS = ["full", "optillm-bon", "optillm-plansearch"]
VERSIONS = Versions(optillm="0.4.0", openai="3.0.0")
ANSWER = f"Here it is:\n```python\n{RIGHT}\n```\n"
hastened = pytest.fixture(autouse=True)(hasten)


async def rates(question: Question, chat: Any) -> str:
    """As best-of-n: all samples, then a rating of each, the best of them handed back."""
    samples = (await chat(n=question.n, max_tokens=question.max_tokens))["choices"]
    ratings = [await chat(max_tokens=256) for _ in samples]
    assert len(ratings) == len(samples)
    return str(samples[-1]["message"]["content"])


async def plans(question: Question, chat: Any) -> str:
    """As PlanSearch: four calls, the program in the last."""
    return [(await chat(max_tokens=question.max_tokens)) for _ in range(4)][-1]["choices"][0]["message"][
        "content"
    ]


class Grader(FakeGrader):
    """One that does not mind the newline at the end of a program that was taken out of an answer."""

    async def grade(self, task: Task, code: str | None, checker: Checker = "official") -> Grade:
        return await super().grade(task, code and code.strip(), checker)


class Bench:
    """One directory, and what runs on it."""

    def __init__(self, directory: Path) -> None:
        self.tasks = four(directory)
        self.directory = directory / "peers" / "p1"
        self.scripted = two_is_wrong()
        self.llama = ScriptedLlama([ANSWER])
        self.optillm: Asks = ScriptedOptillm(
            lambda q, chat: (rates if q.approach == "bon" else plans)(q, chat)
        )
        self.grader = Grader()
        self.log = io.StringIO()

    def run(
        self, *, budget: int = 1000, systems: list[str] = SYSTEMS, tasks: list[Task] | None = None
    ) -> None:
        asyncio.run(self._run(budget, systems, self.tasks if tasks is None else tasks))

    async def _run(self, budget: int, names: list[str], tasks: list[Task]) -> None:
        asked = comparison(self.tasks, token_budget=budget)
        with PeerStore(self.directory, asked) as store:
            async with (
                Gateway("http://gateway", transport=self.scripted.transport()) as gateway,
                MeteringProxy("http://llama", transport=self.llama.transport()) as proxy,
            ):
                systems: list[AtlasSystem | OptillmSystem] = []
                for name in names:
                    if name in POLICIES:
                        policy = POLICIES[name].model_copy(update={"token_budget": budget})
                        systems.append(AtlasSystem(gateway, policy, store))
                    else:
                        systems.append(
                            OptillmSystem(
                                name.removeprefix("optillm-"),  # type: ignore[arg-type]
                                optillm=self.optillm,
                                versions=VERSIONS,
                                proxy=proxy,
                                model="scripted",
                                budget=budget,
                                seed=0,
                                timeout_s=60,
                            )
                        )
                    store.bind_system(name, systems[-1].what)
                progress = PeersProgress(Console(file=self.log, width=200), len(names) * len(tasks), 0)
                await compare(tasks, systems, store, self.grader, Stack(gateway), progress)

    @property
    def records(self) -> dict[tuple[str, str], PeerRecord]:
        with PeerStore(self.directory, comparison(self.tasks, token_budget=self.budget)) as store:
            return dict(store.records)

    @property
    def budget(self) -> int:
        import json

        return int(json.loads((self.directory / "config.json").read_text())["comparison"]["token_budget"])

    def result(self) -> PeersResult:
        with PeerStore(self.directory, comparison(self.tasks, token_budget=self.budget)) as store:
            return summarise(self.directory, store.file, store.records.values(), SYSTEMS)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_every_system_gets_every_task_and_the_same_grader(bench: Bench) -> None:
    bench.run()
    assert sorted(bench.records) == sorted((s, t.id) for s in SYSTEMS for t in bench.tasks)
    outcomes = {name: [bench.records[name, t.id].outcome for t in bench.tasks] for name in SYSTEMS}
    assert outcomes == {
        "full": ["passed", "failed", "passed", "passed"],
        "optillm-bon": ["passed"] * 4,
        "optillm-plansearch": ["passed"] * 4,
    }
    # 6 words and an end, for each of 3 samples and 3 ratings.
    assert bench.records["optillm-bon", "one"].usage.tokens_out == 42
    assert [len(bench.records[s, "one"].calls) for s in SYSTEMS] == [0, 4, 4]
    assert bench.records["full", "one"].usage.tokens_out == 10
    assert (bench.directory / (bench.records["full", "one"].journal or "")).is_file()


def test_all_are_asked_the_same_question_and_none_sees_a_hidden_test(bench: Bench) -> None:
    bench.run()
    assert isinstance(bench.optillm, ScriptedOptillm)
    for question in bench.optillm.questions:
        assert "says." in question.user
        assert "PUBLIC-IN" in question.user
    sent = repr(bench.optillm.questions) + repr(bench.llama.chats) + repr(bench.scripted.bodies)
    kept = "".join(p.read_text() for p in bench.directory.rglob("*") if p.is_file())
    assert not any(canary in sent + kept for canary in CANARIES)


def test_each_task_begins_with_another_system(bench: Bench) -> None:
    bench.run()
    lines = [line.split("  ")[1:3] for line in bench.log.getvalue().splitlines()]
    assert [system for task, system in lines][::3] == [SYSTEMS[0], SYSTEMS[1], SYSTEMS[2], SYSTEMS[0]]
    assert lines[3][0] == "two"


@pytest.mark.parametrize("moment", [0, 5, 6, 11])
def test_a_comparison_goes_on_where_it_was_killed(bench: Bench, moment: int) -> None:
    class Killed(BaseException):
        pass

    def step() -> None:
        if len(bench.grader.graded) == moment + 1:
            raise Killed

    bench.grader = Grader(step=step)
    with pytest.raises(Killed):
        bench.run()
    assert len(bench.records) == moment
    bench.grader = Grader()
    bench.run()
    assert len(bench.grader.graded) == 12 - moment
    assert len(bench.scripted.tasks) == 4  # the submission that was killed was found again
    assert {r.attempt for r in bench.records.values()} == {1}
    uninterrupted = [row.model_dump(exclude={"seconds_per_task"}) for row in bench.result().systems]
    assert [row["passed"] for row in uninterrupted] == [3, 4, 4]


def test_another_configuration_is_refused_and_another_system_is_not(bench: Bench) -> None:
    bench.run(systems=SYSTEMS[:1])
    with pytest.raises(Conflict, match="token_budget was 1000, is 999"):
        bench.run(budget=999)
    bench.tasks = bench.tasks[:3]
    with pytest.raises(Conflict, match="dataset_sha256"):
        bench.run()
    bench.tasks = four(bench.directory.parents[1])
    bench.run()
    assert len(bench.records) == 12


def test_another_version_of_a_system_or_of_the_stack_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(tasks=bench.tasks[:1])
    bench.scripted.model = "another"
    with pytest.raises(Conflict, match="model was 'scripted', is 'another'"):
        bench.run()
    bench.scripted.model = "scripted"
    monkeypatch.setattr("benchmark.peers.systems.BEST_OF", 5)
    with pytest.raises(Conflict, match=r"optillm-bon\.n was 3, is 5"):
        bench.run()


def test_best_of_n_without_tokens_to_rate_has_the_first_program_it_completed(bench: Bench) -> None:
    bench.llama.says = ["a word " * 20, ANSWER, ANSWER.replace(RIGHT, "print(2)")]
    bench.run(budget=24, systems=["optillm-bon"], tasks=bench.tasks[:1])
    record = bench.records["optillm-bon", "one"]
    samples, rating = record.calls
    assert [(c.finish, c.tokens) for c in samples.completions] == [("length", 8), ("stop", 7), ("stop", 7)]
    assert (rating.max_tokens, record.usage.tokens_out) == (2, 24)
    assert (record.outcome, record.program, record.budget_spent) == ("passed", f"{RIGHT}\n", True)
    assert record.note == "the first program completed, since: token_budget_spent"


def test_plan_search_without_tokens_for_its_program_has_none(bench: Bench) -> None:
    bench.run(budget=14, systems=["optillm-plansearch"])
    record = bench.records["optillm-plansearch", "one"]
    assert (record.outcome, record.program, record.budget_spent) == ("failed", None, True)
    assert record.note == "token_budget_spent"
    assert record.usage.tokens_out == 14


def test_a_block_in_a_block_of_markdown_is_found(bench: Bench) -> None:
    bench.llama.says = [f"```markdown\n{ANSWER.partition('it is:')[2].strip()}"]
    bench.run(systems=["optillm-plansearch"])
    assert bench.records["optillm-plansearch", "one"].program == f"{RIGHT}\n"


def test_a_failing_model_server_is_no_result_and_is_tried_again(bench: Bench) -> None:
    bench.llama.fails = (0, 503)
    bench.run()
    result = bench.result()
    assert [(row.n, row.errors) for row in result.systems] == [(4, 0), (0, 4), (0, 4)]
    assert (result.errors, result.complete, result.systems[1].pass_rate) == (8, False, None)
    bench.llama.fails = None
    bench.run()
    assert bench.result().complete
    assert bench.records["optillm-bon", "one"].attempt == 2
    assert bench.llama.chats[0]["seed"] == 1000


def test_a_failing_part_of_the_stack_is_no_wrong_answer(bench: Bench) -> None:
    bench.scripted = ScriptedGateway(
        script={"two": [ended(None, infrastructure=True, error="gone"), ended()]}
    )
    bench.run(systems=["full"])
    assert (bench.records["full", "two"].outcome, bench.records["full", "two"].note) == ("error", "gone")
    bench.run(systems=["full"])
    assert bench.records["full", "two"].outcome == "passed"
    assert bench.scripted.began == {"one": 1, "two": 2, "three": 1, "four": 1}


def test_the_table_says_all_of_it(bench: Bench) -> None:
    bench.run()
    result = bench.result()
    full, bon, _ = result.systems
    assert (full.n, full.passed, full.pass_rate, full.paired) == (4, 3, 0.75, None)
    assert (bon.tokens_out_per_task, bon.seconds_per_task, bon.most_tokens_out) == (42.0, 1.0, 42)
    assert bon.paired is not None
    assert (bon.paired.n, bon.paired.difference) == (4, 0.25)
    assert (bon.paired.b_only, bon.paired.a_only, bon.paired.p_value) == (1, 0, 1.0)
    console = Console(file=io.StringIO(), width=WIDTH)
    console.print(drawn(result))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("75.0% [30, 95]", "optillm-plansearch", "+25.0% [", "differences to full", "complete"):
        assert text in shown
    assert PeersResult.model_validate_json(result.model_dump_json()) == result
