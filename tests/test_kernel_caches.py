"""Caches of built kernels that cannot be written, or that hold something else than what was put there."""

from __future__ import annotations

import os
import random
import shutil
import sys

import pytest

from crystint.engine import pocl_cache
from tests.processes import LONG, end_all, started

SCRIPT = """
import sys, warnings
import crystint
data = crystint.simulate.simulate((64, 80), background=3.0, peaks=5, intensity=900.0, dtype="uint16", seed=1)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    separator = crystint.Separator(data.geometry, rings=20, engine=sys.argv[1])
    print(len(separator.peaks(data[0])), *[each.message for each in caught], sep="\\n")
"""


@pytest.fixture(scope="module")
def filled(engine, tmp_path_factory):
    """A cache folder that a process has filled, and what that process printed."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, printed(engine, folder, XDG_CACHE_HOME=str(folder))


def printed(engine, folder, **variables):
    """What a process prints that finds peaks; it must end well."""
    variables = {"POCL_CACHE_DIR": "", **variables}
    process = started([sys.executable, "-c", SCRIPT, engine.device.id], folder, **variables)
    try:
        out, err = process.communicate(timeout=LONG)
    finally:
        end_all()
    assert process.returncode == 0, err
    return out.splitlines()


def half(content):
    return content[: len(content) // 2]


def flipped(content):
    changed = bytearray(content)
    for place in random.Random(1).sample(range(len(changed)), min(len(changed), 40)):
        changed[place] ^= 0x55
    return bytes(changed)


@pytest.mark.parametrize("damage", [half, flipped, lambda content: b"", lambda content: bytes(len(content))])
def test_damaged_kernels_are_built_anew(engine, filled, tmp_path, damage):
    shutil.copytree(filled[0], tmp_path / "cache")
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    assert printed(engine, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache")) == filled[1]


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "HOME", "POCL_CACHE_DIR"])
def test_a_cache_that_cannot_be_written_is_named(engine, filled, tmp_path, name):
    plain = tmp_path / "plain"
    plain.write_text("no folder")
    variables = {"XDG_CACHE_HOME": "" if name == "HOME" else str(tmp_path), name: str(plain / "below")}
    peaks, *warned = printed(engine, tmp_path, **variables)
    assert peaks == filled[1][0]
    used = name != "POCL_CACHE_DIR" or engine.device.platform.startswith("Portable")
    assert [str(plain / "below") in text for text in warned] == [True] * used, warned


def test_what_is_read_back_is_what_was_built(engine, filled):
    own = list((filled[0] / "crystint" / "kernels").glob("*")) if filled[0].exists() else []
    assert not any(file.suffix == ".part" for file in own)
    if not engine.device.platform.startswith("Portable") and "NVIDIA" not in engine.device.platform:
        assert own


def library(size=200, sections=2):
    """The head of an ELF file whose section headers end at `size`."""
    head = bytearray(size)
    head[:4] = b"\x7fELF"
    head[40:48] = (size - 64 * sections).to_bytes(8, "little")
    head[58:60], head[60:62] = (64).to_bytes(2, "little"), sections.to_bytes(2, "little")
    return bytes(head)


@pytest.mark.parametrize(
    ("name", "content", "stays"),
    [
        ("a.so", library(), True),
        ("a.so", library()[:-1], False),
        ("a.so", b"", False),
        ("a.so", bytes(300), False),
        ("program.bc", b"BC\xc0\xde" + bytes(50), True),
        ("program.bc", bytes(50), False),
    ],
)
def test_files_of_pocl_without_a_sum_are_looked_at(tmp_path, monkeypatch, name, content, stays):
    monkeypatch.setattr(pocl_cache.atexit, "register", lambda *_: None)
    for program, text in (("AB/one", content), ("CD/two", library())):
        (tmp_path / program / "kernel").mkdir(parents=True)
        (tmp_path / program / "kernel" / (name if program == "AB/one" else "b.so")).write_bytes(text)
    pocl_cache.check_pocl_cache(tmp_path)
    assert (tmp_path / "AB/one").exists() == stays
    assert (tmp_path / "CD/two").exists()


def test_files_of_pocl_with_another_sum_go_with_their_program(tmp_path, monkeypatch):
    monkeypatch.setattr(pocl_cache.atexit, "register", lambda *_: None)
    for program in ("AB/one", "CD/two"):
        (tmp_path / program).mkdir(parents=True)
        (tmp_path / program / "a.so").write_bytes(library())
    pocl_cache._remember(tmp_path, os.getpid())
    (tmp_path / "AB/one/a.so").write_bytes(library()[:-1] + b"x")
    pocl_cache.check_pocl_cache(tmp_path)
    assert [path.name for path in sorted(tmp_path.glob("*/*"))] == ["two"]
    sums = tmp_path / "crystint-sums"
    sums.write_bytes(sums.read_bytes()[:-3])
    pocl_cache.check_pocl_cache(tmp_path)
    assert not list(tmp_path.glob("*/*"))
