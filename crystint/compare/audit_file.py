"""The record of an audit: what was compared, how, with which versions, and what came of it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crystint import __version__
from crystint.compare.comparison import Comparison
from crystint.errors import unreadable
from crystint.io.outputs import atomic_path, utf8

__all__ = ["AuditRecord", "write_json"]

_PACKAGES = ("numpy", "h5py", "hdf5plugin", "fabio", "pyopencl")
"""of which versions are told"""


@dataclass(frozen=True)
class AuditRecord:
    """What an audit report holds."""

    provenance: Mapping[str, Any]
    raw: Sequence[str]
    """files of the raw frames, those that links lead to among them"""
    sparse: Sequence[str]
    hashes: bool
    """whether files are hashed, which reads them whole"""
    comparison: Comparison
    broken: Sequence[str]
    missing: Mapping[int, str]
    """frames that could not be compared, and why"""

    @cached_property
    def files(self) -> list[dict[str, Any]]:
        """Each file: its name, size and SHA-256, None = not worked out."""
        kinds = [("raw", name) for name in self.raw] + [("sparse", name) for name in self.sparse]
        return [{"kind": kind, **_about(Path(name), self.hashes)} for kind, name in kinds]

    @property
    def versions(self) -> dict[str, str]:
        """Of the programs and packages that the result may depend on."""
        versions = {"crystint": __version__, "python": platform.python_version()}
        for name in _PACKAGES:
            try:
                versions[name] = version(name)
            except PackageNotFoundError:
                continue
        return versions

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "provenance": dict(self.provenance),
            "versions": self.versions,
            "host": platform.node(),
            "files": self.files,
            "missing": {str(number): why for number, why in self.missing.items()},
            "broken": list(self.broken),
            "comparison": self.comparison.to_dict(),
        }


def _about(path: Path, hashed: bool) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest() if hashed else None
    except OSError as error:
        raise unreadable(path, error) from error
    return {"file": str(path), "bytes": size, "sha256": digest}


def write_json(record: AuditRecord, path: Path, *, overwrite: bool = False) -> None:
    """Write an audit as JSON."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(utf8(json.dumps(record.to_dict(), indent=2)) + "\n", encoding="utf-8")
