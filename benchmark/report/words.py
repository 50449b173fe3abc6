"""How numbers are said in a report: the same in tables, captions and sentences."""

from __future__ import annotations

NOT_MEASURED = "not measured"
MINUS = "−"


def percent(value: float | None, digits: int = 1) -> str:
    """Say a share of 1: `54.9%`."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def share(value: float | None, interval: tuple[float, float] | None) -> str:
    """Say a share with its 95% interval: `54.9% (48.6% to 61.0%)`."""
    if value is None or interval is None:
        return "no result"
    return f"{percent(value)} ({percent(interval[0])} to {percent(interval[1])})"


def points(value: float) -> str:
    """Say a difference of shares in percentage points, with its sign: `+3.2 points`."""
    return f"{_signed(value)} points"


def points_between(interval: tuple[float, float]) -> str:
    """Say an interval of differences: `−1.2 to +7.5 points`."""
    return f"{_signed(interval[0])} to {_signed(interval[1])} points"


def p_value(value: float) -> str:
    """Say a p-value: `p = 0.031`, or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def whole(value: float | None) -> str:
    """Say a number of tokens or the like without digits after the point."""
    return "–" if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Say a time: `0.42 s`, `17.3 s`, `4 min 10 s`, `2 h 05 min`."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def money(value: float | None) -> str:
    """Say a cost in the price's own currency, to two digits that matter."""
    return NOT_MEASURED if value is None else f"{value:.2g}" if value < 1 else f"{value:,.2f}"


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Say names in a row: `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _signed(value: float) -> str:
    rounded = round(100 * value, 1)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f}"
