"""Kubernetes, from the source package that Debian has of it: the last one that is whole is of 1.20.

Its own make runs every code generator again. All but one of their results are in the package, so here only
that one runs, and then the compiler. Cloud providers and Docker's shim are left out: nothing here uses them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tests.cluster.images import apt_sources
from tests.cluster.scratch import Scratch

VERSION = "1.20.2"
SUITE = "bookworm"
COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
TAGS = "providerless,dockerless"
PROGRAMS = {"go": "golang-go", "dpkg-source": "dpkg-dev", "apt-get": "apt"}
VENDOR = "k8s.io/kubernetes/vendor/k8s.io"
GENERATED = Path("pkg/generated/openapi")


def build(scratch: Scratch, jobs: int) -> None:
    """Fetch and compile: some 20 minutes of one core, 1.5 GB of memory, 3 GB of disk.

    Raises:
        StartupError: from `Scratch.run`.
    """
    scratch.once("kubernetes source", f"{VERSION} {SUITE}", lambda: _fetch(scratch))
    # A GOPATH, as the vendored packages are found by no other mode of that age.
    tree = scratch.path("kubernetes", "go", "src", "k8s.io", "kubernetes")
    environment = {
        "GOPATH": str(scratch.root / "kubernetes" / "go"),
        "GOCACHE": str(scratch.root / "kubernetes" / "cache"),
        "GO111MODULE": "off",
        "GOPROXY": "off",
        "GOFLAGS": f"-p={jobs}",
        "CGO_ENABLED": "0",
    }
    scratch.once("kubernetes openapi", VERSION, lambda: _openapi(scratch, tree, environment))
    for command in COMMANDS:
        make = partial(_compile, scratch, tree, environment, command)
        scratch.once(command, f"{VERSION} {TAGS}", make)


def binary(scratch: Scratch, name: str) -> Path:
    return scratch.path("kubernetes", "bin", name)


def _fetch(scratch: Scratch) -> None:
    """Get the source package by apt, whose own list of sources is left as it is."""
    apt = scratch.directory("kubernetes", "apt")
    scratch.directory("kubernetes", "apt", "lists", "partial")
    for path in apt_sources():
        text = path.read_text(encoding="utf-8")
        old, new = ("Types: deb\n", "Types: deb-src\n") if path.suffix == ".sources" else ("deb ", "deb-src ")
        (apt / path.name).write_text(text.replace(old, new), encoding="utf-8")
    options = [
        "-o=Dir::Etc::SourceList=/dev/null",
        f"-o=Dir::Etc::SourceParts={apt}",
        f"-o=Dir::State::Lists={apt / 'lists'}",
    ]
    scratch.run(["apt-get", *options, "update"], name="kubernetes-source", cwd=apt)
    scratch.run(
        ["apt-get", *options, "source", "--download-only", f"kubernetes/{SUITE}"],
        name="kubernetes-source",
        cwd=apt,
    )
    (package,) = apt.glob("kubernetes_*.dsc")
    tree = scratch.path("kubernetes", "go", "src", "k8s.io", "kubernetes")
    scratch.run(["rm", "-rf", tree], name="kubernetes-source")
    scratch.run(["dpkg-source", "--no-check", "-x", package, tree], name="kubernetes-source", cwd=apt)


def _openapi(scratch: Scratch, tree: Path, environment: Mapping[str, str]) -> None:
    generator = binary(scratch, "openapi-gen")
    package = "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"
    scratch.run(
        ["go", "build", "-o", generator, package],
        name="kubernetes-openapi",
        cwd=tree,
        environment=environment,
    )
    command = ["grep", "-rl", "--include=*.go", "+k8s:openapi-gen=", "pkg", "cmd", "plugin", "staging/src"]
    found = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout
    folders = {
        "k8s.io/kubernetes/" + str(Path(line).parent).replace("staging/src/", "vendor/")
        for line in found.splitlines()
        if not any(other in line for other in ("code-generator/", "sample-apiserver/", "_examples"))
    }
    scratch.run(
        [
            generator,
            "--logtostderr",
            f"-i={','.join(sorted(folders))}",
            f"-p=k8s.io/kubernetes/{GENERATED}",
            "-O=zz_generated.openapi",
            "-h=hack/boilerplate/boilerplate.generatego.txt",
            f"-r={scratch.path('kubernetes', 'openapi-violations')}",
        ],
        name="kubernetes-openapi",
        cwd=tree,
        environment=environment,
    )


def _compile(scratch: Scratch, tree: Path, environment: Mapping[str, str], name: str) -> None:
    major, minor, _ = VERSION.split(".")
    about = {
        "gitVersion": f"v{VERSION}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "debian",
    }
    linked = [
        f"-X={VENDOR}/{package}/version.{word}={value}"
        for package in ("component-base", "client-go/pkg")
        for word, value in about.items()
    ]
    scratch.run(
        [
            "go",
            "build",
            f"-tags={TAGS}",
            "-gcflags=all=-dwarf=false",
            f"-ldflags=-s -w {' '.join(linked)}",
            f"-o={binary(scratch, name)}",
            f"./cmd/{name}",
        ],
        name=f"build-{name}",
        cwd=tree,
        environment=environment,
    )
