"""Public names of a package, each loaded when it is first used, so that an import stays fast (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, home: Mapping[str, str], modules: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package : str
        Its name.
    home : mapping of str to str
        The module of crystint, without its first part, that each name comes from.
    modules : collection of str
        Names that are packages of crystint themselves.
    """

    def load(name: str) -> Any:
        """A public name, at its first use."""
        if name in modules:
            return import_module(f"crystint.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"crystint.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        """The public names."""
        return sorted(sys.modules[package].__all__)

    return load, names
