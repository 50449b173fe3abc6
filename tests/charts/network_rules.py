"""What NetworkPolicies allow, worked out as their specification says.

A connection is allowed if the sender's policies let it out and the receiver's let it in; a pod that no policy
of a direction selects is free in that direction. `ipBlock` is for addresses outside the cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Party:
    """A pod (labels, its namespace and that one's labels), or an address outside the cluster."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = ""
    namespace_labels: dict[str, str] = field(default_factory=dict)
    address: str = ""


class Network:
    """A cluster whose only policies are these, all of one namespace."""

    def __init__(self, policies: Iterable[Object], namespace: str) -> None:
        self._specs = [policy["spec"] for policy in policies]
        self._namespace = namespace

    def allows(self, sender: Party, receiver: Party, protocol: str, port: int) -> bool:
        """Whether the connection is allowed; `port` is that of the receiver's container."""
        out = self._direction(sender, receiver, "Egress", protocol, port)
        return out and self._direction(receiver, sender, "Ingress", protocol, port)

    def _direction(self, subject: Party, other: Party, direction: str, protocol: str, port: int) -> bool:
        if subject.namespace != self._namespace:  # no policy of these is for it
            return True
        mine = [
            spec
            for spec in self._specs
            if direction in spec["policyTypes"] and _selects(spec["podSelector"], subject.labels)
        ]
        if not mine:
            return True
        peers = "to" if direction == "Egress" else "from"
        return any(
            _ports(rule, protocol, port) and _peers(rule.get(peers), subject, other)
            for spec in mine
            for rule in spec.get(direction.lower(), [])
        )


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "matchExpressions are not worked out here"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def _ports(rule: Object, protocol: str, port: int) -> bool:
    ports = rule.get("ports")
    return not ports or any((each["protocol"], each["port"]) == (protocol, port) for each in ports)


def _peers(peers: list[Object] | None, subject: Party, other: Party) -> bool:
    return not peers or any(_peer(peer, subject, other) for peer in peers)  # none at all is everyone


def _peer(peer: Object, subject: Party, other: Party) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        return bool(other.address) and _within(other.address, block["cidr"], block.get("except", []))
    if other.address:
        return False
    if "namespaceSelector" in peer:
        where = _selects(peer["namespaceSelector"], other.namespace_labels)
    else:
        where = other.namespace == subject.namespace
    return where and _selects(peer.get("podSelector", {}), other.labels)


def _within(address: str, cidr: str, but: list[str]) -> bool:
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(cidr) and not any(ip in ipaddress.ip_network(each) for each in but)
