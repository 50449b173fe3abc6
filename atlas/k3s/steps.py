"""The steps of an installation: what each says it will do, how it is seen to hold already, how it is done.

Every one can be done again. `atlas.k3s.install` goes through them in order.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from atlas import models
from atlas.catalogue import CATALOGUE
from atlas.k3s import chart, needs, release
from atlas.k3s.cluster import Cluster
from atlas.k3s.facts import K3S, KUBECONFIG, UNIT_FILE, Facts
from atlas.k3s.machine import Machine
from atlas.k3s.state import STATE_FILE
from atlas.k3s.values import LENS_DIR, Values

CONTAINERS_LABEL = "container_file_t"  # what SELinux lets containers read


@dataclass(frozen=True)
class Step:
    """One step; `digest` is of all that goes into it, so that other input does it again."""

    name: str
    says: str
    digest: str
    holds: Callable[[], bool]
    do: Callable[[], None]


@dataclass
class Box:
    """What the steps work on and with.

    Attributes:
        values: of the chart, all of them laid together.
        local_models: where this user's models are (`atlas models pull`): they are not fetched twice.
        images: an archive of the images; None: they are built here.
        k3s_binary: a file that is K3s; None: it is fetched.
        kubeconfig: of a cluster that is there; None: K3s on this machine.
    """

    machine: Machine
    facts: Facts
    values: Values
    models_dir: Path
    local_models: Path
    connect: Callable[[Path], Cluster]
    images: Path | None = None
    k3s_binary: Path | None = None
    kubeconfig: Path | None = None
    namespace: str = chart.NAMESPACE
    version: str = ""
    tell: Callable[[str], None] = field(default=lambda line: None)

    def state_file(self, run_dir: Path) -> str:
        """Return where the steps that are done are noted: not on the machine, if the cluster is elsewhere."""
        return STATE_FILE if self.kubeconfig is None else str(run_dir.resolve() / "install.json")

    @property
    def gpu(self) -> bool:
        """Whether llama-server is given one."""
        return chart.uses_gpu(self.values)

    @property
    def cluster(self) -> Cluster:
        """A client of the cluster."""
        return self.connect(self.kubeconfig or self.machine.at(KUBECONFIG))


def k3s(box: Box) -> Step:
    """K3s itself, as a service of systemd."""
    machine, arch = box.machine, box.facts.arch
    config = release.CONFIG + (release.SELINUX_CONFIG if box.facts.selinux else "")

    def holds() -> bool:
        asked = machine.ask(str(machine.at(K3S)), "--version").out
        active = machine.ask("systemctl", "is-active", "k3s").out.strip() == "active"
        return active and release.VERSION in asked and machine.text(release.CONFIG_FILE) == config

    def do() -> None:
        machine.write(release.CONFIG_FILE, config, 0o600)
        machine.write(UNIT_FILE, release.UNIT)  # before the binary: by it K3s is known as ours
        release.put_binary(machine, arch, str(box.k3s_binary) if box.k3s_binary else None)
        machine.do("systemctl", "daemon-reload")
        machine.do("systemctl", "enable", "k3s")
        machine.do("systemctl", "restart", "k3s")

    whence = f"from {box.k3s_binary}" if box.k3s_binary else "fetched from its project's releases"
    says = (
        f"K3s {release.VERSION}, {whence} ({release.trust(arch)}), as the service k3s; kubeconfig mode 0600"
    )
    return Step("k3s", says, release.VERSION + config, holds, do)


def model(box: Box) -> Step:
    """The model's file, where llama-server's pod looks for it."""
    machine, target = box.machine, machine_path(box)
    wanted = (needs.model_file(box.values), needs.draft_file(box.values, gpu=box.gpu))
    names = [each.name for each in CATALOGUE.values() if each.file in wanted]

    def holds() -> bool:
        return all(machine.exists(str(box.models_dir / models.named(name).file)) for name in names)

    def do() -> None:
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(0o755)
        for name in names:
            entry = models.named(name)
            there, ours = target / entry.file, box.local_models / entry.file
            if not there.exists() and ours.is_file():
                copied = there.with_suffix(".copied")
                shutil.copyfile(ours, copied)
                copied.replace(there)
            models.pull(name, target)
            there.chmod(0o644)
        _label(box)

    says = f"the model {' and '.join(names) or 'of yours'} in {box.models_dir}"
    return Step("model", says, f"{box.models_dir} {names} {box.facts.selinux}", holds, do)


def machine_path(box: Box) -> Path:
    """Return where the models' directory really is."""
    return box.machine.at(str(box.models_dir))


def _label(box: Box) -> None:
    """Let containers read models and Lens weights under SELinux, for good where semanage can say so."""
    if box.facts.selinux is None:
        return
    for_good = box.machine.which("semanage")
    known = box.machine.ask("semanage", "fcontext", "-l", "-C").out if for_good else ""
    for directory in (str(box.models_dir), LENS_DIR):
        path = box.machine.at(directory)
        path.mkdir(parents=True, exist_ok=True)
        if for_good:
            pattern = f"{directory}(/.*)?"
            verb = "-m" if pattern in known else "-a"
            box.machine.do("semanage", "fcontext", verb, "-t", CONTAINERS_LABEL, pattern)
            box.machine.do("restorecon", "-R", str(path))
        else:
            box.machine.do("chcon", "-R", "-t", CONTAINERS_LABEL, str(path))


def owner() -> tuple[int, int] | None:
    """Return the user and group that `sudo` was called by; None without."""
    try:
        return int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None
