"""Orbits of reflections under point groups, from generators as in the International Tables, vol. A.

Each generator maps (h, k, l) to another reflection; a reflection's family is everything that can be reached from it.
"""

from collections.abc import Callable

Triple = tuple[int, int, int]
Step = Callable[[int, int, int], Triple]

INVERSION: Step = lambda h, k, l: (-h, -k, -l)  # noqa: E731, E741
_TWO_X: Step = lambda h, k, l: (h, -k, -l)  # noqa: E731, E741
_TWO_Y: Step = lambda h, k, l: (-h, k, -l)  # noqa: E731, E741
_TWO_Z: Step = lambda h, k, l: (-h, -k, l)  # noqa: E731, E741
_MIRROR_X: Step = lambda h, k, l: (-h, k, l)  # noqa: E731, E741
_MIRROR_Z: Step = lambda h, k, l: (h, k, -l)  # noqa: E731, E741
_FOUR_Z: Step = lambda h, k, l: (k, -h, l)  # noqa: E731, E741
_THREE_Z: Step = lambda h, k, l: (k, -h - k, l)  # noqa: E731, E741 (hexagonal axes: h, k, i turn round)
_THREE_111: Step = lambda h, k, l: (l, h, k)  # noqa: E731, E741
_SWAP_XY: Step = lambda h, k, l: (k, h, -l)  # noqa: E731, E741 (two-fold axis along a + b)
_SWAP_MINUS: Step = lambda h, k, l: (-k, -h, -l)  # noqa: E731, E741 (two-fold axis along a - b)

GENERATORS: dict[str, list[Step]] = {
    "1": [],
    "2": [_TWO_Y],
    "112": [_TWO_Z],
    "222": [_TWO_X, _TWO_Y],
    "mm2": [_MIRROR_X, _TWO_Z],
    "mmm": [_TWO_X, _TWO_Y, INVERSION],
    "4": [_FOUR_Z],
    "4/m": [_FOUR_Z, INVERSION],
    "4mm": [_FOUR_Z, _MIRROR_X],
    "4/mmm": [_FOUR_Z, _MIRROR_X, INVERSION],
    "321": [_THREE_Z, _SWAP_XY],
    "312": [_THREE_Z, _SWAP_MINUS],
    "6/m": [_THREE_Z, _TWO_Z, INVERSION],
    "m-3": [_TWO_X, _TWO_Y, _THREE_111, INVERSION],
    "m-3m": [_TWO_X, _TWO_Y, _THREE_111, _FOUR_Z, INVERSION],
}
ORDERS = {"1": (1, 2), "2": (2, 4), "mmm": (8, 8), "4mm": (8, 16), "4/mmm": (16, 16), "321": (6, 12), "6/m": (12, 12),
          "m-3": (24, 24), "m-3m": (48, 48)}  # fmt: skip
"""How many equivalents a general reflection has without and with Friedel's law."""


def orbit(hkl: Triple, name: str, friedel: bool) -> frozenset[Triple]:
    """Everything equivalent to `hkl`."""
    steps = GENERATORS[name] + ([INVERSION] if friedel else [])
    found, new = {hkl}, [hkl]
    while new:
        at = new.pop()
        for step in steps:
            there = step(*at)
            if there not in found:
                found.add(there)
                new.append(there)
    return frozenset(found)
