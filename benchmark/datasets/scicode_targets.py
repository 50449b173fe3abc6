"""SciCode's numeric targets: what `test_data.h5` holds, in a form that JSON carries and a sandbox can read.

For the step 10.1 the group `10.1/test1` holds the target of its first test. With one member that is the
target, with several it is the tuple of them (var1, var2, ...). A member is a dataset (array, number, text) or
a group: `list` (a list of members), `sparse_matrix` (scipy's coo, csr or bsr by the arrays it is made of), or
else a dictionary, whose keys are numbers where they read as such and the value is not a text.

In JSON each value is an object of one key that says what it is; `benchmark/scoring/steps_harness.py` turns
it back. No pickle: what is handed to a sandbox is plain data, and the same bytes on every machine.
"""

from __future__ import annotations

import base64
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atlas.errors import BadInput, StartupError

if TYPE_CHECKING:
    import h5py

Value = dict[str, Any]
COMPRESSION = 1  # of arrays; most are repetitive, and a run takes 32 MB of input


class Targets:
    """An open `test_data.h5`. Use `with Targets(path) as targets`.

    Raises:
        BadInput: the file is not there or not HDF5.
        StartupError: h5py is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError as e:
            raise StartupError("SciCode's targets need h5py: pip install 'atlas[benchmark]'") from e
        try:
            self._file = h5py.File(path, "r")
        except OSError as e:
            raise BadInput(f"{path}: cannot be read as HDF5: {e}") from e
        self._path = path

    def __enter__(self) -> Targets:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        """How many steps it has targets for."""
        return len(self._file)

    def count(self, step: str) -> int:
        """How many tests of a step there are targets for."""
        return len(self._file[step]) if step in self._file else 0

    def of(self, step: str, tests: int) -> list[Value]:
        """The targets of a step's tests, in their order.

        Raises:
            BadInput: one is missing, or is nothing that can be handed on; names its place in the file.
        """
        found = []
        for number in range(1, tests + 1):
            place = f"{step}/test{number}"
            group = self._file.get(place)
            if group is None or not _is_group(group) or not len(group):
                raise BadInput(f"{self._path}: holds no target {place}")
            try:
                members = [_value(group[name]) for name in _in_order(group)]
            except (TypeError, ValueError, KeyError, OSError) as e:
                raise BadInput(f"{self._path}: the target {place} cannot be read: {e}") from e
            found.append(members[0] if len(members) == 1 else {"tuple": members})
        return found


def _value(member: h5py.Group | h5py.Dataset) -> Value:
    if not _is_group(member):
        return plain(member[()])
    names = set(member)
    if names == {"list"}:
        return {"list": [_value(member["list"][name]) for name in _in_order(member["list"])]}
    if names == {"sparse_matrix"}:
        arrays = member["sparse_matrix"]
        return {"sparse": {name: plain(arrays[name][()]) for name in sorted(arrays)}}
    pairs = [(name, _value(member[name])) for name in member]
    return {"dict": [[_key(name, value), value] for name, value in pairs]}


def plain(value: object) -> Value:
    """A dataset's value as JSON carries it.

    Raises:
        TypeError: it is of a type that NumPy has no name for without its fields.
    """
    if isinstance(value, bytes):
        return {"text": value.decode("utf-8")}
    if isinstance(value, str):
        return {"text": value}
    array = np.asarray(value)
    shape = list(array.shape) if isinstance(value, np.ndarray) else None
    if array.dtype == object:
        return {"objects": [list(array.shape), [plain(item) for item in array.ravel().tolist()]]}
    if array.dtype.fields is not None:
        raise TypeError(f"an array of {array.dtype} is not supported")
    packed = zlib.compress(np.ascontiguousarray(array).tobytes(), COMPRESSION)
    return {"array": [array.dtype.str, shape, base64.b64encode(packed).decode("ascii")]}


def _key(name: str, value: Value) -> str | float:
    if "array" not in value:
        return name
    try:
        return float(name)
    except ValueError:
        return name


def _in_order(group: h5py.Group) -> list[str]:
    """Names as they were given (var1, var2, ..., var10), which is not the order of the alphabet."""

    def place(name: str) -> tuple[str, int]:
        number = re.search(r"\d+$", name)
        return (name[: number.start()], int(number.group())) if number else (name, 0)

    return sorted(group, key=place)


def _is_group(member: object) -> bool:
    return hasattr(member, "keys")
