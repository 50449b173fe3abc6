"""The profiles that open the sandbox's level `namespaces` in its pod, as AppArmor here can read them."""

from __future__ import annotations

from atlas.k3s import chart
from atlas.k3s.facts import Facts
from atlas.k3s.machine import Machine
from atlas.k3s.steps import Box, Step
from atlas.k3s.values import APPARMOR_PROFILE, SECCOMP_PROFILE

SECCOMP_FILE = f"/var/lib/kubelet/seccomp/{SECCOMP_PROFILE}"
APPARMOR_FILE = f"/etc/apparmor.d/{APPARMOR_PROFILE}"
# Of AppArmor: what the profile is written for. A parser refuses an ABI, and rules, that it does not know.
NEWEST_ABI = "4.0"
USER_NAMESPACES = "  userns,\n"  # a rule since ABI 4.0; an older AppArmor lets them be


def apparmor_for(abi: str) -> str:
    """Return the profile for an ABI of AppArmor, as in 3.0; empty: one that has no ABIs."""
    text = (chart.K3S_FILES / f"{APPARMOR_PROFILE}.apparmor").read_text(encoding="utf-8")
    if abi == NEWEST_ABI:
        return text
    line = f"abi <abi/{abi}>,\n" if abi else ""
    return text.replace(f"abi <abi/{NEWEST_ABI}>,\n", line).replace(USER_NAMESPACES, "")


def files(facts: Facts) -> dict[str, str]:
    """Return the text of each profile by its place on the machine."""
    found = {SECCOMP_FILE: (chart.K3S_FILES / "executor-seccomp.json").read_text(encoding="utf-8")}
    if facts.apparmor:
        found[APPARMOR_FILE] = apparmor_for(facts.apparmor_abi)
    return found


def step(box: Box) -> Step:
    """Put them in place, and load what the kernel must know."""
    machine, wanted = box.machine, files(box.facts)

    def holds() -> bool:
        return all(machine.text(path) == text for path, text in wanted.items())

    def do() -> None:
        for path, text in wanted.items():
            machine.write(path, text)
        if APPARMOR_FILE in wanted:
            machine.do("apparmor_parser", "-r", str(machine.at(APPARMOR_FILE)))

    says = f"the sandbox's profiles: {', '.join(wanted)}"
    return Step("profiles", says, "".join(wanted.values()), holds, do)


def remove(machine: Machine) -> None:
    """Take them away again."""
    if machine.exists(APPARMOR_FILE) and machine.which("apparmor_parser"):
        machine.do("apparmor_parser", "-R", str(machine.at(APPARMOR_FILE)))
    for path in (SECCOMP_FILE, APPARMOR_FILE):
        machine.at(path).unlink(missing_ok=True)
