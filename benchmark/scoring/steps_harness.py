"""Runs one step's tests on a submitted program. Not imported: its text is sent to the grader's executor.

On standard input it finds one JSON object: `token`; `imports` that the tests need; `setup`, the problem's own
imports; `given`, steps that are handed out; the `program`; and the step's `tests` with their `targets`, as
`benchmark/datasets/scicode_targets.py` writes them. As in the original benchmark the tests of a step run one
after the other in the program's own namespace, with `target` set for each.

It prints the token and one of: `passed`; `wrong`, an assertion failed; `unable`, what the data needs is not
here, which is not the program's fault. Any other exception ends the run.
"""

# ruff: noqa: ANN401 - values are whatever the data and the program make them
from __future__ import annotations

import base64
import io
import json
import sys
import types
import zlib
from typing import Any


class Nowhere(io.TextIOBase):
    """What the program and the tests print is of no interest."""

    def write(self, text: str) -> int:
        """Take the text."""
        return len(text)


def main() -> None:
    """Read the object, run, print."""
    asked = json.loads(sys.stdin.read())
    bring_back()
    told, sys.stdout, sys.stdin = sys.stdout, Nowhere(), io.StringIO()
    said = verdict(asked)
    told.write(f"{asked['token']} {said}\n")
    told.flush()


def verdict(asked: dict[str, Any]) -> str:
    """Run the program and its tests."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    try:
        sys.modules.update(comparisons())
        exec("\n".join(asked["imports"]), {})  # noqa: S102 - the data's
        exec(asked["setup"], namespace)  # noqa: S102 - the data's
        exec(asked["given"], namespace)  # noqa: S102 - the data's
        targets = [value(target) for target in asked["targets"]]
    except Exception as error:  # noqa: BLE001 - whatever it is, the program has not begun
        return f"unable {type(error).__name__}: {error}"[:500]
    exec(compile(asked["program"], "<program>", "exec"), namespace)  # noqa: S102 - the whole point
    for test, target in zip(asked["tests"], targets, strict=True):
        namespace["target"] = target
        try:
            exec(compile(test, "<test>", "exec"), namespace)  # noqa: S102 - the data's
        except AssertionError:
            return "wrong"
    return "passed"


# Names of numpy 1.26 and scipy 1.13, the versions of when the data was published, that newer ones have not.
# Both the data's own imports and programs use them, and neither is wrong for that.
NUMPY = {
    "Inf": "inf",
    "NaN": "nan",
    "alltrue": "all",
    "complex_": "complex128",
    "cumproduct": "cumprod",
    "float_": "float64",
    "in1d": "isin",
    "infty": "inf",
    "product": "prod",
    "row_stack": "vstack",
    "sometrue": "any",
    "trapz": "trapezoid",
}


def bring_back() -> None:
    """Give numpy and scipy those names again, where they are installed and lack them."""
    try:
        import numpy as np
        from scipy import integrate, special
    except ImportError:  # told of where they are needed
        return
    for old, new in NUMPY.items():
        vars(np).setdefault(old, vars(np)[new])

    def simps(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
        return integrate.simpson(y, x=x, dx=dx, axis=axis)

    def sph_harm(m: Any, n: Any, theta: Any, phi: Any) -> Any:
        return special.sph_harm_y(n, m, phi, theta)

    vars(integrate).setdefault("simps", simps)
    vars(integrate).setdefault("trapz", integrate.trapezoid)
    vars(integrate).setdefault("cumtrapz", integrate.cumulative_trapezoid)
    if "sph_harm_y" in vars(special):
        vars(special).setdefault("sph_harm", sph_harm)


def value(written: dict[str, Any]) -> Any:
    """Turn a target back into what it was."""
    import numpy as np

    ((kind, what),) = written.items()
    if kind == "array":
        name, shape, packed = what
        flat = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.dtype(name))
        return flat[0] if shape is None else flat.reshape(shape).copy()
    if kind == "objects":
        shape, items = what
        array = np.empty(len(items), dtype=object)
        array[:] = [value(item) for item in items]
        return array.reshape(shape)
    if kind == "list":
        return [value(item) for item in what]
    if kind == "tuple":
        return tuple(value(item) for item in what)
    if kind == "dict":
        return {key: value(item) for key, item in what}
    if kind == "sparse":
        return sparse({name: value(part) for name, part in what.items()})
    return what


def sparse(parts: dict[str, Any]) -> Any:
    """Make scipy's matrix of the arrays it was taken apart into."""
    import scipy.sparse

    shape = tuple(int(n) for n in parts["shape"])
    if "row" in parts:
        return scipy.sparse.coo_matrix((parts["data"], (parts["row"], parts["col"])), shape=shape)
    compressed = (parts["data"], parts["indices"], parts["indptr"])
    if "blocksize" in parts:
        return scipy.sparse.bsr_matrix(compressed, shape=shape)
    return scipy.sparse.csr_matrix(compressed, shape=shape)


# ---------------------------------------------------------------- what the tests import to compare with


def comparisons() -> dict[str, types.ModuleType]:
    """The module that SciCode's tests import as scicode.compare.cmp, and the packages it is in."""
    packages = {
        name: types.ModuleType(name) for name in ("scicode", "scicode.compare", "scicode.compare.cmp")
    }
    for name in ("scicode", "scicode.compare"):
        packages[name].__path__ = []
    vars(packages["scicode.compare.cmp"]).update(
        cmp_tuple_or_list=same_sequence, are_dicts_close=same_dict, are_csc_matrix_close=same_matrix
    )
    return packages


def same_sequence(one: Any, other: Any) -> bool:
    """Whether two tuples or lists are as long and close item by item."""
    return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))


def same_dict(one: dict[Any, Any], other: dict[Any, Any], atol: float = 1e-8, rtol: float = 1e-5) -> bool:
    """Whether two dictionaries have the same keys and close values; sympy's symbols are their names."""
    one, other = named(one), named(other)
    return one.keys() == other.keys() and all(same(one[key], other[key], atol, rtol) for key in one)


def same_matrix(one: Any, other: Any) -> bool:
    """Whether two sparse matrices are close."""
    return same(one, other)


def same(one: Any, other: Any, atol: float = 1e-8, rtol: float = 1e-5) -> bool:
    """Whether two values are: numbers and arrays closely, everything else exactly."""
    import numpy as np

    if isinstance(one, dict):
        return same_dict(one, other, atol, rtol)
    if hasattr(one, "toarray"):
        one, other = one.toarray(), other.toarray()
    if isinstance(one, (bool, str)):
        return bool(one == other)
    try:
        return bool(np.allclose(one, other, atol=atol, rtol=rtol))
    except ValueError:  # shapes that do not fit, or what is no number: as the original has it
        return bool(one == other)


def named(values: dict[Any, Any]) -> dict[Any, Any]:
    """The same dictionary with symbols as texts."""
    sympy = sys.modules.get("sympy")
    if sympy is None:
        return values

    def text(item: Any) -> Any:
        return str(item) if isinstance(item, sympy.Symbol) else item

    return {text(key): text(item) for key, item in values.items()}


if __name__ == "__main__":
    main()
