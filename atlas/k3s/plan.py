"""Which steps an installation has, in their order."""

from __future__ import annotations

from pathlib import Path

from atlas.k3s import images, objects, profiles
from atlas.k3s.preflight import can_isolate
from atlas.k3s.steps import Box, Step, k3s, model


def of_machine(box: Box) -> list[Step]:
    """Return the steps that change the machine; none where the cluster is somebody else's."""
    if box.kubeconfig is not None:
        return []
    steps = []
    if not box.facts.k3s_version or box.facts.k3s_ours:
        steps.append(k3s(box))
    if can_isolate(box.facts):
        steps.append(profiles.step(box))
    if box.facts.model is not None and box.facts.model.path:  # else it is not known which
        steps.append(model(box))
    if images.ours(box.values):
        steps.append(images.step(box))
    return steps


def all_of(box: Box, run_dir: Path) -> list[Step]:
    """Return every step; `run_dir`: where the note of the gateway is left."""
    return [*of_machine(box), *objects.in_cluster(box, run_dir)]
