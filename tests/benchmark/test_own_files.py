"""The plain form of one's own tasks, LiveCodeBench's own files and releases, and downloads of them."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

from atlas.contracts import Example
from atlas.errors import BadInput, InfrastructureError
from atlas.model_sources import SourceUnavailable
from benchmark.datasets import hub as hub_module
from benchmark.datasets import livecodebench, load
from benchmark.datasets.selection import Loaded, from_mapping
from benchmark.datasets.selection import load as load_selection

# ---------------------------------------------------------------- the plain form


PROGRAM = {
    "id": "twice",
    "statement": "Print twice the number.",
    "examples": [{"input": "1\n", "output": "2\n"}],
    "tests": [{"input": "21\n", "output": "42\n"}],
}
FUNCTION = {
    "id": "add",
    "title": "Sum",
    "statement": "Add two numbers.",
    "entry_point": "add",
    "starter": "def add(a, b):\n    ",
    "difficulty": "easy",
    "date": "2026-11-24",
    "limits": {"time_s": 2, "memory_mb": 64},
    "tests": [{"input": [1, [2]], "output": None}],
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_plain_tasks(tmp_path: Path) -> None:
    program, function = load(write(tmp_path / "mine.jsonl", PROGRAM, FUNCTION))
    assert (program.id, program.problem.kind, program.date) == ("twice", "stdin", None)
    assert program.grading_tests == (Example(input="1\n", output="2\n"), Example(input="21\n", output="42\n"))
    assert (function.problem.kind, function.problem.entry_point, function.title) == ("function", "add", "Sum")
    assert function.hidden.tests == (Example(input="1\n[2]", output="null"),)
    assert (function.problem.limits.time_s, function.problem.limits.memory_mb) == (2.0, 64)
    assert str(function.date) == "2026-11-24"
    assert [t.id for t in load(f"plain={tmp_path / 'mine.jsonl'}")] == ["twice", "add"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tests": []}, "tests"),
        ({"test": []}, "test"),
        ({"statement": ""}, "statement"),
        ({"tests": [{"input": [1], "output": 2}]}, r"tests\[0\]"),
        ({"entry_point": "f", "tests": [{"input": "1", "output": 2}], "examples": []}, r"tests\[0\]\.input"),
        ({"entry_point": "a b", "tests": [{"input": [1], "output": 2}], "examples": []}, "entry_point"),
        ({"limits": {"time_s": 0}}, r"limits\.time_s"),
        ({"date": "soon"}, "date"),
        ({"id": "first"}, "repeats that of row 1"),
    ],
)
def test_malformed_plain_rows_are_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    path = write(tmp_path / "mine.jsonl", PROGRAM | {"id": "first"}, PROGRAM | changes)
    with pytest.raises(BadInput, match=field) as caught:
        load(path)
    assert f"{path}: row 2" in str(caught.value)
    assert "42" not in str(caught.value)


def test_plain_by_name_needs_a_path() -> None:
    with pytest.raises(BadInput, match="plain=PATH"):
        load("plain")


# ---------------------------------------------------------------- LiveCodeBench's files


def official_row(name: str, day: str = "2024-09-01T00:00:00") -> dict[str, Any]:
    tests = json.dumps([{"input": "1\n", "output": "2\n", "testtype": "stdin"}])
    return {
        "question_id": name,
        "question_title": "Double",
        "question_content": "Print twice the number.",
        "platform": "atcoder",
        "contest_date": day,
        "public_test_cases": tests,
        "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(tests))).decode(),
        "metadata": "{}",
    }


def release_file(directory: Path, version: int, rows: int) -> Path:
    path = directory / livecodebench.file_name(version)
    return write(path, *(official_row(f"v{version}_{i}", f"2024-0{version}-01") for i in range(rows)))


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of three small releases, of 4, 3 and 2 rows."""
    directory = tmp_path / "lcb"
    directory.mkdir()
    counts = {livecodebench.file_name(v): 5 - v for v in (1, 2, 3)}
    monkeypatch.setattr(livecodebench, "FILE_ROWS", counts)
    for version in (1, 2, 3):
        release_file(directory, version, 5 - version)
    return directory


def chosen(path: object, tmp_path: Path, **fields: object) -> Loaded:
    return load_selection(from_mapping({"dataset": str(path), **fields}), tmp_path)


def test_the_published_numbers_of_rows() -> None:
    sums = [sum(livecodebench.ROWS[:n]) for n in range(1, 7)]
    assert sums == [400, 511, 612, 713, 880, 1055]
    assert livecodebench.FILE_ROWS["test6.jsonl"] == 175


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        ("release_v1", [1]),
        ("release_v5", [1, 2, 3, 4, 5]),
        ("release_latest", [1, 2, 3, 4, 5, 6]),
        ("v6", [6]),
        ("v4_v5", [4, 5]),
    ],
)
def test_releases_and_slices(release: str, wanted: list[int]) -> None:
    assert list(livecodebench.versions(release)) == wanted


@pytest.mark.parametrize("release", ["v7", "release_v0", "v5_v4", "6", "release_v4_v5"])
def test_unknown_releases_are_refused(release: str) -> None:
    with pytest.raises(BadInput, match="release"):
        livecodebench.versions(release)


