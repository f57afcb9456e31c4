"""Ring maps on their way to another process: what they are made from, not what they hold.

A map of 6 Mpx holds 75 MB, and every sparse frame and every background points to it. Pickled, a map that was computed
from a geometry is that geometry, the mask (compressed), and what cannot be computed again: a dark frame, and the
normalization where the user gave a part of it. One that was read from a file is the name of that file. A process makes
each map once, however many frames arrive, and the process that pickled it gets the same object back.
"""

from __future__ import annotations

import pickle
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

__all__ = ["PackedArray", "RingRecipe", "pack_rings", "unpack_rings"]

_MOST = 4
"""cache: maps that stay in memory although no frame uses them, for frames that are still to come"""


class RingRecipe(Protocol):
    """How to make a ring map anew; picklable and small."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Arrays of the map that must be pickled with it."""

    def __call__(self, parts: Mapping[str, NDArray[Any]]) -> Any:
        """The map."""


@dataclass(frozen=True, slots=True)
class PackedArray:
    """An array, compressed."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    content: bytes

    @classmethod
    def of(cls, array: NDArray[Any]) -> PackedArray:
        """Compress an array."""
        return cls(array.dtype, array.shape, zlib.compress(np.ascontiguousarray(array).data, 6))

    def unpacked(self) -> NDArray[Any]:
        """The array; read-only."""
        return np.frombuffer(zlib.decompress(self.content), self.dtype).reshape(self.shape)


_lock = threading.Lock()
_alive: WeakValueDictionary[bytes, Any] = WeakValueDictionary()
_latest: OrderedDict[bytes, Any] = OrderedDict()


def pack_rings(rings: Any, recipe: RingRecipe) -> tuple[bytes, bytes]:
    """What `unpack_rings` needs: a key, and the recipe with its arrays."""
    parts = {name: PackedArray.of(getattr(rings, name)) for name in recipe.parts}
    content = pickle.dumps((recipe, parts), protocol=5)
    key = blake2b(content, digest_size=16).digest()
    with _lock:
        _alive.setdefault(key, rings)
    return key, content


def unpack_rings(key: bytes, content: bytes) -> Any:
    """The ring map of a key: one that this process has, or a new one."""
    with _lock:  # threads that want the same map get one that was made once
        rings = _alive.get(key)
        if rings is None:
            recipe, parts = pickle.loads(content)
            rings = _alive[key] = recipe({name: part.unpacked() for name, part in parts.items()})
            rings.packed.append((key, content))
        _latest[key] = rings
        _latest.move_to_end(key)
        while len(_latest) > _MOST:
            _latest.popitem(last=False)
    return rings
