"""The K3s that is installed: which release, how its binary is known to be the right one, how it starts."""

from __future__ import annotations

from atlas.errors import InfrastructureError, StartupError
from atlas.k3s.facts import K3S, OURS
from atlas.k3s.machine import Machine

VERSION = "v1.36.5+k3s1"
URL = "https://github.com/k3s-io/k3s/releases/download/{version}/{file}"
# Of the binaries by architecture. What is not here is checked against the list that lies beside the binary in
# the release: that tells a broken download, but not a changed release.
SHA256 = {"x86_64": "d73847bcd3c5fccef0115b372e2f9a91f3032dc84bbf71518a4617565294d313"}
FILES = {"x86_64": ("k3s", "sha256sum-amd64.txt"), "aarch64": ("k3s-arm64", "sha256sum-arm64.txt")}
CONFIG_FILE = "/etc/rancher/k3s/config.yaml"
FETCHED = f"{K3S}.new"  # beside it, to take its place at once
SUMS = "/var/lib/atlas/k3s.sums"

# The gateway is a NodePort: K3s's ingress and load balancer would only open ports of the box.
CONFIG = f"""\
# {OURS} (atlas k3s install).
write-kubeconfig-mode: "0600"
disable: [traefik, servicelb]
secrets-encryption: true
"""
SELINUX_CONFIG = "selinux: true\n"
UNIT = f"""\
# {OURS} (atlas k3s install).
[Unit]
Description=K3s, a small Kubernetes
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStartPre=-/sbin/modprobe -a br_netfilter overlay
ExecStart=/usr/local/bin/k3s server
# Pods outlive a restart of K3s.
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""


def trust(arch: str) -> str:
    """Say what the binary is held against."""
    if arch in SHA256:
        return f"sha256 {SHA256[arch][:12]}…, pinned"
    return "sha256 from the release's own list: none is pinned for this architecture"


def put_binary(machine: Machine, arch: str, given: str | None) -> None:
    """Put K3s's binary in place: `given`, a file, or fetched.

    Raises:
        InfrastructureError: it cannot be had.
        StartupError: it is not what its checksum promises; the one in place is left as it was.
    """
    name, sums = FILES[arch]
    if given is None:
        machine.fetch(URL.format(version=VERSION.replace("+", "%2B"), file=name), FETCHED)
    else:
        machine.take(given, FETCHED)
    expected = SHA256.get(arch)
    if expected is None and given is None:
        machine.fetch(URL.format(version=VERSION.replace("+", "%2B"), file=sums), SUMS)
        expected = listed(machine.text(SUMS), name)
    if expected is None:
        raise StartupError(f"no sha256 of {VERSION} for {arch} is pinned: let it be fetched")
    actual = machine.sha256(FETCHED)
    if actual != expected:
        machine.at(FETCHED).unlink()
        whence = given or "the download"
        raise StartupError(
            f"{whence} is not K3s {VERSION} for {arch}: its sha256 is {actual}, not {expected}; try "
            "again, or fetch that release yourself and name it with --k3s-binary"
        )
    machine.at(FETCHED).chmod(0o755)
    machine.at(FETCHED).replace(machine.at(K3S))


def listed(sums: str, name: str) -> str:
    """Return a file's hash from a list of them.

    Raises:
        InfrastructureError: it is not in the list.
    """
    for line in sums.splitlines():
        digest, _, file = line.partition(" ")
        if file.strip().lstrip("*") == name and len(digest) == 64:
            return digest
    raise InfrastructureError(f"the release's list of checksums has no {name}")