def test_a_copy_of_ones_own(copy: Path, tmp_path: Path) -> None:
    assert len(chosen(copy, tmp_path, release="release_v3").tasks) == 9
    assert len(chosen(f"livecodebench={copy}", tmp_path).tasks) == 9
    assert [t.id for t in chosen(copy, tmp_path, release="v2_v3", until="2024-02-28").tasks] == [
        "v2_0", "v2_1", "v2_2",
    ]  # fmt: skip
    assert len(chosen(copy / "test2.jsonl", tmp_path).tasks) == 3
    with pytest.raises(BadInput, match=r"has no test4\.jsonl"):
        chosen(copy, tmp_path, release="release_v4")
    with pytest.raises(BadInput, match="--release chooses"):
        chosen(copy / "test2.jsonl", tmp_path, release="v2")
    with pytest.raises(BadInput, match="revision"):
        chosen(copy, tmp_path, revision="main")


def test_a_partial_file_names_the_first_missing_row(copy: Path, tmp_path: Path) -> None:
    release_file(copy, 2, 2)
    with pytest.raises(BadInput, match=r"test2\.jsonl: has 2 rows, .* has 3: row 3 and what follows"):
        chosen(copy, tmp_path, release="v2")
    release_file(copy, 2, 4)
    with pytest.raises(BadInput, match=r"test2\.jsonl: has 4 rows, .* has 3: row 4 is new"):
        chosen(copy / "test2.jsonl", tmp_path)
    (copy / "test2.jsonl").write_text((copy / "test3.jsonl").read_text()[:-40])
    with pytest.raises(BadInput, match=r"test2\.jsonl: row 2: is not JSON \(cut off"):
        chosen(copy / "test2.jsonl", tmp_path)


def test_normalised_rows_in_a_file_of_that_name_are_not_counted(copy: Path, tmp_path: Path) -> None:
    row = {"question_id": "q", "question_content": "x", "public_tests": []}
    row["private_tests"] = [{"input": "1", "output": "1", "testtype": "stdin"}]
    assert len(chosen(write(tmp_path / "test.jsonl", row), tmp_path).tasks) == 1


def test_a_release_means_nothing_for_other_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="release 'v6' means nothing"):
        chosen(write(tmp_path / "mine.jsonl", PROGRAM), tmp_path, release="v6")
    with pytest.raises(BadInput, match="means nothing for bundled"):
        chosen("bundled", tmp_path, release="v6")


# ---------------------------------------------------------------- downloads


class FakeHub:
    """Stands in for huggingface_hub: files by commit, and what was asked for."""

    def __init__(self, copy: Path) -> None:
        self.copy = copy
        self.asked: list[tuple[str, str]] = []
        self.fails: Exception | None = None

    def download(
        self, repo: str, file: str, *, repo_type: str, revision: str, local_dir: Path, **_: object
    ) -> str:
        assert (repo, repo_type) == (livecodebench.REPO, "dataset")
        if self.fails:
            raise self.fails
        self.asked.append((file, revision))
        (local_dir / file).write_bytes((self.copy / file).read_bytes())
        return str(local_dir / file)


@pytest.fixture
def hub(copy: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(copy)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.download)
    monkeypatch.setattr(hub_module, "must_answer", lambda url, host: None)
    return fake


def test_a_download_is_pinned_and_checked(hub: FakeHub, tmp_path: Path) -> None:
    loaded = chosen("livecodebench", tmp_path, release="v2_v3")
    assert len(loaded.tasks) == 5
    assert hub.asked == [("test2.jsonl", livecodebench.REVISION), ("test3.jsonl", livecodebench.REVISION)]
    assert {source.revision for source in loaded.sources} == {livecodebench.REVISION}
    release_file(hub.copy, 3, 1)
    with pytest.raises(BadInput, match=r"test3\.jsonl: has 1 rows"):
        chosen("livecodebench", tmp_path, release="v3")


def test_a_download_says_which_release(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="say which release"):
        chosen("livecodebench", tmp_path)


def test_a_branch_is_resolved_to_its_commit(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Api:
        def dataset_info(self, repo: str, revision: str) -> Any:
            assert (repo, revision) == (livecodebench.REPO, "main")
            return type("Info", (), {"sha": "f" * 40})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    loaded = chosen("livecodebench", tmp_path, release="v3", revision="main")
    assert loaded.sources[0].revision == "f" * 40


def test_without_a_network_what_is_there_is_used_and_the_rest_fails_at_once(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen("livecodebench", tmp_path, release="v3")

    def silent(url: str, host: str) -> None:
        assert f"/{livecodebench.REVISION}/test2.jsonl" in url
        raise SourceUnavailable(f"{host} cannot be reached")

    monkeypatch.setattr(hub_module, "must_answer", silent)
    assert len(chosen("livecodebench", tmp_path, release="v3").tasks) == 2
    with pytest.raises(InfrastructureError, match="cannot be reached; give your own copy as NAME=PATH"):
        chosen("livecodebench", tmp_path, release="v2")


def test_failed_downloads(hub: FakeHub, tmp_path: Path) -> None:
    hub.fails = LocalEntryNotFoundError("no connection")
    with pytest.raises(InfrastructureError, match=r"no connection; give your own copy as NAME=PATH"):
        chosen("livecodebench", tmp_path, release="v3")
    answer = httpx.Response(404, request=httpx.Request("GET", "http://hub.test"))
    hub.fails = RevisionNotFoundError("no such revision", response=answer)
    with pytest.raises(BadInput, match=r"at 0fe84c.*no such revision"):
        chosen("livecodebench", tmp_path, release="v3")
