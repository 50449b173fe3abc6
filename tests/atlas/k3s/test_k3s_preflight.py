"""What preflight says of recorded machines: the facts it finds in them, and its findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.doctor import Check
from atlas.k3s import release
from atlas.k3s.facts import Facts, Gpu, gather
from atlas.k3s.machine import Machine, Ran
from atlas.k3s.preflight import Wanted, can_isolate, forbids, judge
from tests.support.recorded_machine import KERNEL, ROCKY, SMI, RecordedMachine, good_box

MODELS = Path("/var/lib/atlas/models")
GPU_VALUES = {"settings": {"model": "qwen3-14b"}}


def facts_of(machine: Machine, values: dict[str, object] | None = None, config: Path | None = None) -> Facts:
    return gather(machine, GPU_VALUES if values is None else values, MODELS, config)


def found(facts: Facts, wanted: Wanted | None = None) -> dict[str, Check]:
    return {each.name: each for each in judge(facts, wanted or Wanted())}


def test_a_good_box_passes(tmp_path: Path) -> None:
    facts = facts_of(good_box(tmp_path))
    assert facts.gpus == (Gpu("NVIDIA GeForce RTX 5060 Ti", 16311, (580, 95, 5), (12, 0)),)
    assert (facts.os_id, facts.os_version, facts.ram_mib) == ("ubuntu", "24.04", 31883)
    assert {check.state for check in judge(facts, Wanted())} == {"ok"}
    assert can_isolate(facts)


def no_gpu(machine: RecordedMachine) -> None:
    del machine.answers[SMI]
    machine.put("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x1002\n")


def no_driver(machine: RecordedMachine) -> None:
    del machine.answers[SMI]


def mismatched_driver(machine: RecordedMachine) -> None:
    machine.answers[SMI] = Ran(18, "Failed to initialize NVML: Driver/library version mismatch\n")


def old_driver(machine: RecordedMachine) -> None:
    machine.answers[SMI] = Ran(0, "NVIDIA GeForce RTX 4080, 16376, 470.256.02, 8.9\n")


def old_driver_for_blackwell(machine: RecordedMachine) -> None:
    machine.answers[SMI] = Ran(0, "NVIDIA GeForce RTX 5060 Ti, 16311, 565.57.01, 12.0\n")


def old_card(machine: RecordedMachine) -> None:
    machine.answers[SMI] = Ran(0, "Tesla T4, 15360, 580.95.05, 7.5\n")


def small_vram(machine: RecordedMachine) -> None:
    machine.answers[SMI] = Ran(0, "NVIDIA GeForce RTX 4060, 8188, 580.95.05, 8.9\n")


def strange_smi(machine: RecordedMachine) -> None:
    machine.answers[SMI] = Ran(0, "NVIDIA GB10, [N/A], 580.95.05, 12.1\n")


def no_toolkit(machine: RecordedMachine) -> None:
    machine.programs.discard("nvidia-container-runtime")


def taken_port(machine: RecordedMachine) -> None:
    machine.taken = {6443}


def selinux(machine: RecordedMachine) -> None:
    machine.put("/etc/os-release", ROCKY)
    machine.put("/sys/fs/selinux/enforce", "1")


def old_system(machine: RecordedMachine) -> None:
    machine.put("/etc/os-release", 'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian 11"\n')


def no_systemd(machine: RecordedMachine) -> None:
    machine.at("/run/systemd/system").rmdir()


def cgroup_v1(machine: RecordedMachine) -> None:
    machine.at("/sys/fs/cgroup/cgroup.controllers").unlink()
    machine.at("/sys/fs/cgroup/memory").mkdir()


def poor_kernel(machine: RecordedMachine) -> None:
    machine.put(f"/lib/modules/{KERNEL}/modules.dep", "kernel/fs/overlayfs/overlay.ko:\n")


def little_memory(machine: RecordedMachine) -> None:
    machine.put("/proc/meminfo", "MemTotal:        8048576 kB\n")


def full_disk(machine: RecordedMachine) -> None:
    machine.free = 45_000  # enough without the model that is still to come


def not_root(machine: RecordedMachine) -> None:
    machine.user = 1000


def no_builder(machine: RecordedMachine) -> None:
    machine.programs.discard("podman")


def wrong_model(machine: RecordedMachine) -> None:
    machine.put(f"{MODELS}/Qwen3-14B-Q4_K_M.gguf", "GGUF, but not all of it")


def arm32(machine: RecordedMachine) -> None:
    machine.answers["uname", "-m"] = Ran(0, "armv7l\n")


@pytest.mark.parametrize(
    ("spoil", "name", "says", "fix"),
    [
        (no_gpu, "gpu", "no NVIDIA GPU", "--cpu"),
        (no_driver, "gpu", "no driver for it", "install NVIDIA's driver"),
        (mismatched_driver, "gpu", "version mismatch", "reboot"),
        (old_driver, "gpu", "driver 470.256.2: too old", "525 or newer"),
        (old_driver_for_blackwell, "gpu", "driver 565.57.1: too old", "570 or newer"),
        (old_card, "gpu", "too old a GPU", "RTX 30"),
        (small_vram, "gpu", "8,188 MiB", "atlas doctor --vram 7"),
        (strange_smi, "gpu", "[N/A]", "nvidia-smi works"),
        (no_toolkit, "gpu toolkit", "nvidia-container-runtime", "nvidia-container-toolkit"),
        (taken_port, "ports", "6443 (Kubernetes' API)", "ss -ltnp"),
        (selinux, "selinux", "without K3s's policy", "k3s-selinux"),
        (old_system, "system", "Debian 11 is too old", "release 12"),
        (no_systemd, "system", "without systemd", "--kubeconfig"),
        (arm32, "system", "armv7l", ""),
        (cgroup_v1, "kernel", "cgroup v1", "unified_cgroup_hierarchy"),
        (poor_kernel, "kernel", "br_netfilter vxlan nf_conntrack", "modprobe"),
        (little_memory, "memory", "7,859 MiB, 14,336 wanted", "--cpu"),
        (full_disk, "disk", "45,000 MiB free", "free some"),
        (not_root, "root", "user 1000", "sudo"),
        (no_builder, "images", "neither podman nor docker", "--images FILE"),
        (wrong_model, "model", "another sha256", f"rm {MODELS}"),
    ],
)
def test_what_is_wrong_is_named_with_its_fix_and_nothing_else_is(
    tmp_path: Path, spoil: Callable[[RecordedMachine], None], name: str, says: str, fix: str
) -> None:
    machine = good_box(tmp_path)
    spoil(machine)
    checks = judge(facts_of(machine), Wanted())
    (bad,) = [check for check in checks if check.state == "missing"]
    assert (bad.name, says in bad.detail, fix in bad.mend) == (name, True, True), bad
    assert forbids(checks)


def test_a_box_without_a_gpu_will_do_for_the_cpu(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    no_gpu(machine)
    little_memory(machine)
    values = {"settings": {"model": "qwen2.5-coder-0.5b"}}
    assert not forbids(judge(facts_of(machine, values), Wanted(gpu=False)))


def test_a_broken_atlas_conf_is_named_with_its_line(tmp_path: Path) -> None:
    conf = tmp_path / "atlas.conf"
    conf.write_text("MODEL=qwen3-14b\nSLOTZ=4\n")
    checks = found(facts_of(good_box(tmp_path / "root"), config=conf))
    assert checks["settings"].state == "missing"
    assert "line 2: unknown key SLOTZ; did you mean SLOTS?" in checks["settings"].detail
    # It matters on a cluster of one's own as well; the machine does not.
    on_cluster = judge(facts_of(RecordedMachine(tmp_path / "nothing"), config=conf), Wanted(own_cluster=True))
    assert [(each.name, each.state) for each in on_cluster] == [("settings", "missing")]


def test_k3s_that_is_there_is_used_and_holds_its_ports(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    machine.put("/usr/local/bin/k3s", "#!\n")
    machine.answers["/usr/local/bin/k3s", "--version"] = Ran(0, "k3s version v1.33.4+k3s1 (148243c4)\ngo\n")
    machine.taken = {6443, 10250}
    checks = found(facts_of(machine))
    assert (checks["k3s"].state, checks["ports"].state) == ("warning", "ok")
    assert "v1.33.4+k3s1 is there already" in checks["k3s"].detail
    machine.put("/var/lib/atlas/install.json", '{"done": {"k3s": "abc"}}')
    machine.put("/etc/systemd/system/k3s.service", release.UNIT)
    facts = facts_of(machine)
    assert (facts.k3s_ours, facts.steps_done) == (True, ("k3s",))
    assert found(facts)["k3s"].state == "ok"


def test_selinux_with_its_policy_is_fine_and_the_sandbox_says_its_level(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    selinux(machine)
    machine.put("/usr/share/selinux/packages/k3s.pp", "")
    checks = found(facts_of(machine))
    assert checks["selinux"].state == "ok"
    assert (checks["sandbox"].state, "level `pod`" in checks["sandbox"].detail) == ("warning", True)


def test_closed_user_namespaces_leave_level_pod(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    machine.put("/proc/sys/user/max_user_namespaces", "0\n")
    sandbox = found(facts_of(machine))["sandbox"]
    assert (sandbox.state, sandbox.mend) == ("warning", "sysctl user.max_user_namespaces=10000")


def test_a_firewall_is_warned_of_with_the_networks_to_allow(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    machine.answers["systemctl", "is-active", "firewalld"] = Ran(0, "active\n")
    checks = judge(facts_of(machine), Wanted())
    firewall = next(each for each in checks if each.name == "firewall")
    assert firewall.state == "warning"
    assert "--add-source=10.42.0.0/16 --add-source=10.43.0.0/16" in firewall.mend
    assert not forbids(checks)


def test_a_model_of_ones_own_must_be_there(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    values = {"settings": {"modelPath": "/data/models/mine.gguf"}}
    assert found(facts_of(machine, values))["model"].state == "missing"
    machine.put(f"{MODELS}/mine.gguf", "not one")
    assert "not a GGUF file" in found(facts_of(machine, values))["model"].detail
    machine.put(f"{MODELS}/mine.gguf", "GGUF")
    assert found(facts_of(machine, values))["model"].state == "ok"
    assert "no model 'x'" in found(facts_of(machine, {"settings": {"model": "x"}}))["model"].detail
    claim = {"llamaServer": {"models": {"source": "claim"}}}
    assert found(facts_of(machine, claim))["model"].detail.startswith("in a volume claim")


def test_a_draft_model_of_ones_own_must_be_there_too(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    values = {"settings": {"model": "qwen3-14b", "draftModel": "/data/models/small.gguf"}}
    model = found(facts_of(machine, values))["model"]
    assert (model.state, f"{MODELS}/small.gguf, which DRAFT_MODEL names" in model.detail) == ("missing", True)
    machine.put(f"{MODELS}/small.gguf", "GGUF")
    assert found(facts_of(machine, values))["model"].state == "ok"


@pytest.mark.parametrize(
    ("vram", "settings", "state", "says"),
    [
        (14_764, {}, "missing", "14,765 wanted for qwen3-14b"),
        (14_765, {}, "ok", "14,765 MiB"),
        (12_282, {"draftModel": "none", "kvType": "q8_0"}, "ok", "12,282 MiB"),
        (16_311, {"contextTokens": 40_960}, "missing", "wanted for qwen3-14b"),
        (8_188, {"model": "qwen2.5-coder-1.5b"}, "warning", "takes is known once it is here"),
        (16_311, {"model": "qwen2.5-coder-1.5b"}, "ok", "16,311 MiB"),
    ],
)
def test_a_card_is_measured_against_the_model_and_settings_that_are_asked_for(
    tmp_path: Path, vram: int, settings: dict[str, object], state: str, says: str
) -> None:
    machine = good_box(tmp_path)
    machine.answers[SMI] = Ran(0, f"NVIDIA GeForce RTX 4070, {vram}, 580.95.05, 8.9\n")
    gpu = found(facts_of(machine, {"settings": settings}))["gpu"]
    assert (gpu.state, says in gpu.detail) == (state, True), gpu


def test_images_of_a_registry_need_nothing_to_build_them(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    no_builder(machine)
    assert found(facts_of(machine), Wanted(images_ours=False))["images"].state == "ok"


def test_this_very_machine_can_be_looked_at_whatever_it_is() -> None:
    facts = gather(Machine(), {"settings": {"model": "smollm2-135m"}}, MODELS)
    assert (facts.ram_mib > 100, facts.disk_mib > 10, facts.kernel != "") == (True, True, True)
    assert all(
        check.mend or check.state == "ok"
        for check in judge(facts, Wanted(gpu=False))
        if check.name != "system"
    )


@given(
    vram=st.integers(0, 200_000),
    major=st.integers(300, 900),
    capability=st.tuples(st.integers(5, 13), st.integers(0, 9)),
)
def test_no_card_passes_that_lacks_what_is_wanted(vram: int, major: int, capability: tuple[int, int]) -> None:
    gpu = Gpu("card", vram, (major, 0), capability)
    facts = replace(EMPTY, gpus=(gpu,), toolkit=True)
    good = vram >= 15_000 and capability >= (8, 6) and major >= (570 if capability >= (12, 0) else 526)
    assert (found(facts)["gpu"].state == "ok") is good


EMPTY = Facts(
    os_id="ubuntu", os_version="24.04", os_name="Ubuntu", arch="x86_64", kernel="6", uid=0, systemd=True,
    cgroups=2, modules_missing=(), ram_mib=32_000, disk_mib=200_000, model=None,
)  # fmt: skip
