"""The public names of crystint and their docstrings, for the site and for the tests of the reference."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sphinx.pycode import ModuleAnalyzer

PACKAGES = (
    "crystint",
    "crystint.separation",
    "crystint.index",
    "crystint.stills",
    "crystint.correlate",
    "crystint.cbc",
    "crystint.plot",
    "crystint.simulate",
    "crystint.compare",
    "crystint.stream",
    "crystint.online",
)
"""Packages whose ``__all__`` is public."""


@dataclass(frozen=True)
class PublicName:
    """A name that other people's code may use."""

    path: str
    value: Any

    @property
    def kind(self) -> str:
        """The directive of autodoc without "auto": class, function, exception or data."""
        if inspect.isclass(self.value):
            return "exception" if issubclass(self.value, BaseException) else "class"
        return "function" if inspect.isroutine(self.value) else "data"

    @property
    def doc(self) -> str:
        """Its docstring; of data, the string that follows the assignment."""
        if self.kind != "data":
            return inspect.getdoc(self.value) or ""
        return "\n".join(attribute_docstring(self.path.rpartition(".")[2], self.value))


def public_names() -> list[PublicName]:
    """Every name of every public package, without the packages themselves."""
    names = []
    for package in map(import_module, PACKAGES):
        for name in package.__all__:
            value = getattr(package, name)
            if not inspect.ismodule(value):
                names.append(PublicName(f"{package.__name__}.{name}", value))
    return names


def attribute_docstring(name: str, value: object) -> list[str]:
    """Lines of the string that follows the assignment of a module's attribute, in whichever module that stands."""
    for module in sorted(key for key in sys.modules if key.startswith("crystint")):
        if getattr(sys.modules[module], "__dict__", {}).get(name) is value:
            lines = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if lines:
                return list(lines)
    return []
