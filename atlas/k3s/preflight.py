"""What keeps ATLAS from being installed on a machine, and what mends it. Pure: facts in, findings out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from atlas.doctor import Check
from atlas.k3s.facts import MODULES, PORTS, Facts

RAM_MIB = 14 * 1024  # a machine with 16 GB reports less
CPU_RAM_MIB = 6 * 1024
# Where what the model takes is not known. That is enough for the default one (14,765): a card with 16 GB.
VRAM_MIB = 15_000
# K3s with its images 3 GB, ours 8 (with CUDA) or 2, the journal and room to breathe.
DISK_MIB, CPU_DISK_MIB = 40 * 1024, 15 * 1024
OLDEST_DRIVER = (525, 60)  # runs CUDA 12 at all
BLACKWELL, BLACKWELL_DRIVER = (12, 0), (570, 0)
OLDEST_CAPABILITY = (8, 6)  # services/llama-server/build.sh builds for RTX 30, 40 and 50
SYSTEMS = {"rhel": 9, "rocky": 9, "almalinux": 9, "centos": 9, "ubuntu": 24, "debian": 12}
ARCHITECTURES = ("x86_64", "aarch64")
POD_NETWORKS = ("10.42.0.0/16", "10.43.0.0/16")  # of K3s: pods and services
SANDBOX_HELP = "docs/SANDBOX.md says what `pod` keeps out"


@dataclass(frozen=True)
class Wanted:
    """What kind of installation is asked for.

    `own_cluster`: one that is there, by its kubeconfig; `images_ours`: any that no registry has.
    """

    gpu: bool = True
    own_cluster: bool = False
    images_given: bool = False
    images_ours: bool = True
    k3s_given: bool = False


def judge(facts: Facts, wanted: Wanted) -> list[Check]:
    """Return a finding for everything that matters to what is wanted; `missing` ones forbid to go on."""
    found = [*_settings(facts)]
    if wanted.own_cluster:
        return found
    checks: list[Callable[[Facts, Wanted], Iterator[Check]]] = [
        *(_system, _root, _kernel, _memory, _disk, _gpu, _ports, _selinux, _firewall, _k3s, _images, _model),
        _sandbox,
    ]
    return found + [each for check in checks for each in check(facts, wanted)]


def forbids(findings: list[Check]) -> bool:
    """Whether one of the findings must be mended first."""
    return any(each.state == "missing" for each in findings)


def can_isolate(facts: Facts) -> bool:
    """Whether our profiles open the sandbox's level `namespaces` in pods on this kernel."""
    return facts.user_namespaces > 0 and not facts.selinux


def _settings(facts: Facts) -> Iterator[Check]:
    if facts.conf_error:
        yield Check("settings", "missing", facts.conf_error, "correct it; atlas.conf.example has all keys")
    else:
        yield Check("settings", "ok", "atlas.conf can be read, or there is none")


def _system(facts: Facts, _: Wanted) -> Iterator[Check]:
    oldest = SYSTEMS.get(facts.os_id)
    major = int(found[0]) if (found := re.match(r"\d+", facts.os_version)) else 0
    if facts.arch not in ARCHITECTURES:
        yield Check("system", "missing", f"{facts.arch}: the sandbox knows {' and '.join(ARCHITECTURES)}", "")
    elif not facts.systemd:
        fix = "boot with systemd, or name a cluster that is there: --kubeconfig FILE"
        yield Check("system", "missing", f"{facts.os_name} without systemd, which K3s is started by", fix)
    elif oldest is None:
        detail = f"{facts.os_name}: this was made for RHEL 9, Ubuntu 24, Debian 12 and newer"
        yield Check("system", "warning", detail)
    elif major < oldest:
        fix = f"upgrade it to release {oldest} or newer"
        yield Check("system", "missing", f"{facts.os_name} is too old", fix)
    else:
        yield Check("system", "ok", f"{facts.os_name}, {facts.arch}")


def _root(facts: Facts, _: Wanted) -> Iterator[Check]:
    if facts.uid:
        yield Check("root", "missing", f"this is user {facts.uid}", "sudo scripts/install.sh")
    else:
        yield Check("root", "ok", "this is root")


