"""The attacks: which program, how it is run, and how a test knows that it failed.

Each program says on its first line what it tries and what success would be, prints `ESCAPED: ...` when it
succeeds, and `done` when it has tried everything; it gets the host's targets (`scene.Targets`) as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from atlas.contracts import Limits
from atlas.executor import RunStatus
from services.sandbox.runner import WORTH_COMPILING_CHARS

PROGRAMS = Path(__file__).parent / "attacks"

# How a test knows that an attack failed, besides that the program does not say ESCAPED:
# - said: it has no other trace: a call was refused, and the program would know if not;
# - secret: the host's secret is not in what it printed;
# - files, network, ipc: nothing changed in the scene's directory, at its listeners, in the host's IPC;
# - victim: the scene's process lives, runs, and has its priority and limits;
# - processes: nothing lives but the launcher and its slot servers;
# - status: the run ended by the limit it met, in time, and did not take more memory than it may;
# - later: a program that runs after it on the same slot finds nothing;
# - batch: the second run of the same request ran the program that was sent;
# - verdict: the judge did not accept it.
Witness = Literal[
    "said", "secret", "files", "network", "ipc", "victim", "processes", "status", "later", "batch", "verdict"
]

OK, FORBIDDEN, CRASHED = RunStatus.OK, RunStatus.FORBIDDEN, RunStatus.RUNTIME_ERROR
TIME, MEMORY, OUTPUT = RunStatus.TIME_LIMIT, RunStatus.MEMORY_LIMIT, RunStatus.OUTPUT_LIMIT
COMPILE = RunStatus.COMPILE_ERROR

# Whether the attack succeeds outside the sandbox, and its witness says so (`test_controls.py`): not tried (it
# is dangerous, or needs root); yes; yes, unless the machine refuses it to everyone.
Control = Literal["no", "yes", "machine"]
NO: Control = "no"
YES: Control = "yes"
MACHINE: Control = "machine"

# For what ends by another limit or by itself, however slow the machine is; the other for the time limit.
AMPLE = Limits(time_s=10, memory_mb=64, output_kb=64)
BRIEF = Limits(time_s=0.3, memory_mb=64, output_kb=64)


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: its program is `attacks/<name>.py`.
        witness: how a test knows that it failed.
        statuses: how its run may end; `ok` only with `done` as the last line.
        control: whether there is one.
        inputs: how many runs one request asks for.
        long: so long that a request with several inputs has it compiled once, in a run of its own.
        then: the program that runs after it, for the witness `later`.
        known: level to what it does achieve there; docs/SANDBOX.md says so too.
    """

    name: str
    witness: Witness
    statuses: frozenset[RunStatus] = frozenset({OK})
    limits: Limits = AMPLE
    control: Control = NO
    inputs: int = 1
    long: bool = False
    then: str = ""
    kind: Literal["stdin", "function"] = "stdin"
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Its program."""
        return program(self.name) + "#" * WORTH_COMPILING_CHARS * self.long


def program(name: str) -> str:
    """The text of `attacks/<name>.py`."""
    return (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")


def _ends(name: str, *statuses: RunStatus) -> Attack:
    """An attack on the machine's resources."""
    return Attack(name, "status", frozenset(statuses), BRIEF if TIME in statuses else AMPLE)


def _refused(name: str, witness: Witness = "said", *, control: Control = NO) -> Attack:
    """An attack whose every call is refused, so that its program runs to its end."""
    return Attack(name, witness, control=control)


def _judged(
    name: str,
    *statuses: RunStatus,
    kind: Literal["stdin", "function"] = "function",
    control: Control = NO,
) -> Attack:
    """An attack on the judge. Those that must deceive a judge in their own process are controls."""
    return Attack(name, "verdict", frozenset(statuses), kind=kind, control=control)


