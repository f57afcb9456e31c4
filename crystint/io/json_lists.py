"""JSON whose long lists are written as they come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

__all__ = ["write_json"]


def write_json(file: TextIO, values: Mapping[str, Any]) -> None:
    """Write an object.

    Parameters
    ----------
    file : text file
    values : mapping
        JSON-able, but for iterators of lists, in itself or in a mapping in it: one list of all that is in them is
        written, never all of it in memory.
    """
    file.write("{")
    for place, (name, value) in enumerate(values.items()):
        file.write(f"{',' if place else ''}\n {json.dumps(name)}: ")
        if isinstance(value, Iterator):
            _write_list(file, value)
        elif isinstance(value, Mapping) and any(isinstance(each, Iterator) for each in value.values()):
            write_json(file, value)
        else:
            file.write(json.dumps(value))
    file.write("\n}")


def _write_list(file: TextIO, blocks: Iterable[list[Any]]) -> None:
    before = "["
    for block in filter(None, blocks):
        file.write(before + json.dumps(block)[1:-1])
        before = ",\n  "
    file.write("[]" if before == "[" else "]")