def _kernel(facts: Facts, _: Wanted) -> Iterator[Check]:
    if facts.cgroups != 2:
        detail = f"{facts.kernel} with cgroup v1" if facts.cgroups else f"{facts.kernel} without cgroups"
        fix = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
        yield Check("kernel", "missing", f"{detail}: this K3s needs v2", fix)
    elif facts.modules_missing:
        names = " ".join(facts.modules_missing)
        fix = f"install the kernel's modules (RHEL: dnf install kernel-modules-extra); modprobe -a {names}"
        yield Check("kernel", "missing", f"{facts.kernel} has no {names}", fix)
    else:
        yield Check("kernel", "ok", f"{facts.kernel}: cgroup v2, {', '.join(MODULES)}")


def _memory(facts: Facts, wanted: Wanted) -> Iterator[Check]:
    need = RAM_MIB if wanted.gpu else CPU_RAM_MIB
    detail = f"{facts.ram_mib:,} MiB, {need:,} wanted"
    if facts.ram_mib >= need:
        yield Check("memory", "ok", detail)
    else:
        fix = "a machine with 16 GB, or --cpu" if wanted.gpu else "a machine with 8 GB"
        yield Check("memory", "missing", detail, fix)


def _disk(facts: Facts, wanted: Wanted) -> Iterator[Check]:
    need = DISK_MIB if wanted.gpu else CPU_DISK_MIB
    if facts.model is not None and not facts.model.there:
        need += facts.model.download_mib
    detail = f"{facts.disk_mib:,} MiB free in /var/lib, {need:,} wanted"
    if facts.disk_mib >= need or "images" in facts.steps_done:
        yield Check("disk", "ok", detail)
    else:
        yield Check("disk", "missing", detail, "free some, or mount a larger disk there")


def _gpu(facts: Facts, wanted: Wanted) -> Iterator[Check]:
    if not wanted.gpu:
        yield Check("gpu", "ok", "none is asked for")
        return
    if facts.gpu_error:
        fix = (
            "reboot if the driver was just updated; else install NVIDIA's driver anew, until nvidia-smi works"
        )
        yield Check("gpu", "missing", f"the driver does not work: {facts.gpu_error}", fix)
    elif not facts.gpus and facts.nvidia_card:
        fix = "install NVIDIA's driver, 570 or newer, and reboot (Ubuntu: ubuntu-drivers install)"
        yield Check("gpu", "missing", "there is an NVIDIA card, and no driver for it", fix)
    elif not facts.gpus:
        yield Check("gpu", "missing", "no NVIDIA GPU", "install without: --cpu")
    else:
        yield from _card(facts)


def _card(facts: Facts) -> Iterator[Check]:
    gpu = max(facts.gpus, key=lambda each: each.vram_mib)
    driver = ".".join(map(str, gpu.driver))
    detail = f"{gpu.name}, {gpu.vram_mib:,} MiB, driver {driver}"
    oldest = BLACKWELL_DRIVER if gpu.capability >= BLACKWELL else OLDEST_DRIVER
    need = facts.model.vram_mib if facts.model is not None else VRAM_MIB
    name = facts.model.name if facts.model is not None else "a model in a volume claim"
    if gpu.capability < OLDEST_CAPABILITY:
        fix = "RTX 30, 40 or 50; or install without: --cpu"
        yield Check("gpu", "missing", f"{detail}: too old a GPU for our build of llama-server", fix)
    elif need is not None and gpu.vram_mib < need:
        fix = (
            "less in atlas.conf: CONTEXT_TOKENS, SLOTS, KV_TYPE=q8_0, DRAFT_MODEL=none, a smaller MODEL "
            f"(`atlas doctor --vram {gpu.vram_mib // 1024}` plans); or --cpu"
        )
        yield Check("gpu", "missing", f"{detail}: {need:,} wanted for {name}", fix)
    elif gpu.driver < oldest:
        fix = f"install NVIDIA's driver {oldest[0]} or newer, and reboot"
        yield Check("gpu", "missing", f"{detail}: too old for CUDA 12 on this GPU", fix)
    elif need is None and gpu.vram_mib < VRAM_MIB:
        fix = f"atlas models pull {name}; atlas doctor --model {name} --vram {gpu.vram_mib // 1024}"
        yield Check("gpu", "warning", f"{detail}: what {name} takes is known once it is here", fix)
    else:
        yield Check("gpu", "ok", detail)
    if facts.toolkit:
        yield Check("gpu toolkit", "ok", "nvidia-container-runtime is there")
    else:
        detail = "no nvidia-container-runtime, by which pods are given the GPU"
        fix = "install NVIDIA's container toolkit (package nvidia-container-toolkit of NVIDIA's repository)"
        yield Check("gpu toolkit", "missing", detail, fix)