ATTACKS = (
    # resources
    Attack("fork_bomb", "processes"),
    _ends("thread_bomb", OK),
    _ends("memory_hog", MEMORY),
    _ends("memory_maps", OK, MEMORY),
    _ends("kernel_memory", OK),
    Attack("disk_fill", "later", then="find_files"),
    Attack("inode_fill", "later", then="find_files"),
    Attack("directory_depth", "later", frozenset({OK, CRASHED}), then="find_files"),
    _ends("descriptor_fill", OK),
    _ends("output_flood", OUTPUT),
    _ends("error_flood", OUTPUT, CRASHED),
    _ends("endless_sleep", TIME),
    _ends("endless_loop", TIME),
    _ends("threads_burn", TIME),
    _ends("endless_exit", TIME),
    _ends("stop_itself", OK),
    _ends("kill_itself", OK),
    _ends("huge_integers", TIME),
    _ends("deep_recursion", CRASHED, MEMORY),
    _ends("stack_overflow", CRASHED, MEMORY),
    _ends("segfault", CRASHED),
    _ends("abort", CRASHED),
    _ends("forged_bytecode", CRASHED, MEMORY, TIME),
    _ends("zip_bomb", MEMORY, TIME),
    _ends("pickle_bomb", MEMORY, TIME, FORBIDDEN),
    _ends("regex_bomb", TIME),
    _ends("compile_bomb", MEMORY, TIME, COMPILE),
    Attack("compile_bomb", "status", frozenset({MEMORY, TIME, COMPILE}), BRIEF, inputs=2, long=True),
    # other processes
    _refused("kill_victim", "victim", control=YES),
    _refused("stop_victim", "victim", control=YES),
    _refused("kill_everyone", "processes"),
    _refused("signal_by_other_calls", "victim", control=MACHINE),
    _refused("signal_by_io_owner", "victim", control=YES),
    _refused("signal_by_timer", "said"),
    _refused("trace_victim", "victim", control=MACHINE),
    _refused("read_victim_memory", "secret", control=MACHINE),
    _refused("proc_memory", "secret", control=MACHINE),
    _refused("proc_reads", "secret", control=YES),
    _refused("proc_writes", control=YES),
    _refused("sys_reads", control=YES),
    _refused("environment", "secret", control=YES),
    _refused("inherited_memory", "secret", control=YES),
    _refused("neighbour_data", "secret"),
    _refused("scheduling", "victim", control=YES),
    _refused("raise_limits", "victim", control=YES),
    # files
    _refused("write_outside", "files", control=YES),
    _refused("overwrite_library", "said"),
    _refused("read_canary", "secret", control=YES),
    Attack(
        "stat_canary",
        "said",
        control=YES,
        known={"pod": "Landlock does not hide names: whether a file is there, its size, owner and times"},
    ),
    _refused("climb_directories", "secret", control=YES),
    _refused("chroot", "secret"),
    _refused("symlink", "secret", control=YES),
    _refused("hardlink", "files", control=YES),
    _refused("rename_canary", "files", control=YES),
    _refused("change_metadata", "files", control=YES),
    _refused("lock_files", control=YES),
    _refused("devices"),
    _refused("write_devices"),
    Attack("leave_files", "later", then="find_files"),
    # the network
    _refused("tcp_socket", "network", control=YES),
    _refused("tcp_server", control=YES),
    _refused("udp_socket", "network", control=YES),
    _refused("every_socket_family", control=YES),
    _refused("dns", control=YES),
    _refused("unix_socket", "network", control=YES),
    _refused("abstract_socket", "network", control=YES),
    # the kernel
    _refused("io_uring", control=MACHINE),
    _refused("bpf", control=MACHINE),
    _refused("userfaultfd", control=MACHINE),
    _refused("keyctl", control=MACHINE),
    _refused("mount"),
    _refused("unshare", control=MACHINE),
    _refused("clone3", control=YES),
    _refused("personality", control=MACHINE),
    _refused("set_user"),
    _refused("capabilities"),
    _refused("setuid_programs", control=YES),
    _refused("execute", control=YES),
    _refused("kernel_administration", control=MACHINE),
    _refused("open_by_handle", control=MACHINE),
    _refused("shared_memory", "ipc", control=YES),
    _refused("posix_shared_memory", "files", control=YES),
    _refused("change_own_filter", control=YES),
    Attack("shellcode", "said", control=YES),
    Attack("foreign_calls", "said", frozenset({FORBIDDEN, CRASHED}), control=MACHINE),
    Attack("x32_calls", "said", frozenset({FORBIDDEN, CRASHED})),
    # what survives, and what the next run finds
    Attack("daemon", "processes", control=YES),
    Attack("exit_survivor", "processes", control=YES),
    Attack("leave_state", "later", then="find_state"),
    Attack("descriptors", "said", control=YES),
    Attack("poison_batch", "batch", inputs=2),
    Attack("poison_batch", "batch", inputs=2, long=True),
    # the judge
    Attack("close_everything", "status", frozenset({CRASHED})),
    _judged("judge_equal_to_everything", OK, control=YES),
    _judged("judge_lying_string", OK, control=YES),
    _judged("judge_search_expected", OK, control=YES),
    _judged("judge_patch_builtins", OK, CRASHED, control=YES),
    _judged("judge_fake_verdict", CRASHED, OUTPUT, control=YES),
    _judged("judge_forge_channel", OK, CRASHED),
    _judged("judge_early_exit", OK, kind="stdin"),
    _judged("judge_erase_output", OK, kind="stdin"),
)
