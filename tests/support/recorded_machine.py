"""A machine for `atlas k3s` that is a directory and recorded answers; what is done to it is kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from atlas.errors import InfrastructureError
from atlas.k3s import release
from atlas.k3s.machine import Machine, Ran

UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nNAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n'
ROCKY = 'NAME="Rocky Linux"\nVERSION_ID="9.6"\nID="rocky"\nPRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"\n'
KERNEL = "6.8.0-79-generic"
GOOD_GPU = "NVIDIA GeForce RTX 5060 Ti, 16311, 580.95.05, 12.0\n"
SMI = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,driver_version,compute_cap",
    "--format=csv,noheader,nounits",
)
MODULES = ("overlay", "br_netfilter", "vxlan", "nf_conntrack")


@dataclass
class RecordedMachine(Machine):
    """`answers`: to commands that ask, by their words; others are not found.

    `failing`: the beginning of commands that fail when they are done; `downloads`: by the end of their URL.
    """

    root: Path
    answers: dict[tuple[str, ...], Ran] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)
    free: int = 200 * 1024
    user: int = 0
    failing: str = ""
    downloads: dict[str, Path] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    images: tuple[str, ...] = ()  # those of any tarball that is imported

    def which(self, name: str) -> bool:
        return name in self.programs

    def uid(self) -> int:
        return self.user

    def free_mib(self, path: str) -> int:
        return self.free

    def port_taken(self, port: int) -> bool:
        return port in self.taken

    def ask(self, *command: str) -> Ran:
        words = tuple(word.replace(str(self.root), "") for word in command)
        return self.answers.get(words, Ran(127))

    def do(self, *command: str, cwd: Path | None = None) -> str:
        line = " ".join(command).replace(str(self.root), "")
        self.done.append(line)
        if self.failing and line.startswith(self.failing):
            raise InfrastructureError(f"`{line}` failed (1): as the test wants it", retryable=False)
        if line == "systemctl restart k3s":
            version = f"k3s version {release.VERSION} (0123abcd)\n"
            self.answers["/usr/local/bin/k3s", "--version"] = Ran(0, version)
            self.answers["systemctl", "is-active", "k3s"] = Ran(0, "active\n")
        listing = ("/usr/local/bin/k3s", "ctr", "-n", "k8s.io", "images", "ls", "-q")
        held = self.answers.get(listing, Ran(0)).out.split()
        if " images import " in line:
            self.answers[listing] = Ran(0, "\n".join([*held, *self.images]))
        if " images tag " in line:
            source, target = command[-2:]
            if source not in held:
                raise InfrastructureError(f"`{line}` failed (1): {source}: not found", retryable=False)
            self.answers[listing] = Ran(0, "\n".join([*held, target]))
        return ""

    def fetch(self, url: str, path: str) -> None:
        for end, file in self.downloads.items():
            if url.endswith(end):
                self.at(path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, self.at(path))
                return
        raise InfrastructureError(f"cannot download {url}: no such thing")

    def put(self, path: str, text: str) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text)


def good_box(root: Path) -> RecordedMachine:
    """An Ubuntu 24 with one RTX 5060 Ti, as it should be before an installation."""
    machine = RecordedMachine(root)
    machine.put("/etc/os-release", UBUNTU)
    machine.put("/proc/meminfo", "MemTotal:       32648948 kB\nMemFree:         1048576 kB\n")
    machine.put("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n")
    machine.put("/sys/module/apparmor/parameters/enabled", "Y\n")
    machine.put("/etc/apparmor.d/abi/3.0", "query {}\n")
    machine.put("/etc/apparmor.d/abi/4.0", "query {}\n")
    machine.put("/proc/sys/user/max_user_namespaces", "127000\n")
    machine.put("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    machine.put("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
    machine.put(f"/lib/modules/{KERNEL}/modules.builtin", "")
    machine.put(
        f"/lib/modules/{KERNEL}/modules.dep", "".join(f"kernel/net/{each}.ko.zst: \n" for each in MODULES)
    )
    machine.at("/run/systemd/system").mkdir(parents=True)
    machine.programs |= {"podman", "nvidia-container-runtime", "apparmor_parser"}
    machine.answers |= {
        ("uname", "-r"): Ran(0, f"{KERNEL}\n"),
        ("uname", "-m"): Ran(0, "x86_64\n"),
        SMI: Ran(0, GOOD_GPU),
        ("systemctl", "is-active", "firewalld"): Ran(4, "inactive\n"),
        ("systemctl", "is-active", "ufw"): Ran(3, "inactive\n"),
    }
    return machine
