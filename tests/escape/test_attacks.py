"""Every attack, at every level that this machine has, and the sandbox after it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from atlas.errors import StartupError
from services.sandbox.runner import Runner
from tests.escape import good
from tests.escape.attempts import attempt
from tests.escape.corpus import ATTACKS, PROGRAMS, Attack
from tests.escape.scene import Scene, adopt_orphans

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene() as made:
        yield made


@pytest.fixture(scope="module", params=["namespaces", "pod"])
def runner(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Runner]:
    adopt_orphans()
    try:
        made = Runner.start(jobs=2, isolation=request.param)
    except StartupError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.name}{'-compiled' * attack.long}")
def test_the_attack_fails_and_the_next_request_is_served(attack: Attack, runner: Runner, scene: Scene):
    achieved = attempt(attack, runner, scene)
    if achieved:
        scene.mend()  # the next attack must not be blamed for it
    assert not achieved
    for program in good.both(random.Random(attack.name)):
        assert not program.wrong(runner.execute(program.request))


def test_the_corpus_has_every_program():
    programs = {path.stem for path in PROGRAMS.glob("*.py")}
    used = {attack.name for attack in ATTACKS} | {attack.then for attack in ATTACKS if attack.then}
    assert programs == used
    assert len({attack.name for attack in ATTACKS}) >= 45
