"""Layouts of the page by name: what panels there are and where, as the page makes and reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from crystint.errors import RefusedError
from crystint.online.state_folder import StateFolder

__all__ = ["MOST_LAYOUTS", "Layouts"]

MOST_LAYOUTS = 200
_LARGEST = 256 * 1024
"""bytes of one"""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FOLDER = "layouts"


class Layouts:
    """Of everybody who uses the folder. Two who change one are told of each other by its revision.

    Parameters
    ----------
    state : StateFolder

    Examples
    --------
    >>> from pathlib import Path
    >>> from crystint.online.layouts import Layouts
    >>> from crystint.online.state_folder import StateFolder
    >>> layouts = Layouts(StateFolder(Path("state")))
    >>> layouts.put("mine", {"panels": ["image"]})["revision"]
    1
    >>> layouts.get("mine")
    ({'panels': ['image']}, 1)
    """

    def __init__(self, state: StateFolder) -> None:
        self._state = state

    def all(self) -> list[dict[str, Any]]:
        """Name, revision, time and size of each; one that is damaged has the revision 0.

        Raises
        ------
        RefusedError
            When the folder cannot be read.
        """
        return [self._described(name) for name in self._names()]

    def get(self, name: str) -> tuple[dict[str, Any], int]:
        """A layout and its revision.

        Raises
        ------
        RefusedError
            not_found; wrong_state when its file is damaged.
        """
        self._check(name)
        held = self._held(name)
        if held is None:
            text = f"there is no layout {name!r}; /api/v1/layouts lists those there are"
            raise RefusedError("not_found", text, "name")
        return held["layout"], held["revision"]

    def put(
        self, name: str, layout: Mapping[str, Any], revision: int | None = None, *, new: bool = False
    ) -> dict[str, Any]:
        """Keep a layout.

        Parameters
        ----------
        name : str
        layout : mapping
            JSON-able.
        revision : int, optional
            That it was made of; None = any.
        new : bool
            There must be none of that name.

        Returns
        -------
        dict
            As one of `all`.

        Raises
        ------
        RefusedError
            conflict when somebody else changed it; too_large; bad_value; wrong_state when it cannot be written.
        """
        self._check(name)
        with self._state.changing():
            before = self._revision(name)
            if new and before is not None:
                raise RefusedError("conflict", f"there is a layout {name!r} already", "If-None-Match")
            _compare(name, revision, before)
            if before is None and len(self._names()) >= MOST_LAYOUTS:
                text = f"there are {MOST_LAYOUTS} layouts, which is the most there may be; remove one first"
                raise RefusedError("too_large", text, "name")
            content = {"revision": (before or 0) + 1, "layout": dict(layout)}
            self._state.write(_file(name), _packed(content))
            return self._described(name)

    def remove(self, name: str, revision: int | None = None) -> None:
        """Remove one.

        Raises
        ------
        RefusedError
            not_found; conflict when somebody else changed it; wrong_state when it cannot be removed.
        """
        self._check(name)
        if not self._state.stamp(_file(name))[0]:
            raise RefusedError("not_found", f"there is no layout {name!r}", "name")
        with self._state.changing():
            _compare(name, revision, self._revision(name))
            self._state.remove(_file(name))

    def _names(self) -> list[str]:
        names = (file.removesuffix(".json") for file in self._state.names(_FOLDER) if file.endswith(".json"))
        return [name for name in names if _NAME.fullmatch(name)]

    @staticmethod
    def _check(name: str) -> None:
        if not _NAME.fullmatch(name):
            text = f"the name is {name[:80]!r}, expected 1 to 64 of A-Z a-z 0-9 _ . -"
            raise RefusedError("bad_value", text, "name")

    def _revision(self, name: str) -> int | None:
        """None = there is none; 0 = it is damaged, and may be replaced."""
        try:
            held = self._held(name)
        except RefusedError:
            return 0
        return None if held is None else int(held["revision"])

    def _held(self, name: str) -> dict[str, Any] | None:
        data = self._state.read(_file(name))
        if data is None:
            return None
        try:
            held = json.loads(data)
            if isinstance(held["layout"], dict) and isinstance(held["revision"], int):
                return dict(held)
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        raise RefusedError("wrong_state", f"the file of the layout {name!r} is damaged; save it anew, or remove it")

    def _described(self, name: str) -> dict[str, Any]:
        _, changed, size = self._state.stamp(_file(name))
        return {"name": name, "revision": self._revision(name) or 0, "saved": changed, "bytes": size}


def _file(name: str) -> str:
    return f"{_FOLDER}/{name}.json"


def _compare(name: str, revision: int | None, before: int | None) -> None:
    if revision is not None and revision != (before or 0):
        text = f"somebody else changed the layout {name!r}: its revision is {before or 0} now, and yours is {revision}"
        raise RefusedError("conflict", text, "If-Match")


def _packed(content: Mapping[str, Any]) -> bytes:
    try:
        data = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise RefusedError("bad_value", "a layout has numbers that are none, or is nested too deep") from None
    if len(data) > _LARGEST:
        raise RefusedError("too_large", f"the layout has {len(data)} bytes, expected at most {_LARGEST}")
    return data
