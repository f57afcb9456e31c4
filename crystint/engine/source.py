"""Find and read the OpenCL sources that ship with crystint."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from crystint.errors import DeviceError

__all__ = ["kernel_root", "read_kernel"]

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"[ \t]*$', re.MULTILINE)


@cache
def kernel_root() -> Traversable:
    """The folder of kernel sources: inside the installed package, or beside it in a checkout."""
    installed = resources.files("crystint") / "kernels"
    if installed.is_dir():
        return installed
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "kernels").is_dir():
        return checkout / "kernels"
    raise DeviceError(f"crystint was installed without its kernels: there is no {installed}; install it again")


@cache
def read_kernel(name: str) -> str:
    """Text of the kernel file `name` with every ``#include "..."`` replaced by the file it names.

    The text alone decides what is built, so a compiler cache keyed on it cannot go stale. ``#line`` directives
    keep compiler messages pointing at the right file.
    """
    text = kernel_root().joinpath(name).read_text(encoding="utf-8")

    def paste(include: re.Match[str]) -> str:
        line = text.count("\n", 0, include.end()) + 2
        return f'{read_kernel(include[1])}\n#line {line} "{name}"'

    return f'#line 1 "{name}"\n' + _INCLUDE.sub(paste, text)
