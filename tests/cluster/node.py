"""One Kubernetes node: etcd, control plane, containerd, kubelet and kube-proxy, in namespaces of their own.

This runs in new mount, network and process namespaces (`inside`): what is mounted, which addresses there are
and what iptables holds is nobody else's, and when it ends, all of it is gone. Pods reach each other, and
nothing beyond.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from atlas.errors import StartupError
from tests.cluster.api import Api
from tests.cluster.binaries import binary
from tests.cluster.images import PAUSE
from tests.cluster.processes import Processes
from tests.cluster.scratch import Scratch

NODE = "atlas-node"
ADDRESS = "10.99.0.1"
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
ETCD = "http://127.0.0.1:2379"
SERVER = f"https://{ADDRESS}:6443"
# Directories whose paths the programs have built in: nobody else's here.
OWN = ("/run", "/var/lib/cni", "/var/lib/kubelet", "/var/log")
USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
}
PROGRAMS = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
    "openssl": "openssl",
    "unshare": "util-linux",
}


def profiles(scratch: Scratch) -> Path:
    """Return where the kubelet looks for seccomp profiles of the node."""
    return scratch.directory("node", "seccomp")


class Node:
    """Starts the node's processes; their files are below `node` in the scratch directory."""

    def __init__(self, scratch: Scratch, processes: Processes) -> None:
        self._scratch = scratch
        self._processes = processes
        self._tokens = {name: secrets.token_hex(16) for name in USERS}

    def start(self, archives: Mapping[str, Path]) -> Api:
        """Start everything and return once the node is Ready and has the images.

        Raises:
            StartupError: a part does not start.
        """
        self._scratch.run(["rm", "-rf", self._scratch.root / "node"], name="node")
        self._namespaces()
        self._control_plane()
        self._kubeconfig("admin")
        api = Api(SERVER, self._tokens["admin"], self._path("certificates", "apiserver.crt"))
        took = self._processes.wait("API server", 180, api.ready)
        self._scratch.say(f"API server {api.version()} answers after {took:.1f} s")
        self._worker(archives)
        took = self._processes.wait("Ready node", 180, lambda: api.node_ready(NODE))
        self._scratch.say(f"node {NODE} is Ready after {took:.1f} s")
        return api

    def _namespaces(self) -> None:
        """Lay private directories over shared ones, and give the node an address."""

        def run(*words: str) -> None:
            self._scratch.run(words, name="node")

        run("mount", "--make-rshared", "/")
        for path in OWN:
            Path(path).mkdir(exist_ok=True)
            run("mount", "-t", "tmpfs", "-o", "mode=755", f"atlas{path.replace('/', '-')}", path)
        run("ip", "link", "set", "lo", "up")
        # A node's address must not be a loopback one.
        run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1")
        for end in ("node0", "node1"):
            run("ip", "link", "set", end, "up")
        run("ip", "address", "add", f"{ADDRESS}/32", "dev", "node0")
        # Services' addresses are on no link; the node itself needs a route to ask for one.
        run("ip", "route", "add", SERVICES, "dev", "node0")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _control_plane(self) -> None:
        path, start = self._path, self._processes.start
        key = path("service-accounts.key")
        self._scratch.run(["openssl", "genrsa", "-out", key, "2048"], name="node")
        tokens = [f'{self._tokens[name]},{user},{name},"{group}"\n' for name, (user, group) in USERS.items()]
        path("tokens.csv").write_text("".join(tokens))
        start(
            "etcd",
            [
                "etcd",
                f"--data-dir={path('etcd')}",
                f"--listen-client-urls={ETCD}",
                f"--advertise-client-urls={ETCD}",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync",
            ],
        )
        start(
            "kube-apiserver",
            [
                binary(self._scratch, "kube-apiserver"),
                f"--etcd-servers={ETCD}",
                f"--cert-dir={path('certificates')}",
                f"--advertise-address={ADDRESS}",
                f"--bind-address={ADDRESS}",
                "--secure-port=6443",
                "--insecure-port=0",
                f"--token-auth-file={path('tokens.csv')}",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-cluster-ip-range={SERVICES}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                # So that nothing of ours can ask for it.
                "--allow-privileged=false",
                "--kubelet-preferred-address-types=InternalIP",
            ],
        )
        certificate = path("certificates", "apiserver.crt")
        self._processes.wait("certificate of the API server", 120, certificate.exists)
        start(
            "kube-controller-manager",
            [
                binary(self._scratch, "kube-controller-manager"),
                f"--kubeconfig={self._kubeconfig('kube-controller-manager')}",
                f"--service-account-private-key-file={key}",
                # Each controller as a user of its own: the bootstrap policy gives rights to these only.
                "--use-service-account-credentials",
                "--leader-elect=false",
                # The machine may be busy with something else.
                "--node-monitor-grace-period=120s",
            ],
        )
        start(
            "kube-scheduler",
            [
                binary(self._scratch, "kube-scheduler"),
                f"--kubeconfig={self._kubeconfig('kube-scheduler')}",
                "--leader-elect=false",
            ],
        )

    def _import(self, archive: Path) -> None:
        try:
            self._ctr("images", "import", str(archive))
        except StartupError:
            # containerd may just then be collecting layers that the image of before shares with this one.
            self._ctr("images", "import", str(archive))

    def _worker(self, archives: Mapping[str, Path]) -> None:
        path, start = self._path, self._processes.start
        socket = path("containerd.sock")
        self._start_containerd(socket)
        for name, archive in archives.items():
            about = archive.stat()
            self._scratch.once(
                f"import {name}",
                f"{about.st_size} {about.st_mtime_ns}",
                partial(self._import, archive),
            )
        start(
            "kubelet",
            [
                binary(self._scratch, "kubelet"),
                f"--config={self._kubelet()}",
                f"--kubeconfig={self._kubeconfig('kubelet')}",
                f"--root-dir={path('kubelet')}",
                f"--cert-dir={path('kubelet-certificates')}",
                f"--seccomp-profile-root={profiles(self._scratch)}",
                f"--hostname-override={NODE}",
                f"--node-ip={ADDRESS}",
                "--container-runtime=remote",
                f"--container-runtime-endpoint=unix://{socket}",
            ],
        )
        start(
            "kube-proxy",
            [
                binary(self._scratch, "kube-proxy"),
                f"--kubeconfig={self._kubeconfig('kube-proxy')}",
                f"--hostname-override={NODE}",
                "--proxy-mode=iptables",
                f"--cluster-cidr={PODS}",
                # The kernel's table of connections belongs to the machine: leave its sizes alone.
                "--conntrack-max-per-core=0",
                "--conntrack-min=0",
                "--conntrack-tcp-timeout-established=0s",
                "--conntrack-tcp-timeout-close-wait=0s",
            ],
        )

    def _start_containerd(self, socket: Path) -> None:
        """Start it on the images it already has, and without the containers that an earlier node left."""
        command = ["containerd", f"--config={self._containerd()}"]
        self._processes.start("containerd", command)
        self._processes.wait("containerd", 120, socket.exists)
        left = self._ctr("containers", "list", "--quiet").split()
        if left:
            self._ctr("containers", "delete", *left)
            self._processes.stop_one("containerd")
            self._processes.start("containerd", command)
            self._processes.wait("containerd", 120, socket.exists)

    def _ctr(self, *words: str) -> str:
        command = ["ctr", f"--address={self._path('containerd.sock')}", "--namespace=k8s.io", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StartupError(f"{' '.join(command[:6])}: {done.stderr}")
        return done.stdout

    def _path(self, *parts: str) -> Path:
        return self._scratch.path("node", *parts)

    def _kubeconfig(self, name: str) -> Path:
        path = self._path(f"{name}.kubeconfig")
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "here",
                    "cluster": {
                        "server": SERVER,
                        "certificate-authority": str(self._path("certificates", "apiserver.crt")),
                    },
                }
            ],
            "users": [{"name": name, "user": {"token": self._tokens[name]}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": name}}],
            "current-context": "here",
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        path.chmod(0o600)
        return path

    def _containerd(self) -> Path:
        runtime = self._path("runc")
        program = Path(__file__).with_name("runtime.py")
        runtime.write_text(f'#!/bin/sh\nexec {sys.executable} -I {program} {shutil.which("runc")} "$@"\n')
        runtime.chmod(0o755)
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "pods0",
                    "isDefaultGateway": True,
                    "hairpinMode": True,
                    "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]]},
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        self._path("cni", "10-pods.conflist").write_text(json.dumps(network))
        config = self._path("containerd.toml")
        cri = '[plugins."io.containerd.grpc.v1.cri"'
        config.write_text(
            f"""version = 2
root = "{self._scratch.directory("containerd")}"
state = "/run/containerd"
[grpc]
address = "{self._path("containerd.sock")}"
{cri}]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{self._path("cni")}"
{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
{cri}.containerd.runtimes.runc.options]
BinaryName = "{runtime}"
""",
            encoding="utf-8",
        )
        return config

    def _kubelet(self) -> Path:
        resolver = self._path("resolv.conf")
        resolver.write_text("# There is no DNS here: pods have hostAliases.\n")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            # Everything that reaches it is in this network namespace.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "failSwapOn": False,
            "podCIDR": PODS,
            "resolvConf": str(resolver),
            # A full disk of the machine is no reason to throw its images and pods away.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "nodefs.available": "1%",
                "imagefs.available": "1%",
                "memory.available": "100Mi",
            },
        }
        path = self._path("kubelet.yaml")
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path
