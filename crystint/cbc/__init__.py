"""Convergent-beam intensity scaling: |q|^2 and projection maps of a crystal from overlapping streaks.

>>> from crystint import cbc
>>> table, setup = cbc.read_table("streaks.h5"), cbc.CBCSetup.read("setup.h5")     # doctest: +SKIP
>>> scaler, x = table.scale(setup).merge_hkl("mmm").train(bandwidth=1e-3)          # doctest: +SKIP
>>> found = scaler.merge_sfac(x)                                                   # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystint.lazy import lazy_names

if TYPE_CHECKING:
    from crystint.cbc.bandwidth import bandwidth_from_pixels, choose_bandwidth
    from crystint.cbc.export import write_sfac
    from crystint.cbc.profiles import standard_profile, streak_pixels
    from crystint.cbc.projection import ProjectionMap
    from crystint.cbc.scaler import IntensityScaler
    from crystint.cbc.setup import CBCSetup
    from crystint.cbc.simulate import simulate_cbc
    from crystint.cbc.table import CBCTable
    from crystint.cbc.table_files import read_table, write_table

_HOME = {
    "CBCSetup": "cbc.setup",
    "CBCTable": "cbc.table",
    "IntensityScaler": "cbc.scaler",
    "ProjectionMap": "cbc.projection",
    "bandwidth_from_pixels": "cbc.bandwidth",
    "choose_bandwidth": "cbc.bandwidth",
    "read_table": "cbc.table_files",
    "simulate_cbc": "cbc.simulate",
    "standard_profile": "cbc.profiles",
    "streak_pixels": "cbc.profiles",
    "write_sfac": "cbc.export",
    "write_table": "cbc.table_files",
}

__all__ = [
    "CBCSetup",
    "CBCTable",
    "IntensityScaler",
    "ProjectionMap",
    "bandwidth_from_pixels",
    "choose_bandwidth",
    "read_table",
    "simulate_cbc",
    "standard_profile",
    "streak_pixels",
    "write_sfac",
    "write_table",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
