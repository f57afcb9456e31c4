"""What became of one frame, as bytes: the same whether they come from a thread, another machine or a journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameRecord"]

_LENGTH = Struct("<I")
_ALIGN = 8


@dataclass(frozen=True, slots=True, eq=False)
class FrameRecord:
    """The result of one frame."""

    number: int
    """of the frame in its sequence"""
    missing: str | None = None
    """why the frame could not be read; None = it is there"""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """what JSON can hold, floats exactly"""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """plain dtypes; after `unpack` they are views of the bytes"""

    def pack(self) -> bytes:
        """As bytes: a JSON header, padded to 8 bytes, and the arrays one after the other, each padded so, too."""
        arrays = {name: np.ascontiguousarray(values) for name, values in self.arrays.items()}
        head = json.dumps(
            {
                "number": self.number,
                "missing": self.missing,
                "facts": self.facts,
                "arrays": [[name, values.dtype.str, values.shape] for name, values in arrays.items()],
            }
        ).encode()
        parts = [_LENGTH.pack(len(head)), head, b"\0" * (-(_LENGTH.size + len(head)) % _ALIGN)]
        for values in arrays.values():
            parts += [values.tobytes(), b"\0" * (-values.nbytes % _ALIGN)]
        return b"".join(parts)

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The inverse of `pack`. The arrays are read-only views: copy what is to outlive `packed`.

        Raises
        ------
        ValueError
            When the bytes are no record.
        """
        (length,) = _LENGTH.unpack_from(packed)
        at = _LENGTH.size + length
        head = json.loads(packed[_LENGTH.size : at])
        at += -at % _ALIGN
        arrays = {}
        for name, dtype, shape in head["arrays"]:
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(packed, dtype, count, at).reshape(shape)
            at += arrays[name].nbytes + -arrays[name].nbytes % _ALIGN
        return cls(head["number"], head["missing"], head["facts"], arrays)
