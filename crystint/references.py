"""Functions named by text, so that naming one imports nothing: as entry points of packages are."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["resolve"]


def resolve(reference: str) -> Callable[..., Any]:
    """The function that "module:function" names; its module is imported now."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]
