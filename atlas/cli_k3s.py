"""`atlas k3s`: Kubernetes' objects, and a box from bare machine to answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli_common import TROUBLE, ConfigOption, JsonOption, group, settings_of, stderr, stdout

if TYPE_CHECKING:
    from atlas.doctor import Check
    from atlas.installed import InstalledStack
    from atlas.k3s.preflight import Wanted
    from atlas.k3s.steps import Box

MODELS = Path("/var/lib/atlas/models")

CpuOption = Annotated[bool, typer.Option("--cpu", help="without a GPU: a small model on the processor")]
ValuesOption = Annotated[
    Path | None, typer.Option("--values", help="values for the chart, over atlas.conf's", metavar="FILE")
]
ModelsOption = Annotated[
    Path, typer.Option("--models", help="directory of the models, for the pod to read", metavar="DIR")
]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", help="a cluster that is there, instead of K3s", metavar="FILE")
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images", help="tarball of the images [built here]", metavar="FILE", exists=True, dir_okay=False
    ),
]
K3sBinaryOption = Annotated[
    Path | None,
    typer.Option("--k3s-binary", help="K3s's binary [fetched]", metavar="FILE", exists=True, dir_okay=False),
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

    wanted = asked_for(chart.directory(), cpu=cpu, settings=settings_of(config), file=values)
    if k3s:
        objects = chart.for_k3s(wanted, gpu=chart.uses_gpu(wanted), namespace=namespace)
    else:
        objects = chart.render(wanted, namespace=namespace)
    typer.echo(chart.as_yaml(objects), nl=False)


@app.command("preflight")
def preflight(
    cpu: CpuOption = False,
    values: ValuesOption = None,
    models: ModelsOption = MODELS,
    kubeconfig: KubeconfigOption = None,
    images: ImagesOption = None,
    k3s_binary: K3sBinaryOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Look at this machine: what would keep ATLAS from being installed, and the command that mends it.

    Nothing is changed. `atlas k3s install` looks first, too.

    Examples:
      atlas k3s preflight
      atlas k3s preflight --cpu --json

    Exit codes:
      0  it can be installed; warnings are allowed
      1  something is missing
    """
    box, wanted = _box(cpu, values, models, kubeconfig, images, k3s_binary, "atlas", config)
    if not _looked_at(box, wanted, as_json=as_json):
        raise typer.Exit(TROUBLE)


@app.command("install")
def install(
    cpu: CpuOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show findings and plan, change nothing")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="do not ask before the machine is changed")
    ] = False,
    values: ValuesOption = None,
    models: ModelsOption = MODELS,
    kubeconfig: KubeconfigOption = None,
    images: ImagesOption = None,
    k3s_binary: K3sBinaryOption = None,
    namespace: NamespaceOption = "atlas",
    config: ConfigOption = None,
) -> None:
    """Install ATLAS on this machine, with K3s, or on the cluster of --kubeconfig.

    It looks at the machine, shows its plan and asks. Every step can be done again: the same command goes on
    after an interruption, repairs what was changed, and upgrades. The journal, keys and models stay.

    On a cluster of --kubeconfig nothing is built or loaded: its nodes must be able to pull the images that
    --values names.

    Examples:
      atlas k3s install --dry-run
      atlas k3s install --yes
      atlas k3s install --cpu --images images.tar --k3s-binary k3s

    Exit codes:
      0  installed, and every pod is ready
      1  the machine lacks something, or a step failed; says which, and what shows more
    """
    from atlas.k3s.install import carry_out, plan
    from atlas.k3s.plan import all_of, of_machine
    from atlas.k3s.state import STATE_FILE, read_state
    from atlas.k3s.steps import owner

    box, wanted = _box(cpu, values, models, kubeconfig, images, k3s_binary, namespace, config)
    good = _looked_at(box, wanted)
    if not good and not dry_run:
        stderr().print("nothing was changed: mend what is missing first", style="red")
        raise typer.Exit(TROUBLE)
    if box.facts.conf_error:  # then it is not known where the note of the gateway goes
        steps, state = of_machine(box), STATE_FILE
    else:
        run_dir = settings_of(config).run_dir
        steps, state = all_of(box, run_dir), box.state_file(run_dir)
    done = read_state(box.machine, state)
    out = stdout()
    out.print("\nThe plan:")
    for planned in plan(steps, done):
        out.print(
            f"  {planned.step.name:<9} {'' if planned.todo else '(holds) '}{planned.step.says}", markup=False
        )
    if dry_run:
        if not good:
            raise typer.Exit(TROUBLE)
        return
    if not yes:
        typer.confirm("\nGo on?", abort=True)
    carry_out(box.machine, steps, lambda line: out.print(line, markup=False), state)
    sudo = "sudo " if owner() else ""
    out.print(
        f"\nATLAS is installed. Try it: {sudo}./scripts/verify-install.sh; "
        "python3 benchmark/v3_runner.py --limit 2"
    )


