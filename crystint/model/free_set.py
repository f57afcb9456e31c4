"""Which reflections are set aside for R_free: a hash of the indices, so that no cut and no other data set changes it.

The number of a reflection is made of its indices alone, in one way for all space groups of a lattice: they are taken to
the reference setting and to the asymmetric unit of the lattice's full symmetry, such as 4/mmm for P 41, packed into an
integer, and mixed by the finalizer of splitmix64 (Steele, Lea & Flood (2014), Proc. OOPSLA '14, 453). Equivalents,
Friedel mates, and reflections that twinning by merohedry or an indexing ambiguity of the lattice may exchange have one
number. Twin laws of accidental lattices (a monoclinic cell with beta near 90 degrees) are not kept together.
"""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.model.indices import checked, pack
from crystint.model.symmetry import as_space_group, reduce

__all__ = ["free_numbers", "lattice_group"]

_HOLOHEDRY = {
    "triclinic": "P -1",
    "monoclinic": "P 1 2/m 1",
    "orthorhombic": "P m m m",
    "tetragonal": "P 4/m m m",
    "trigonal": "P 6/m m m",
    "hexagonal": "P 6/m m m",
    "cubic": "P m -3 m",
}


def lattice_group(space_group: gemmi.SpaceGroup | str | int) -> gemmi.SpaceGroup:
    """The group with the full symmetry of the lattice, in the reference setting of the space group."""
    group = as_space_group(space_group)
    rhombohedral = group.hm.startswith("R")
    return gemmi.SpaceGroup("R -3 m:H" if rhombohedral else _HOLOHEDRY[group.crystal_system_str()])


def free_numbers(
    hkl: NDArray[Any], space_group: gemmi.SpaceGroup | str | int, classes: int, seed: int = 0
) -> NDArray[np.int32]:
    """int32 [n], 0 to classes - 1: numbers as in CCP4's FreeR_flag, each about equally often; 0 is the test set.

    Parameters
    ----------
    hkl : int [n, 3]
    space_group
        Of these indices, in any setting.
    classes : int
        20 for a test set of 5 %.
    seed : int
        Other numbers give other sets.
    """
    group = as_space_group(space_group)
    # 24 times the indices of the reference setting, which are whole numbers in every setting
    turned = checked(hkl) @ np.array(group.basisop.rot, dtype=np.int64)
    unique, _ = reduce(turned, lattice_group(group))
    x = pack(unique).view(np.uint64) + np.uint64(seed % 2**32) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    share = (x >> np.uint64(11)).astype(np.float64) / 2.0**53
    return np.asarray(np.floor(share * classes), dtype=np.int32)
