"""The sandbox's profiles are what the machine's AppArmor can read; its parser agrees, where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from atlas.k3s import profiles
from atlas.k3s.facts import APPARMOR_ABIS, gather
from tests.support.recorded_machine import good_box

MODELS = Path("/var/lib/atlas/models")


def test_the_profile_is_of_the_newest_abi_that_the_machine_knows(tmp_path: Path) -> None:
    machine = good_box(tmp_path)
    facts = gather(machine, {}, MODELS)
    assert facts.apparmor_abi == "4.0"
    newest = profiles.files(facts)[profiles.APPARMOR_FILE]
    assert "abi <abi/4.0>,\n" in newest
    assert "  userns,\n" in newest
    machine.at("/etc/apparmor.d/abi/4.0").unlink()  # Debian 12
    older = profiles.files(gather(machine, {}, MODELS))[profiles.APPARMOR_FILE]
    assert "abi <abi/3.0>,\n" in older
    assert "userns" not in older
    changed = set(newest.splitlines()) ^ set(older.splitlines())
    assert changed == {"abi <abi/4.0>,", "abi <abi/3.0>,", "  userns,"}
    machine.at("/etc/apparmor.d/abi/3.0").unlink()
    assert "abi <" not in profiles.files(gather(machine, {}, MODELS))[profiles.APPARMOR_FILE]


@pytest.mark.parametrize("lacks", ["the parser", "the kernel"])
def test_no_profile_for_an_apparmor_that_is_off(tmp_path: Path, lacks: str) -> None:
    machine = good_box(tmp_path)
    if lacks == "the parser":
        machine.programs.discard("apparmor_parser")
    else:
        machine.put("/sys/module/apparmor/parameters/enabled", "N\n")
    assert set(profiles.files(gather(machine, {}, MODELS))) == {profiles.SECCOMP_FILE}


@pytest.mark.skipif(shutil.which("apparmor_parser") is None, reason="no apparmor_parser here")
def test_apparmors_own_parser_takes_it(tmp_path: Path) -> None:
    abi = next((each for each in APPARMOR_ABIS if Path(f"/etc/apparmor.d/abi/{each}").exists()), "")
    file = tmp_path / "profile"
    file.write_text(profiles.apparmor_for(abi))
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_seccomp_profile_is_json_and_opens_what_namespaces_take(tmp_path: Path) -> None:
    facts = replace(gather(good_box(tmp_path), {}, MODELS), apparmor=False)
    (text,) = profiles.files(facts).values()
    profile = json.loads(text)
    refused = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert not refused & {"unshare", "clone", "clone3", "setns", "mount", "umount2", "pivot_root", "seccomp"}
    assert {"bpf", "kexec_load", "init_module", "ptrace", "open_by_handle_at"} <= refused
