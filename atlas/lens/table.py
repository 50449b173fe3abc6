"""The weights there are: those that ship, and one's own in DATA_DIR/lens. Swapped whole, never changed.

A request that has a `Table` in hand keeps it: `Shelf.reload` builds another and swaps one reference, so no
request sees half a model, or one file old and another new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from atlas.errors import ConfigError
from atlas.lens.energy import EnergyModel, WeightsIdentity, load, read_identity
from atlas.lens.feature_set import FeatureKind

SHIPPED = Path(__file__).with_name("weights")
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Found:
    """A weights file, not loaded."""

    path: Path
    identity: WeightsIdentity
    name: str

    @property
    def card(self) -> Path:
        """Where its model card is, if it has one."""
        return self.path.with_suffix(".card.json")


@dataclass(frozen=True)
class Table:
    """Loaded weights by name, the files they came from, and why other files were left out, by file."""

    models: Mapping[str, EnergyModel] = field(default_factory=dict)
    files: tuple[Found, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)

    def named(self, name: str) -> EnergyModel | None:
        """The weights of that name."""
        return self.models.get(name)

    def of(self, model_sha256: str, kind: FeatureKind) -> EnergyModel | None:
        """The weights for a GGUF and a kind of feature set, if there are any."""
        found = choose(self.files, model_sha256, kind)
        return self.models[found.name] if found else None


def directories(data_dir: Path) -> tuple[Path, ...]:
    """Return where weights are looked for: one's own come before those that ship."""
    return data_dir / "lens", SHIPPED


def find(where: Sequence[Path]) -> tuple[tuple[Found, ...], dict[str, str]]:
    """Return the weights files of directories, the first to be preferred, and what is wrong with others.

    Of two files of one directory for the same model and set neither is taken: which is meant is not clear.
    """
    files: list[Found] = []
    problems: dict[str, str] = {}
    for directory in where:
        here: dict[tuple[str, str], list[Found]] = {}
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            try:
                status = path.stat()
                found = _found(path, status.st_mtime_ns, status.st_size)
            except (ConfigError, OSError) as error:
                problems[str(path)] = str(error)
                continue
            here.setdefault((found.identity.model_sha256, found.identity.features.kind), []).append(found)
        for same in here.values():
            if len(same) == 1:
                files += same
            else:
                names = ", ".join(each.path.name for each in same)
                problems |= {str(each.path): f"{names} are for the same model and set" for each in same}
    return tuple(files), problems


def choose(files: Sequence[Found], model_sha256: str, kind: FeatureKind) -> Found | None:
    """Return the weights for a GGUF and a kind of feature set, if there are any."""
    wanted = (model_sha256, kind)
    return next((f for f in files if (f.identity.model_sha256, f.identity.features.kind) == wanted), None)


def preference(identity: WeightsIdentity) -> tuple[float, bool]:
    """Sort weights for one model by this: those that order better first, `span` where that is not told."""
    return -(identity.auc or 0.0), identity.features.kind != "span"


def read_table(where: Sequence[Path]) -> Table:
    """Load every weights file of these directories; one that cannot be is a problem of the table's."""
    files, problems = find(where)
    models: dict[str, EnergyModel] = {}
    kept = []
    for found in files:
        try:
            model = load(found.path)
        except ConfigError as error:
            problems[str(found.path)] = str(error)
            continue
        models[model.name] = model
        # The file may have been replaced since it was found: what was loaded counts.
        kept.append(Found(found.path, model.identity, model.name))
    return Table(models, tuple(kept), problems)


class Shelf:
    """Holds the current table. `table` and `reload` may be used from any thread."""

    def __init__(self, where: Sequence[Path]) -> None:
        self._where = tuple(where)
        self._table = read_table(self._where)

    @property
    def table(self) -> Table:
        """The table as it is now; take it once a request."""
        return self._table

    def reload(self) -> Table:
        """Read the directories again and return the table that took the old one's place."""
        table = read_table(self._where)
        self._table = table
        return table


@lru_cache(maxsize=256)
def _found(path: Path, mtime_ns: int, size: int) -> Found:
    identity, name = read_identity(path)
    return Found(path, identity, name)
