"""Numbers that were given as text, such as "512,512"."""

from __future__ import annotations

from typing import Any

from crystint.errors import SettingError

__all__ = ["numbers"]


def numbers(name: str, text: str | None, count: int, kind: type) -> tuple[Any, ...] | None:
    """`count` numbers of a text with commas between them; None for None.

    Raises
    ------
    SettingError
        When they are not that many.
    """
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.replace(" ", ",").split(",") if part)
    except ValueError:
        values = ()
    if len(values) != count:
        raise SettingError(f"{name} is {text!r}, expected {count} numbers with commas between them")
    return values
