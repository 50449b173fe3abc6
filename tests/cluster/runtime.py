"""What containerd calls instead of runc: runc, with no resource limit above those that root may set here.

runc raises a container's limits, which takes CAP_SYS_RESOURCE; root in a virtual machine or a container may
lack it, and then no container starts. `runtime.py RUNC ARGUMENT...`
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any


def lowered(limits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return OCI rlimits, each no higher than this process's own."""
    out = []
    for limit in limits:
        _, most = resource.getrlimit(getattr(resource, limit["type"]))
        if most != resource.RLIM_INFINITY:
            limit = {**limit, "hard": min(limit["hard"], most), "soft": min(limit["soft"], most)}
        out.append(limit)
    return out


def described(arguments: list[str]) -> Path | None:
    """Return the file that describes the process to start, if there is one to start."""
    option, short, name = (
        ("--process", "-p", "") if "exec" in arguments else ("--bundle", "-b", "config.json")
    )
    if not {"create", "run", "exec"} & set(arguments):
        return None
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in (option, short):
            return Path(following) / name
        if word.startswith(f"{option}="):
            return Path(word.partition("=")[2]) / name
    return None


def main(arguments: list[str]) -> None:
    """Mend the description, and become runc."""
    runc, *rest = arguments
    path = described(rest)
    if path is not None:
        whole = json.loads(path.read_text(encoding="utf-8"))
        process = whole if "exec" in rest else whole["process"]
        if "rlimits" in process:
            process["rlimits"] = lowered(process["rlimits"])
            path.write_text(json.dumps(whole), encoding="utf-8")
    os.execv(runc, ["runc", *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