def _ports(facts: Facts, _: Wanted) -> Iterator[Check]:
    # Our own K3s holds its ports: that is how they should be.
    taken = [f"{port} ({PORTS[port]})" for port in facts.ports_taken if not facts.k3s_version]
    if taken:
        first = facts.ports_taken[0]
        fix = f"stop what listens there: ss -ltnp 'sport = :{first}'"
        yield Check("ports", "missing", f"taken: {', '.join(taken)}", fix)
    else:
        yield Check("ports", "ok", f"{', '.join(map(str, PORTS))} are free, or K3s's own")


def _selinux(facts: Facts, _: Wanted) -> Iterator[Check]:
    if facts.selinux == "enforcing" and not facts.selinux_policy and not facts.k3s_version:
        fix = "dnf install container-selinux, and k3s-selinux from K3s's own repository"
        yield Check("selinux", "missing", "enforcing, without K3s's policy", fix)
    elif facts.selinux:
        yield Check("selinux", "ok", f"{facts.selinux}: the models' directory gets the label of containers")
    else:
        yield Check("selinux", "ok", "not on")


def _firewall(facts: Facts, _: Wanted) -> Iterator[Check]:
    if not facts.firewall:
        yield Check("firewall", "ok", "none of firewalld and ufw is on")
        return
    allow = (
        "; ".join(f"ufw allow from {each} to any" for each in POD_NETWORKS)
        if facts.firewall == "ufw"
        else "firewall-cmd --permanent --zone=trusted "
        + " ".join(f"--add-source={each}" for each in POD_NETWORKS)
        + "; firewall-cmd --reload"
    )
    yield Check("firewall", "warning", f"{facts.firewall} is on and may part pods from each other", allow)


def _k3s(facts: Facts, wanted: Wanted) -> Iterator[Check]:
    if facts.k3s_version and facts.k3s_ours:
        yield Check("k3s", "ok", f"{facts.k3s_version}, installed by this")
    elif facts.k3s_version:
        detail = f"{facts.k3s_version} is there already: it is used as it is"
        yield Check("k3s", "warning", detail, "to leave it alone: --kubeconfig of another cluster")
    else:
        where = "it is given by --k3s-binary" if wanted.k3s_given else "it will be fetched"
        yield Check("k3s", "ok", f"not there; {where}")


def _images(facts: Facts, wanted: Wanted) -> Iterator[Check]:
    if not wanted.images_ours:
        yield Check("images", "ok", "from a registry, as the values say")
    elif wanted.images_given:
        yield Check("images", "ok", "given by --images")
    elif facts.builder:
        yield Check("images", "ok", f"built here by {facts.builder}")
    elif "images" in facts.steps_done:
        yield Check("images", "ok", "built before")
    else:
        fix = "install podman (or docker), or load a tarball of them: --images FILE"
        yield Check("images", "missing", "neither podman nor docker is here to build them", fix)


def _model(facts: Facts, _: Wanted) -> Iterator[Check]:
    model = facts.model
    if model is None:
        yield Check("model", "ok", "in a volume claim, as the values say")
    elif model.trouble:
        yield Check("model", "missing", model.trouble, model.mend)
    elif model.there:
        yield Check("model", "ok", model.path)
    elif model.download_mib:
        yield Check("model", "ok", f"{model.name} will be fetched ({model.download_mib:,} MiB)")
    else:
        fix = f"put it there, readable for everyone: install -D -m 644 FILE {model.path}"
        yield Check("model", "missing", f"{model.path} is not there", fix)


def _sandbox(facts: Facts, _: Wanted) -> Iterator[Check]:
    if can_isolate(facts):
        how = "profiles for seccomp and AppArmor" if facts.apparmor else "a profile for seccomp"
        yield Check("sandbox", "ok", f"level `namespaces`, by {how}")
    elif facts.selinux:
        detail = "runs at level `pod`: under SELinux no profile of ours opens `namespaces`"
        yield Check("sandbox", "warning", detail, SANDBOX_HELP)
    else:
        detail = "runs at level `pod`: user namespaces are switched off"
        yield Check("sandbox", "warning", detail, "sysctl user.max_user_namespaces=10000")
