"""Functions named by text, so that naming one imports nothing: as entry points of packages are."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from importlib import import_module
from typing import Any

__all__ = ["resolve"]


def resolve(reference: str) -> Callable[..., Any]:
    """The function that "module:function" or "module:Class.method" names; its module is imported now."""
    module, _, names = reference.partition(":")
    return reduce(getattr, names.split("."), import_module(module))  # type: ignore[return-value]
