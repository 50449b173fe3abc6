"""What there is on a machine, as it matters to K3s and ATLAS. Gathered here; judged in `preflight`."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from atlas import models
from atlas.catalogue import CATALOGUE
from atlas.config import load
from atlas.errors import ConfigError, ModelFileError
from atlas.k3s import needs
from atlas.k3s.machine import Machine
from atlas.k3s.state import read_state
from atlas.k3s.values import NODE_PORT, Values

K3S = "/usr/local/bin/k3s"
UNIT_FILE = "/etc/systemd/system/k3s.service"
OURS = "Written by ATLAS"  # in the unit, if K3s is one that was installed by this
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
MODULES = ("overlay", "br_netfilter", "vxlan", "nf_conntrack")
# The API server, the kubelet, and the gateway.
PORTS = {6443: "Kubernetes' API", 10250: "kubelet", NODE_PORT: "gateway"}
NVIDIA, DISPLAYS = "0x10de", "0x03"  # of PCI: the vendor, and the class of graphics cards
APPARMOR_ABIS = ("4.0", "3.0")  # that the sandbox's profile can be written for


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as its driver tells of it; `capability` as in (12, 0)."""

    name: str
    vram_mib: int
    driver: tuple[int, ...]
    capability: tuple[int, int]


@dataclass(frozen=True)
class ModelFact:
    """The model's file in the models directory.

    `trouble`: why it cannot be used, and `mend`: what mends that. `vram_mib`: the memory of a GPU that it and
    its draft model take with the context and slots that are asked for; None: that is not known yet.
    """

    name: str
    path: str
    there: bool
    trouble: str = ""
    mend: str = ""
    download_mib: int = 0
    vram_mib: int | None = None


@dataclass(frozen=True)
class Facts:
    """All of it. Sizes in MiB; a setting of the kernel that is not there is None."""

    os_id: str
    os_version: str
    os_name: str
    arch: str
    kernel: str
    uid: int
    systemd: bool
    cgroups: int | None
    modules_missing: tuple[str, ...]
    ram_mib: int
    disk_mib: int
    model: ModelFact | None
    gpus: tuple[Gpu, ...] = ()
    gpu_error: str = ""  # what nvidia-smi said when it failed
    nvidia_card: bool = False  # there is one on the bus, whatever the driver says
    toolkit: bool = False
    selinux: str | None = None  # enforcing, permissive; None: off
    selinux_policy: bool = False  # K3s's own
    apparmor: bool = False  # it is on, and profiles can be loaded
    apparmor_abi: str = ""  # the newest of APPARMOR_ABIS that it knows
    user_namespaces: int = 0
    firewall: str = ""
    ports_taken: tuple[int, ...] = ()
    k3s_version: str = ""  # of one that is there
    k3s_ours: bool = False
    builder: str = ""  # podman or docker
    conf_error: str = ""
    steps_done: tuple[str, ...] = field(default=())


def gather(machine: Machine, values: Values, models_dir: Path, config: Path | None = None) -> Facts:
    """Look at a machine; changes nothing, and raises for nothing that it finds."""
    about = _os_release(machine.text("/etc/os-release"))
    gpus, gpu_error = _gpus(machine)
    kernel = machine.ask("uname", "-r").out.strip()
    state = read_state(machine)
    return Facts(
        os_id=about.get("ID", ""),
        os_version=about.get("VERSION_ID", ""),
        os_name=about.get("PRETTY_NAME", "an unknown system"),
        arch=machine.ask("uname", "-m").out.strip(),
        kernel=kernel,
        uid=machine.uid(),
        systemd=machine.exists("/run/systemd/system"),
        cgroups=_cgroups(machine),
        modules_missing=_modules_missing(machine, kernel),
        ram_mib=_number(machine.text("/proc/meminfo"), r"MemTotal:\s+(\d+) kB") // 1024,
        disk_mib=machine.free_mib("/var/lib"),
        model=_model(machine, values, models_dir),
        gpus=gpus,
        gpu_error=gpu_error,
        nvidia_card=_nvidia_card(machine),
        toolkit=machine.which("nvidia-container-runtime"),
        selinux={"1": "enforcing", "0": "permissive"}.get(machine.text("/sys/fs/selinux/enforce").strip()),
        selinux_policy=machine.exists("/usr/share/selinux/packages/k3s.pp"),
        # Without its parser containerd, too, leaves it alone.
        apparmor=machine.text("/sys/module/apparmor/parameters/enabled").strip() == "Y"
        and machine.which("apparmor_parser"),
        apparmor_abi=next(
            (each for each in APPARMOR_ABIS if machine.exists(f"/etc/apparmor.d/abi/{each}")), ""
        ),
        user_namespaces=_number(machine.text("/proc/sys/user/max_user_namespaces"), r"(\d+)"),
        firewall=next((each for each in ("firewalld", "ufw") if _active(machine, each)), ""),
        ports_taken=tuple(port for port in PORTS if machine.port_taken(port)),
        k3s_version=_k3s_version(machine),
        k3s_ours=OURS in machine.text(UNIT_FILE),
        builder=next((each for each in ("podman", "docker") if machine.which(each)), ""),
        conf_error=_conf_error(config),
        steps_done=tuple(state),
    )


