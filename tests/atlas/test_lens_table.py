"""Weights on disk: found by model and set, one's own first, swapped whole while others score."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from atlas.catalogue import CATALOGUE
from atlas.config import Settings
from atlas.lens.card import Card
from atlas.lens.served import model_sha256, weights_for
from atlas.lens.table import SHIPPED, Shelf, choose, directories, find, read_table
from atlas.llama import ServerFacts
from atlas.llama_fake import FakeModelServer
from atlas.policy import D, E
from tests.support.lens_weights import SHA, WIDTH, span_set, surface_set, write_weights

MODEL = "qwen2.5-coder-0.5b"
SERVED = str(CATALOGUE[MODEL].sha256)


def test_weights_are_found_by_model_and_set(tmp_path: Path) -> None:
    write_weights(tmp_path / "a.safetensors", span_set())
    write_weights(tmp_path / "b.safetensors", surface_set())
    write_weights(tmp_path / "c.safetensors", span_set(), sha256="cd" * 32)
    table = read_table([tmp_path])
    assert not table.problems
    files = {found.path.name: found for found in table.files}
    assert set(files) == {"a.safetensors", "b.safetensors", "c.safetensors"}
    of = table.of(SHA, "span")
    assert of is not None
    assert of.name == files["a.safetensors"].name
    assert table.of(SHA, "reprefill") is None
    assert table.of("00" * 32, "span") is None
    assert table.named(files["b.safetensors"].name) is not None
    assert table.named("span:none") is None


def test_ones_own_come_before_those_that_ship(tmp_path: Path) -> None:
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    write_weights(shipped / "a.safetensors", span_set())
    assert choose(find([own, shipped])[0], SHA, "span").path.parent == shipped  # type: ignore[union-attr]
    write_weights(own / "z.safetensors", span_set(), bias=1)
    assert choose(find([own, shipped])[0], SHA, "span").path.parent == own  # type: ignore[union-attr]


def test_what_cannot_be_used_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    write_weights(tmp_path / "one.safetensors", span_set())
    write_weights(tmp_path / "two.safetensors", span_set(), bias=1)
    write_weights(tmp_path / "good.safetensors", surface_set())
    table = read_table([tmp_path])
    assert [found.path.name for found in table.files] == ["good.safetensors"]
    assert {Path(name).name for name in table.problems} == {
        "broken.safetensors",
        "one.safetensors",
        "two.safetensors",
    }
    why = table.problems[str(tmp_path / "two.safetensors")]
    assert "one.safetensors, two.safetensors are for the same" in why


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "a.safetensors", span_set())
    first = find([tmp_path])[0][0].name
    write_weights(path, span_set(), bias=2)
    assert find([tmp_path])[0][0].name != first


def test_no_request_sees_half_a_model_while_weights_are_swapped(tmp_path: Path) -> None:
    """Writer, reloader and scorers at once: each energy is that of the file its name stands for."""
    path = tmp_path / "a.safetensors"
    biases = (0.0, 1.0, 2.0, 3.0)
    known: dict[str, float] = {}
    x = np.zeros((3, 2 * WIDTH), np.float32)
    for bias in biases:
        write_weights(path, span_set(), bias=bias)
        known[find([tmp_path])[0][0].name] = float(np.logaddexp(0, bias))
    shelf = Shelf([tmp_path])
    seen: set[str] = set()

    def write() -> None:
        for bias in biases:
            write_weights(path, span_set(), bias=bias)

    def reload() -> None:
        assert not shelf.reload().problems

    def score() -> None:
        table = shelf.table
        model = table.of(SHA, "span")
        assert model is not None
        assert table.named(model.name) is model
        assert np.allclose(model.of_rows(x), known[model.name], atol=1e-3)
        seen.add(model.name)

    wrong = hammer((write, reload, reload, score, score), lambda: len(seen) == len(biases))
    assert not wrong
    assert len(seen) == len(biases), "every file was scored with while it was there"


def hammer(works: Sequence[Callable[[], None]], enough: Callable[[], bool]) -> list[BaseException]:
    """Do each work over and over in a thread of its own, for 10 s or until it is enough; what was raised."""
    stop, raised = threading.Event(), list[BaseException]()

    def again_and_again(work: Callable[[], None]) -> None:
        while not stop.is_set():
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test is to tell
                raised.append(error)
                return

    threads = [threading.Thread(target=again_and_again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for _ in range(200):
        if enough() or raised:
            break
        stop.wait(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    return raised


class Server(FakeModelServer):
    """A server that tells its name and the width of its span embeddings."""

    def __init__(self, name: str, span_n_embd: int | None) -> None:
        super().__init__(lambda _: "")
        self.name = name
        self.told = ServerFacts(model=name, context_tokens=2048, slots=1, span_n_embd=span_n_embd)

    async def model(self) -> str:
        return self.name

    async def facts(self) -> ServerFacts:
        return self.told


async def test_a_task_gets_span_weights_where_the_server_gives_spans_else_surface(tmp_path: Path) -> None:
    settings, own = Settings(data_dir=tmp_path), directories(tmp_path)[0]
    span = write_weights(own / "a.safetensors", span_set(), sha256=SERVED, auc=0.9)
    assert (await weights_for(Server(MODEL, WIDTH), settings, E) or "").startswith("span:")
    other = await weights_for(Server(MODEL, WIDTH + 1), settings, E)
    assert other is None or not other.startswith("span:"), "another hidden size is another model"
    write_weights(own / "b.safetensors", surface_set(), sha256=SERVED, auc=0.8)
    assert (await weights_for(Server(MODEL, None), settings, E) or "").startswith("surface:")
    assert (await weights_for(Server(MODEL, WIDTH), settings, E) or "").startswith("span:")
    assert await weights_for(Server("stranger", WIDTH), settings, E) is None
    assert await weights_for(Server(MODEL, WIDTH), settings, D) is None, "a policy without the Lens"
    span.unlink()
    assert (await weights_for(Server(MODEL, WIDTH), settings, E) or "").startswith("surface:")


async def test_a_task_gets_the_set_that_orders_better_by_its_own_account(tmp_path: Path) -> None:
    settings, own = Settings(data_dir=tmp_path), directories(tmp_path)[0]
    for span_auc, surface_auc, kind in (
        (0.6, 0.7, "surface"),
        (0.7, 0.6, "span"),
        (0.6, 0.6, "span"),
        (None, 0.7, "surface"),
        (None, None, "span"),
    ):
        write_weights(own / "a.safetensors", span_set(), sha256=SERVED, auc=span_auc)
        write_weights(own / "b.safetensors", surface_set(), sha256=SERVED, auc=surface_auc)
        chosen = await weights_for(Server(MODEL, WIDTH), settings, E) or ""
        assert chosen.startswith(f"{kind}:"), (span_auc, surface_auc)
        without = await weights_for(Server(MODEL, None), settings, E) or ""
        assert without.startswith("surface:"), "what the server cannot feed is no choice"


def test_a_model_is_known_by_the_catalogue_or_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    settings = Settings(data_dir=tmp_path, model_path=file)
    assert model_sha256("qwen2.5-coder-0.5b", settings) == CATALOGUE["qwen2.5-coder-0.5b"].sha256
    mine = model_sha256("mine", settings)
    assert mine is not None
    assert len(mine) == 64
    assert model_sha256("theirs", settings) is None
    assert model_sha256("mine", Settings(data_dir=tmp_path)) is None


def test_weights_that_ship_are_whole_small_and_have_their_card() -> None:
    table = read_table([SHIPPED])
    assert not table.problems
    for found in table.files:
        assert found.path.stat().st_size < 5_000_000
        card = Card.model_validate_json(found.card.read_bytes())
        assert (card.weights, card.identity) == (found.name, found.identity)
        assert found.card.with_suffix(".md").is_file()