@app.command("verify")
def verify(
    no_task: Annotated[
        bool, typer.Option("--no-task", help="leave out the task to solve, which takes a minute or more")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check an installed ATLAS: nodes, GPU, pods, endpoints, generation, Lens, sandbox, and one task.

    Nothing is changed but for that task, which stays in the journal.

    Examples:
      atlas k3s verify
      atlas k3s verify --no-task --json

    Exit codes:
      0  every check passed; warnings are allowed
      1  one failed: says what mends it or shows more
    """
    from atlas.k3s import chart
    from atlas.k3s.cluster import connect
    from atlas.k3s.verify import Place
    from atlas.k3s.verify import verify as checked

    stack = _installed(config)
    cluster = connect(Path(stack.kubeconfig))
    llama = cluster.get(f"/apis/apps/v1/namespaces/{stack.namespace}/deployments/atlas-llama-server")
    found: list[Check] = []

    def tell(check: Check) -> None:
        found.append(check)
        if not as_json:
            _show([check])

    good = checked(Place(cluster, stack, chart.wants_gpu(llama)), tell, task=not no_task)
    if as_json:
        _print_json(found)
    if not good:
        raise typer.Exit(TROUBLE)


@app.command("uninstall")
def uninstall(
    data: Annotated[bool, typer.Option("--data", help="the journal, the keys and the models, too")] = False,
    k3s: Annotated[bool, typer.Option("--k3s", help="K3s, too, if it was installed by ATLAS")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, change nothing")] = False,
    models: ModelsOption = MODELS,
    kubeconfig: KubeconfigOption = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="namespace of ATLAS [as installed from here]", metavar="NAME"),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Take ATLAS away. The journal, the keys and the models stay, unless --data is given.

    Which cluster and namespace that is was noted when it was installed; a machine that is not part of the
    cluster is left alone.

    Examples:
      atlas k3s uninstall --dry-run
      atlas k3s uninstall --yes
      atlas k3s uninstall --k3s --data
    """
    from atlas.errors import ConfigError
    from atlas.installed import find
    from atlas.k3s.chart import NAMESPACE
    from atlas.k3s.cluster import connect
    from atlas.k3s.facts import KUBECONFIG, OURS, UNIT_FILE
    from atlas.k3s.machine import Machine
    from atlas.k3s.uninstall import Removal, remove, says

    run_dir = settings_of(config).run_dir
    noted = find(run_dir)
    place = kubeconfig or Path(noted.kubeconfig if noted else KUBECONFIG)
    namespace = namespace or (noted.namespace if noted else NAMESPACE)
    machine, out = Machine(), stdout()
    removal = Removal(data, k3s, here=place == Path(KUBECONFIG))
    for line in says(removal, namespace, models, ours=OURS in machine.text(UNIT_FILE)):
        out.print(f"  {line}", markup=False)
    if dry_run:
        return
    if removal.here and machine.uid():
        raise ConfigError(f"this is user {machine.uid()}, and K3s is root's: sudo scripts/uninstall.sh")
    if not yes:
        typer.confirm("Go on?", abort=True)
    remove(
        machine,
        connect(place) if place.exists() or not removal.here else None,
        removal,
        namespace=namespace,
        models_dir=models,
        run_dir=run_dir,
        tell=lambda line: out.print(f"removing {line}", markup=False),
    )


def _box(
    cpu: bool,
    values: Path | None,
    models: Path,
    kubeconfig: Path | None,
    images: Path | None,
    k3s_binary: Path | None,
    namespace: str,
    config: Path | None,
) -> tuple[Box, Wanted]:
    """Look at the machine, and lay the values together that its installation has."""
    from importlib.metadata import version

    from atlas.config import Settings
    from atlas.errors import ConfigError
    from atlas.k3s import chart
    from atlas.k3s import images as own_images
    from atlas.k3s.cluster import connect
    from atlas.k3s.facts import gather
    from atlas.k3s.machine import Machine
    from atlas.k3s.preflight import Wanted, can_isolate
    from atlas.k3s.steps import Box
    from atlas.k3s.values import asked_for, merged, of_box
    from atlas.models import models_dir_of

    try:
        settings = settings_of(config)
    except ConfigError:  # preflight says so, beside everything else
        settings = Settings()
    machine = Machine()
    asked = asked_for(chart.directory(), cpu=cpu, settings=settings, file=values)
    facts = gather(machine, asked, models, config)
    if kubeconfig is None:
        isolates = can_isolate(facts)
        asked = merged(of_box(models, seccomp=isolates, apparmor=facts.apparmor), asked)
        asked = merged(own_images.tags(asked, version("atlas"), archive=images), asked)
    box = Box(
        machine=machine,
        facts=facts,
        values=asked,
        models_dir=models,
        local_models=models_dir_of(settings),
        connect=connect,
        images=images,
        k3s_binary=k3s_binary,
        kubeconfig=kubeconfig,
        namespace=namespace,
        version=version("atlas"),
        tell=lambda line: stdout().print(line, markup=False),
    )
    wanted = Wanted(
        gpu=chart.uses_gpu(asked),
        own_cluster=kubeconfig is not None,
        images_given=images is not None,
        images_ours=bool(own_images.ours(asked)),
        k3s_given=k3s_binary is not None,
    )
    return box, wanted


def _looked_at(box: Box, wanted: Wanted, *, as_json: bool = False) -> bool:
    from atlas.k3s.preflight import forbids, judge

    findings = judge(box.facts, wanted)
    if as_json:
        _print_json(findings)
    else:
        _show(findings)
    return not forbids(findings)


def _installed(config: Path | None) -> InstalledStack:
    from atlas.errors import StartupError
    from atlas.installed import find

    run_dir = settings_of(config).run_dir
    stack = find(run_dir)
    if stack is None:
        raise StartupError(f"nothing was installed from here ({run_dir}): scripts/install.sh does it")
    return stack


def _print_json(checks: list[Check]) -> None:
    import dataclasses
    import json

    typer.echo(json.dumps({"checks": [dataclasses.asdict(check) for check in checks]}))


def _show(checks: list[Check]) -> None:
    from rich.text import Text

    from atlas.cli_doctor import COLOURS

    for check in checks:
        stdout().print(
            Text(f"{check.name:<16}"), Text(f"{check.state:<8}", COLOURS[check.state]), Text(check.detail)
        )
        if check.mend:
            stdout().print(Text(f"{'':<26}→ {check.mend}", "bold"))
