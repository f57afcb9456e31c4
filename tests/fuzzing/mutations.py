"""Ways in which a file is damaged, or made to claim what it does not hold. Each mutant follows from a seed."""

from __future__ import annotations

import bz2
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["damage"]

Rng = np.random.Generator
WHOLE = (0, 1, 2, 3, 127, 128, 255, 256, 32767, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40,
         (1 << 62) + 1, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
WORDS = ("0", "-1", "1", "nan", "inf", "-inf", "1e400", "1e9", "100000", "99999999999", "1e-300", "", "x", "0x10",
         "\x00", "2147483647", "2147483648", "-9223372036854775808", "18446744073709551616", "\u221e",
         "{", '"')  # fmt: skip
LINKS = ("/", "..", "nowhere", "entry/data/data")
NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")


def damage(path: Path, rng: Rng) -> str:
    """Damage a file in place; what was done, in words."""
    content = path.read_bytes()
    if content[:8] == b"\x89HDF\r\n\x1a\n" and rng.random() < 0.5:
        return _of_hdf5(path, rng)
    pack = gzip.compress if content[:2] == b"\x1f\x8b" else bz2.compress if content[:3] == b"BZh" else None
    if pack is not None and rng.random() < 0.7:
        inner = (gzip.decompress if pack is gzip.compress else bz2.decompress)(content)
        made, what = _of_bytes(inner, rng)
        path.write_bytes(pack(made))
        return f"inside: {what}"
    made, what = _of_bytes(content, rng)
    path.write_bytes(made)
    return what


def _of_bytes(content: bytes, rng: Rng) -> tuple[bytes, str]:
    ways = [_flip, _flip, _run, _truncate, _insert, _repeat, _delete, _swap, _number, _number]
    if b"\0" not in content[:4096]:
        ways += [_word, _word, _word, _word, _line, _line]
        if content.lstrip()[:1] == b"{":
            ways += [_json, _json, _json, _json]
    elif NUMBER.search(content[:4096]):
        ways += [_word, _word]
    notes = []
    for _ in range(1 + (rng.random() < 0.25)):
        way = ways[rng.integers(len(ways))]
        content = way(content, rng)
        notes.append(way.__name__.strip("_"))
    return content, ", ".join(notes)


def _at(content: bytes, rng: Rng) -> int:
    """A place; half of them near the beginning, where headers are."""
    end = len(content) if rng.random() < 0.5 else min(len(content), 600)
    return int(rng.integers(max(end, 1)))


def _flip(content: bytes, rng: Rng) -> bytes:
    made = bytearray(content or b"\0")
    for _ in range(int(rng.integers(1, 9))):
        made[_at(made, rng) % len(made)] ^= 1 << int(rng.integers(8))
    return bytes(made)


def _run(content: bytes, rng: Rng) -> bytes:
    at, size = _at(content, rng), int(rng.integers(1, 65))
    fill = [rng.bytes(size), b"\0" * size, b"\xff" * size][rng.integers(3)]
    return content[:at] + fill + content[at + size :]


def _truncate(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _insert(content: bytes, rng: Rng) -> bytes:
    at = _at(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 65))) + content[at:]


def _block(content: bytes, rng: Rng) -> tuple[int, int]:
    at = _at(content, rng)
    return at, at + int(rng.integers(1, 1 + max(1, min(2048, len(content) - at))))


def _repeat(content: bytes, rng: Rng) -> bytes:
    start, stop = _block(content, rng)
    return content[:stop] + content[start:stop] * int(rng.integers(1, 5)) + content[stop:]


def _delete(content: bytes, rng: Rng) -> bytes:
    start, stop = _block(content, rng)
    return content[:start] + content[stop:]


def _swap(content: bytes, rng: Rng) -> bytes:
    start, stop = _block(content, rng)
    at = _at(content, rng)
    made = bytearray(content)
    made[at : at + stop - start] = content[start:stop]
    return bytes(made)


def _number(content: bytes, rng: Rng) -> bytes:
    """A binary number of 1 to 8 bytes becomes a remarkable one, in either order."""
    size = int(2 ** rng.integers(4))
    at = _at(content, rng) // size * size if rng.random() < 0.7 else _at(content, rng)
    value = WHOLE[rng.integers(len(WHOLE))] % (1 << 8 * size)
    return content[:at] + value.to_bytes(size, "little" if rng.random() < 0.7 else "big") + content[at + size :]


def _word(content: bytes, rng: Rng) -> bytes:
    """A number in the text becomes another word."""
    places = [match.span() for match in NUMBER.finditer(content[:200_000])]
    if not places:
        return _flip(content, rng)
    near = places if rng.random() < 0.5 else places[:60]
    start, stop = near[rng.integers(len(near))]
    return content[:start] + WORDS[rng.integers(len(WORDS))].encode() + content[stop:]


