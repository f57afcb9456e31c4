"""Kernels as they were built before, for drivers that keep none themselves: checked before a driver sees them."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyopencl as cl
from pyopencl.characterize import has_src_build_cache

from crystint.engine.caches import cache_folder

__all__ = ["build"]

_DIGEST = 32
"""Bytes of a SHA-256."""
_MOST = 1000
"""Files in the folder; beyond it those used longest ago are removed."""


def build(context: Any, source: str, options: Sequence[str]) -> Any:
    """The program of a source on the one device of a context: the binary of an earlier build, or a new one.

    Raises
    ------
    pyopencl.Error
        When it does not build.
    """
    device, folder = context.devices[0], None
    if not has_src_build_cache(device):
        folder = cache_folder()
    if folder is None:
        return _from_source(context, source, options)
    file = folder / "kernels" / f"{_key(device, source, options)}.bin"
    binary = _read(file)
    if binary is not None:
        with suppress(cl.Error):  # a driver that does not take its own binary back
            return cl.Program(context, [device], [binary]).build(list(options))
    program = _from_source(context, source, options)
    with suppress(cl.Error, OSError):  # built as it is; the next process tries again
        _write(file, program.get_info(cl.program_info.BINARIES)[0])
    return program


def _from_source(context: Any, source: str, options: Sequence[str]) -> Any:
    """Build; where that fails, in a way that no driver can take from what it kept of an earlier build."""
    try:
        program = cl.Program(context, source).build(list(options), cache_dir=False)
        program.all_kernels()
        return program
    except cl.Error as error:
        try:
            anew = f"{source}\n/* {secrets.token_hex(8)} */\n"
            return cl.Program(context, anew).build(list(options), cache_dir=False)
        except cl.Error:
            raise error from None


def _key(device: Any, source: str, options: Sequence[str]) -> str:
    """Name of all that a binary depends on."""
    about = (device.name, device.version, device.driver_version, device.platform.name, device.platform.version)
    return hashlib.sha256("\0".join([*about, *options, source]).encode()).hexdigest()


def _read(file: Path) -> bytes | None:
    """The binary in a file; None when there is none. A damaged file is removed."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    binary = content[_DIGEST:]
    if hashlib.sha256(binary).digest() == content[:_DIGEST]:
        with suppress(OSError):
            os.utime(file)
        return binary
    with suppress(OSError):
        file.unlink()
    return None


def _write(file: Path, binary: bytes) -> None:
    """Put a binary into its file, whole or not at all."""
    file.parent.mkdir(0o700, exist_ok=True)
    temporary = file.with_name(f"{secrets.token_hex(8)}.part")
    try:
        temporary.write_bytes(hashlib.sha256(binary).digest() + binary)
        temporary.replace(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    files = sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime)
    for old in files[:-_MOST]:
        with suppress(OSError):
            old.unlink()
