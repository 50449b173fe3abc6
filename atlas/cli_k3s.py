"""`atlas k3s`: Kubernetes' objects, and a box from bare machine to answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atlas.cli_common import ConfigOption, group

CpuOption = Annotated[bool, typer.Option("--cpu", help="without a GPU: a small model on the processor")]
ValuesOption = Annotated[
    Path | None, typer.Option("--values", help="values for the chart, over atlas.conf's", metavar="FILE")
]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="namespace of ATLAS", metavar="NAME")]

app = group(
    "ATLAS on one machine with K3s, or on a cluster of yours.\n\n"
    "The chart in charts/atlas is the only source of objects; atlas.conf and --values fill it in. "
    "scripts/install.sh, verify-install.sh and uninstall.sh are these commands in a venv of their own.\n\n"
    "Examples:\n"
    "  atlas k3s render --cpu | kubectl apply -f -\n"
    "  atlas k3s preflight"
)


@app.command("render")
def render(
    values: ValuesOption = None,
    cpu: CpuOption = False,
    k3s: Annotated[
        bool, typer.Option("--k3s", help="the HelmChart object for K3s's controller, with what a GPU needs")
    ] = False,
    namespace: NamespaceOption = "atlas",
    config: ConfigOption = None,
) -> None:
    """Print every Kubernetes object of ATLAS as YAML, without a cluster.

    Keys of atlas.conf that concern the model, tasks and the sandbox become values of the chart; what --values
    says wins. Secrets are new each time: on a cluster that is to be upgraded name yours
    (apiKey.existingSecret, redis.existingSecret), or use --k3s, whose controller keeps them.

    Examples:
      atlas k3s render
      atlas k3s render --values charts/atlas/values-cpu.yaml
      atlas k3s render --cpu --k3s | kubectl apply -f -
    """
    from atlas.k3s import chart
    from atlas.k3s.values import asked_for

    wanted = asked_for(chart.directory(), cpu=cpu, config=config, file=values)
    if k3s:
        objects = chart.for_k3s(wanted, gpu=chart.uses_gpu(wanted), namespace=namespace)
    else:
        objects = chart.render(wanted, namespace=namespace)
    typer.echo(chart.as_yaml(objects), nl=False)