def _line(content: bytes, rng: Rng) -> bytes:
    """A line goes, comes twice, or changes its place."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return b"\n"
    at = int(rng.integers(len(lines)))
    way, line = rng.integers(3), lines[at]
    if way == 1:
        return b"".join(lines[:at] + [line] * 2 + lines[at + 1 :])
    rest = lines[:at] + lines[at + 1 :]
    to = int(rng.integers(len(rest) + 1))
    return b"".join(rest if way == 0 else [*rest[:to], line, *rest[to:]])


def _json(content: bytes, rng: Rng) -> bytes:
    """A value in JSON, or in one of its lines, becomes another one."""
    lines = [content] if content[:2] in (b"{\n", b"{\r") else content.splitlines()
    at = int(rng.integers(len(lines)))
    try:
        tree = json.loads(lines[at])
    except ValueError:
        return _word(content, rng)
    places = list(_places(tree))
    if not places:
        return b"[]"
    holder, key = places[rng.integers(len(places))]
    if rng.random() < 0.2:
        holder.pop(key) if isinstance(holder, list | dict) else None
    else:
        holder[key] = _value(rng, holder[key])
    lines[at] = json.dumps(tree).encode()
    return b"\n".join(lines)


def _places(tree: Any) -> Any:
    keys = range(len(tree)) if isinstance(tree, list) else list(tree) if isinstance(tree, dict) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _value(rng: Rng, old: Any) -> Any:
    deep: Any = 0
    for _ in range(200):
        deep = [deep]
    choice = [None, True, -1, 0, 1 << 70, 1e308, float("nan"), float("inf"), "", "x", [], {}, [[]], [old, old],
              {"a": old}, deep, [1] * 1000, "9" * 5000]  # fmt: skip
    return choice[rng.integers(len(choice))]


# ---------------------------------------------------------------------------------------------- HDF5


def _of_hdf5(path: Path, rng: Rng) -> str:
    """Something in an HDF5 file, which stays one: an object goes, or is of another kind, type, shape or size."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for holder in list(names):
            links = file[holder] if isinstance(file.get(holder, getlink=True), h5py.HardLink) else {}
            if isinstance(links, h5py.Group):
                names += [f"{holder}/{key}" for key in links if f"{holder}/{key}" not in names]
        if not names:
            return "nothing"
        name = names[rng.integers(len(names))]
        hard = isinstance(file.get(name, getlink=True), h5py.HardLink)
        if hard and rng.random() < 0.3:
            return f"{name}: {_attribute(file[name], rng)}"
        return f"{name}: {_object(file, name, rng)}"


def _attribute(item: Any, rng: Rng) -> str:
    key = [*item.attrs, "NX_class", "signal", "default", "units", "kind"][rng.integers(len(item.attrs) + 5)]
    if key in item.attrs and rng.random() < 0.3:
        del item.attrs[key]
        return f"attribute {key} deleted"
    values = ("x", "", "/", -1, 1 << 62, np.nan, np.zeros(3), np.array(["a", "b"], "S1"), h5py.Empty("f4"),
              np.zeros((0,)), np.ones(6000), b"\xff\xfe", "entry/data/data", True)  # fmt: skip
    value = values[rng.integers(len(values))]
    item.attrs[key] = value
    return f"attribute {key} = {value!r:.40}"


def _object(file: h5py.File, name: str, rng: Rng) -> str:
    old = file.get(name) if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    shape = old.shape if isinstance(old, h5py.Dataset) and old.shape is not None else (3,)
    dtype = old.dtype if isinstance(old, h5py.Dataset) and old.dtype.kind in "biuf" else np.dtype("f8")
    if isinstance(old, h5py.Dataset) and old.dtype.kind in "biuf" and old.size and rng.random() < 0.3:
        return _element(old, rng)
    del file[name]
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: file.create_group(name),
        lambda: file.create_dataset(name, data=h5py.Empty("f4")),
        lambda: file.create_dataset(name, data="x" * int(rng.integers(3))),
        lambda: file.create_dataset(name, data=np.nan),
        lambda: file.create_dataset(name, data=-1),
        lambda: file.create_dataset(name, (0, *shape[1:]), dtype),
        lambda: file.create_dataset(name, shape[:-1], dtype),
        lambda: file.create_dataset(name, (*shape, 2), dtype),
        lambda: file.create_dataset(name, tuple(max(1, length - 1) for length in shape), dtype),
        lambda: file.create_dataset(name, tuple(length + 1 for length in shape), dtype),
        lambda: file.create_dataset(name, data=np.full(shape, 1, "S3")),
        lambda: file.create_dataset(name, shape, np.dtype([("a", "f4"), ("b", "i8")])),
        lambda: file.create_dataset(name, shape, h5py.vlen_dtype(np.float32)),
        lambda: file.create_dataset(name, shape, "c16"),
        lambda: file.create_dataset(name, shape, dtype, fillvalue=np.array(0, dtype)),
        lambda: _claim(file, name, (1 << 31, *shape[1:]), dtype),
        lambda: _claim(file, name, (*shape[:-1], 1 << 33), dtype),
        lambda: _claim(file, name, (1 << 31,) * max(1, len(shape)), dtype),
        lambda: file.create_dataset(name, shape, dtype, external=[("nowhere.raw", 0, 1 << 40)]),
        lambda: file.__setitem__(name, h5py.SoftLink(LINKS[rng.integers(len(LINKS))])),
        lambda: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
        lambda: file.__setitem__(name, h5py.ExternalLink(Path(file.filename).name, f"/{name}")),
        lambda: file.__setitem__(name, h5py.ExternalLink("nowhere.h5", "/x")),
        lambda: file.__setitem__(name, file["/"]),
        lambda: _shows_itself(file, name, shape, dtype),
    ]
    number = int(rng.integers(len(makers)))
    try:
        makers[number]()
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        return f"deleted ({error})"
    return f"made anew, way {number}"


def _element(dataset: h5py.Dataset, rng: Rng) -> str:
    at = tuple(int(rng.integers(length)) for length in dataset.shape)
    values = (-1, 0, 1, 1e9, np.nan, np.inf, 1 << 31, (1 << 63) - 1)
    with np.errstate(all="ignore"):
        value = np.array(values[rng.integers(len(values))]).astype(dataset.dtype)
        if rng.random() < 0.3:
            dataset[...] = value
        else:
            dataset[at] = value
    return f"{at} = {value}"


def _claim(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    chunks = tuple(min(length, 16) for length in shape)
    file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")


def _shows_itself(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(".", name, shape)
    file.create_virtual_dataset(name, layout)
