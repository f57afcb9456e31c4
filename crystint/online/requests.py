"""What routes read of a request beside its body: whether keys are ones that exist, and revisions."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from fastapi import Request

from crystint.errors import RefusedError

__all__ = ["checked_query", "columns_of", "revision_of", "unknown_key"]


def unknown_key(name: str, key: str, keys: Iterable[str]) -> RefusedError:
    """What is said of a key that does not exist, with the nearest one that does."""
    names = sorted(keys)
    like = get_close_matches(key, names, 1)
    hint = f"; did you mean {like[0]}?" if like else f"; there are {', '.join(names)}" if 0 < len(names) <= 40 else ""
    return RefusedError("bad_value", f"{name[:80]}: no such key{hint}", name[:200])


def checked_query(request: Request) -> None:
    """A dependency of routes: a misspelt parameter of a query is an error, and not ignored.

    Raises
    ------
    RefusedError
        Naming the nearest one.
    """
    dependant = getattr(request.scope.get("route"), "dependant", None)
    if dependant is None:
        return
    names = {field.alias for field in dependant.query_params}
    for key in request.query_params:
        if key not in names:
            raise unknown_key(key, key, names)


def columns_of(text: str | None, names: Iterable[str]) -> list[str]:
    """The columns that a query names with commas between them, each once; None = all.

    Raises
    ------
    RefusedError
        When there is no such column.
    """
    every = list(names)
    if text is None:
        return every
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in every:
            raise unknown_key(name, name, every)
    return list(dict.fromkeys(chosen))


def revision_of(header: str | None) -> int | None:
    """The revision that If-Match names; None = any.

    Raises
    ------
    RefusedError
        When it is none.
    """
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise RefusedError("bad_value", f'If-Match is {header[:40]!r}, expected a revision such as "3"', "If-Match")
    return int(text)
