"""Packages with the name of a verb, which are called by mistake: ``crystint.plot(frame)``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NoReturn

from crystint.errors import SettingError

__all__ = ["name_functions"]


class _Package(ModuleType):
    """A package that says which of its functions to call."""

    _called_instead = ""

    def __call__(self, *_arguments: Any, **_more: Any) -> NoReturn:
        raise SettingError(f"{self.__name__} is a package: {self._called_instead}")


def name_functions(package: str, functions: str) -> None:
    """What a call of a package itself says, such as "plot_frame(frame) draws a frame"."""
    module = sys.modules[package]
    module.__class__ = _Package
    module.__dict__["_called_instead"] = functions
