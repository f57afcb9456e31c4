"""Write docs/kernels.md from the headers of kernels/: ``python docs/make_kernels.py``."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "kernels.md"
_HEAD = """\
# Kernels

<!-- made by docs/make_kernels.py from the headers of kernels/; do not edit -->

The kernels are written by hand in OpenCL C 1.2 and lie in the folder `kernels/`, one kernel per file, named like it.
Each is built when it is first used, once per pixel type and set of defines. What is said here is the head of each file.

Every kernel has an oracle, a slow and obvious version in NumPy under `tests/oracles` that knows nothing of the
package, and runs against it on every OpenCL device of the machine.

| kernel | what it makes |
|---|---|
"""


def head(path: Path) -> list[str]:
    """Lines of the comment that a file begins with, without its frame."""
    found = re.match(r"/\*(.*?)\*/", path.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise SystemExit(f"{path} does not begin with a comment")
    return [re.sub(r"^ \* ?", "", line).rstrip() for line in found[1].strip().splitlines()]


def anchor(name: str) -> str:
    """Where a heading is found within the page."""
    return "#" + re.sub(r"[^\w-]", "", name.lower())


def title(path: Path) -> str:
    """What a file is for, in a line."""
    what = head(path)[0].partition(" - ")[2]
    return what[:1].upper() + what[1:]


def section(path: Path) -> str:
    """A file with the rest of its head as it stands there."""
    rest = "\n".join(head(path)[1:]).strip("\n")
    text = f"## {path.name}\n\n{title(path)}\n"
    return f"{text}\n```text\n{rest}\n```\n" if rest else text


def page() -> str:
    """The whole page."""
    folder = ROOT / "kernels"
    kernels, shared = sorted(folder.glob("*.cl")), sorted(folder.glob("*.h"))
    rows = [f"| [`{path.name}`]({anchor(path.name)}) | {title(path)} |" for path in (*kernels, *shared)]
    return _HEAD + "\n".join([*rows, "", *(section(path) for path in (*kernels, *shared))])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
