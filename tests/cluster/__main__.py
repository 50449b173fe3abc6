"""The chart on a real Kubernetes node, from nothing: `python -m tests.cluster`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from atlas.errors import AtlasError, ConfigError
from tests.cluster import binaries, checks, images, inside, node
from tests.cluster.images import Images
from tests.cluster.scratch import REPO, Scratch, must_have

ABOUT = """Build Kubernetes 1.20 from Debian's source package and the images of ATLAS with podman, start one
real node in namespaces of its own, apply the chart to it, and check that it works: every pod ready, a task
through the gateway, the pod of `helm test`, a benchmark Job, pods killed during a task. Needs root on a
Debian 12, 15 GB of disk, 6 GB of memory; half an hour of two cores the first time, some minutes after."""
EXAMPLES = """examples:
  python -m tests.cluster                                   everything
  python -m tests.cluster --until images                    build only, and go on another time
  python -m tests.cluster --llama-server ~/.cache/atlas/llama-server/KEY   do not compile it again
  python -m tests.cluster --checks task,helm-test --keep    two checks; leave it running until Ctrl-C
  python -m tests.cluster --remove                          delete all that it made

What is done is not done again: each step looks whether what it is made of has changed. Output goes to
log.txt and logs/ in the scratch directory, and nothing outside it is changed; programs that are missing are
named, with the command that installs them.

exit codes: 0 all checks passed; 1 one failed, or a step did (the log says where); 2 wrong arguments;
130 interrupted"""
STEPS = ("kubernetes", "base", "images", "node")
SCRATCH = Path("~/.cache/atlas/cluster-test").expanduser()


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--scratch", type=Path, default=SCRATCH, metavar="DIR", help=f"default: {SCRATCH}")
    parser.add_argument(
        "--models",
        type=Path,
        default=REPO / "data" / "models",
        metavar="DIR",
        help="where `atlas models pull` has put the model (default: data/models)",
    )
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--llama-server",
        type=Path,
        metavar="DIR",
        help="a finished build of scripts/build-llama-server.sh, made on a Debian 12, for the image",
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="compilers at once (default: 2)")
    parser.add_argument("--until", choices=STEPS, default="node", help="the last step (default: node)")
    parser.add_argument(
        "--checks",
        default=",".join(checks.ALL),
        metavar="NAMES",
        help="separated by commas (default: %(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the node running until Ctrl-C")
    parser.add_argument(
        "--remove", action="store_true", help="delete the scratch directory, and nothing else"
    )
    return parser


def carry_out(options: argparse.Namespace, wanted: Sequence[str]) -> int:
    """Do the steps; the exit code.

    Raises:
        AtlasError: a step failed.
    """
    scratch = Scratch(options.scratch.resolve())
    must_have({**binaries.PROGRAMS, **images.PROGRAMS, **node.PROGRAMS})
    binaries.build(scratch, options.jobs)
    if options.until == "kubernetes":
        return 0
    built = Images(scratch)
    scratch.once("base", images.SUITE, built.base)
    if options.until == "base":
        return 0
    built.build(options.llama_server)
    if options.until == "images":
        return 0
    models = _models(scratch, options.models, options.model)
    return inside.start(scratch, models, options.model, wanted, keep=options.keep)


def remove(root: Path) -> None:
    """Delete the scratch directory, if there is one.

    Raises:
        ConfigError: it is something else.
    """
    if not root.exists():
        return
    if not (root / "done").is_dir():
        raise ConfigError(f"{root} is not a directory that `python -m tests.cluster` has made")
    # podman leaves its own directory mounted on itself.
    mounted = root / "podman" / "root" / "overlay"
    subprocess.run(["umount", mounted], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(root)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments and carry them out; the exit code."""
    arguments = parser()
    options = arguments.parse_args(argv)
    wanted = [name for name in options.checks.split(",") if name]
    unknown = sorted(set(wanted) - set(checks.ALL))
    if unknown:
        arguments.error(f"no such check: {', '.join(unknown)}; there are {', '.join(checks.ALL)}")
    if os.geteuid() != 0:
        arguments.error("it needs root: it makes namespaces, mounts and images")
    try:
        if options.remove:
            remove(options.scratch)
            return 0
        return carry_out(options, wanted)
    except AtlasError as error:
        if options.remove:
            sys.stderr.write(f"failed: {error}\n")
        else:
            Scratch(options.scratch.resolve()).say(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _models(scratch: Scratch, models: Path, model: str) -> Path:
    """Return a directory with the model alone, which the user of the pods can read."""
    found = sorted(models.glob(f"{model}*.gguf"))
    if not found:
        raise ConfigError(f"no {model}*.gguf in {models}: `atlas models pull`, or name another with --model")
    folder = scratch.directory("models")
    for path in found:
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    folder.chmod(0o755)
    return folder


if __name__ == "__main__":
    sys.exit(main())
