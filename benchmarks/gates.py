"""Rows of validation tables: what was measured, what was wanted, and whether that was met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Row", "at_least", "at_most", "print_tables", "told", "within"]

Row = tuple[str, str, str, bool | None]
"""what, measured, wanted, met (None = nothing was asked for)"""


def at_most(what: str, value: float, limit: float, form: str = ".4f") -> Row:
    """A row of something that must not be larger."""
    return what, f"{value:{form}}", f"<= {limit:g}", bool(value <= limit)


def at_least(what: str, value: float, limit: float, form: str = ".4f") -> Row:
    """A row of something that must not be smaller."""
    return what, f"{value:{form}}", f">= {limit:g}", bool(value >= limit)


def within(what: str, value: float, low: float, high: float, form: str = ".3f") -> Row:
    """A row of something with two limits."""
    return what, f"{value:{form}}", f"{low:g} to {high:g}", bool(low <= value <= high)


def told(what: str, text: str) -> Row:
    """A row of something nothing is asked of."""
    return what, text, "", None


def print_tables(parts: Mapping[str, tuple[str, Callable[[], Iterator[Row]]]], names: Sequence[str] = ()) -> int:
    """Print the tables that are named, or all; how many rows missed what was wanted."""
    missed = 0
    for name in names or parts:
        title, rows = parts[name]
        print(f"\n### {title}\n\n| what | found | wanted | met |\n|---|---|---|---|", flush=True)
        for what, value, wanted, met in rows():
            verdict = {None: "", True: "yes", False: "**no**"}[met]
            missed += met is False
            print(f"| {what} | {value} | {wanted} | {verdict} |", flush=True)
    print(f"\n{missed} missed" if missed else "\nall met")
    return missed
