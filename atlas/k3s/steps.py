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
from atlas.errors import AtlasError
from atlas.k3s import chart, release
from atlas.k3s.cluster import Cluster
from atlas.k3s.facts import K3S, KUBECONFIG, UNIT_FILE, Facts
from atlas.k3s.machine import Machine
from atlas.k3s.preflight import can_isolate
from atlas.k3s.values import APPARMOR_PROFILE, SECCOMP_PROFILE, Values

SECCOMP_FILE = f"/var/lib/kubelet/seccomp/{SECCOMP_PROFILE}"
APPARMOR_FILE = f"/etc/apparmor.d/{APPARMOR_PROFILE}"
IMAGES_FILE = "/var/lib/atlas/images.tar"
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
        images: a tarball of the images; None: they are built here.
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

    @property
    def gpu(self) -> bool:
        """Whether llama-server is given one."""
        return chart.uses_gpu(self.values)

    @property
    def cluster(self) -> Cluster:
        """A client of the cluster."""
        return self.connect(self.kubeconfig or self.machine.at(KUBECONFIG))

    def image_names(self) -> tuple[str, str, str]:
        """Return the images that are ours: services, executor, llama-server."""
        kind = "cuda" if self.gpu else "cpu"
        return (
            f"localhost/atlas:{self.version}",
            f"localhost/atlas-executor:{self.version}",
            f"localhost/atlas-llama-server:{self.version}-{kind}",
        )


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


def profiles(box: Box) -> Step:
    """Profiles that open the sandbox's level `namespaces` in its pod."""
    machine = box.machine
    files = {SECCOMP_FILE: (chart.K3S_FILES / "executor-seccomp.json").read_text(encoding="utf-8")}
    if box.facts.apparmor:
        files[APPARMOR_FILE] = (chart.K3S_FILES / "atlas-executor.apparmor").read_text(encoding="utf-8")

    def do() -> None:
        for path, text in files.items():
            machine.write(path, text)
        if APPARMOR_FILE in files:
            machine.do("apparmor_parser", "-r", str(machine.at(APPARMOR_FILE)))

    def holds() -> bool:
        return all(machine.text(path) == text for path, text in files.items())

    return Step("profiles", f"the sandbox's profiles: {', '.join(files)}", "".join(files.values()), holds, do)


def model(box: Box) -> Step:
    """The model's file, where llama-server's pod looks for it."""
    machine, fact, target = box.machine, box.facts.model, machine_path(box)
    settings = box.values.get("settings") or {}
    names = [fact.name] if fact is not None and not settings.get("modelPath") else []
    if names and box.gpu and (draft := models.named(names[0]).draft):
        names.append(draft)  # speculative decoding pays on a GPU

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
    """Let containers read the models under SELinux, for good where semanage can say so."""
    if box.facts.selinux is None:
        return
    if box.machine.which("semanage"):
        pattern = f"{box.models_dir}(/.*)?"
        known = box.machine.ask("semanage", "fcontext", "-l", "-C").out
        verb = "-m" if pattern in known else "-a"
        box.machine.do("semanage", "fcontext", verb, "-t", CONTAINERS_LABEL, pattern)
        box.machine.do("restorecon", "-R", str(machine_path(box)))
    else:
        box.machine.do("chcon", "-R", "-t", CONTAINERS_LABEL, str(machine_path(box)))


def images(box: Box) -> Step:
    """Our three images, in K3s's own store."""
    machine, names, builder = box.machine, box.image_names(), box.facts.builder
    containerfiles = (
        "deploy/images/atlas.Containerfile",
        "deploy/images/executor.Containerfile",
        "services/llama-server/Containerfile",
    )

    def holds() -> bool:
        held = machine.ask(str(machine.at(K3S)), "ctr", "-n", "k8s.io", "images", "ls", "-q").out.split()
        return set(names) <= set(held)

    def build() -> None:
        for name, file in zip(names, containerfiles, strict=True):
            box.tell(f"  building {name}")
            ignore = chart.ROOT / f"{file}.dockerignore"
            extra = ["--ignorefile", str(ignore)] if builder == "podman" and ignore.is_file() else []
            if "llama-server" in name:
                extra += ["--build-arg", f"BASE={'cuda' if box.gpu else 'cpu'}"]
            machine.do(builder, "build", "-f", file, *extra, "-t", name, ".", cwd=chart.ROOT)
        several = ["--multi-image-archive"] if builder == "podman" else []
        machine.do(builder, "save", *several, "-o", str(machine.at(IMAGES_FILE)), *names)

    def do() -> None:
        if box.images is None:
            machine.at(IMAGES_FILE).parent.mkdir(parents=True, exist_ok=True)
            machine.at(IMAGES_FILE).unlink(missing_ok=True)  # podman adds to an archive that is there
            build()
        tarball = str(box.images or machine.at(IMAGES_FILE))
        machine.do(str(machine.at(K3S)), "ctr", "-n", "k8s.io", "images", "import", tarball)
        if box.images is None:
            machine.at(IMAGES_FILE).unlink(missing_ok=True)
        if not holds() and box.images is not None:
            raise AtlasError(f"{box.images} does not hold {', '.join(names)}")

    how = f"loaded from {box.images}" if box.images else f"built here by {builder}"
    return Step("images", f"images {', '.join(names)}, {how}", " ".join(names), holds, do)


def owner() -> tuple[int, int] | None:
    """Return the user and group that `sudo` was called by; None without."""
    try:
        return int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None


def of_machine(box: Box) -> list[Step]:
    """Return the steps that change the machine; none where the cluster is somebody else's."""
    if box.kubeconfig is not None:
        return []
    steps = []
    if not box.facts.k3s_version or box.facts.k3s_ours:
        steps.append(k3s(box))
    if can_isolate(box.facts):
        steps.append(profiles(box))
    if box.facts.model is not None:
        steps.append(model(box))
    return [*steps, images(box)]