def _os_release(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: " ".join(shlex.split(value)) for key, _, value in pairs}


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _cgroups(machine: Machine) -> int | None:
    if machine.exists("/sys/fs/cgroup/cgroup.controllers"):
        return 2
    return 1 if machine.exists("/sys/fs/cgroup/memory") else None


def _modules_missing(machine: Machine, kernel: str) -> tuple[str, ...]:
    """Return what the kernel neither has nor can load; nothing where it keeps no list of that."""
    lists = [machine.text(f"/lib/modules/{kernel}/modules.{each}") for each in ("builtin", "dep")]
    if not any(lists):
        return ()
    return tuple(each for each in MODULES if not any(f"/{each}.ko" in known for known in lists))


def _gpus(machine: Machine) -> tuple[tuple[Gpu, ...], str]:
    fields = "name,memory.total,driver_version,compute_cap"
    ran = machine.ask("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    if ran.code == 127:
        return (), ""
    if ran.code:
        return (), (ran.out.strip() or ran.err.strip()).partition("\n")[0]
    rows = [[cell.strip() for cell in line.split(",")] for line in ran.out.splitlines() if line.strip()]
    try:
        return tuple(
            Gpu(name, int(float(vram)), _dotted(driver), _pair(capability))
            for name, vram, driver, capability in rows
        ), ""
    except ValueError:
        return (), f"nvidia-smi says {ran.out.strip()[:200]!r}"


def _dotted(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split("."))


def _pair(text: str) -> tuple[int, int]:
    major, minor, *_ = (*_dotted(text), 0)
    return major, minor


def _nvidia_card(machine: Machine) -> bool:
    devices = machine.at("/sys/bus/pci/devices")
    return any(
        machine.text(f"/sys/bus/pci/devices/{each.name}/vendor").strip() == NVIDIA
        and machine.text(f"/sys/bus/pci/devices/{each.name}/class").startswith(DISPLAYS)
        for each in (devices.iterdir() if devices.is_dir() else ())
    )


def _active(machine: Machine, service: str) -> bool:
    return machine.ask("systemctl", "is-active", service).out.strip() == "active"


def _k3s_version(machine: Machine) -> str:
    if not machine.exists(K3S):
        return ""
    words = machine.ask(str(machine.at(K3S)), "--version").out.split()
    return words[2] if len(words) > 2 else "of an unknown version"


def _conf_error(config: Path | None) -> str:
    try:
        load(config)
    except ConfigError as error:
        return str(error)
    return ""


def _model(machine: Machine, values: Values, models_dir: Path) -> ModelFact | None:
    llama = values.get("llamaServer") or {}
    if (llama.get("models") or {}).get("source", "hostPath") != "hostPath":
        return None

    def place(name: str) -> Path:
        return machine.at(str(models_dir / name))

    try:
        file = needs.model_file(values)
        draft = needs.draft_file(values, gpu=True)
        vram = needs.vram_mib(values, place)
    except ModelFileError as error:
        return ModelFact("", "", False, str(error), "correct MODEL and DRAFT_MODEL in atlas.conf")
    path = str(models_dir / file)
    there = machine.exists(path)
    known = {each.file: each for each in CATALOGUE.values()}
    if draft is not None and draft not in known and not place(draft).exists():
        lacks = str(models_dir / draft)
        mend = f"put it there, readable for everyone: install -D -m 644 FILE {lacks}"
        return ModelFact(file, path, there, f"{lacks}, which DRAFT_MODEL names, is not there", mend)
    if needs.setting(values, "model_path") or file not in known:
        trouble = _not_gguf(machine, Path(path)) if there else ""
        return ModelFact(file, path, there, trouble, f"put another file there: {path}", vram_mib=vram)
    model = known[file]
    wrong = there and machine.sha256(path) != model.sha256
    return ModelFact(
        model.name,
        path,
        there,
        f"{path} has another sha256 than {model.name} of the catalogue" if wrong else "",
        f"rm {path}, and let it be fetched again",
        download_mib=model.bytes // 2**20,
        vram_mib=vram,
    )


def _not_gguf(machine: Machine, path: Path) -> str:
    with machine.at(str(path)).open("rb") as file:
        good = file.read(len(models.GGUF_MAGIC)) == models.GGUF_MAGIC
    return "" if good else f"{path} is not a GGUF file"
