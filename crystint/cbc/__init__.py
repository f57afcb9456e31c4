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
    from crystint.cbc.bandwidth import BandwidthChoice, bandwidth_from_pixels, choose_bandwidth
    from crystint.cbc.export import write_sfac
    from crystint.cbc.files import read_run
    from crystint.cbc.profiles import StreakPixels, standard_profile, streak_pixels
    from crystint.cbc.projection import ProjectionMap
    from crystint.cbc.run import Agreement, CBCRun, Known, agreement
    from crystint.cbc.scaler import IntensityScaler
    from crystint.cbc.setup import CBCSetup
    from crystint.cbc.simulate import CBCSimulation, simulate_cbc, simulate_streaks
    from crystint.cbc.simulated_settings import CBCSettings
    from crystint.cbc.table import CBCTable
    from crystint.cbc.table_files import read_table, write_table
    from crystint.cbc.work_simulate import known_of

_HOME = {
    "Agreement": "cbc.run",
    "BandwidthChoice": "cbc.bandwidth",
    "CBCRun": "cbc.run",
    "CBCSettings": "cbc.simulated_settings",
    "CBCSetup": "cbc.setup",
    "CBCSimulation": "cbc.simulate",
    "CBCTable": "cbc.table",
    "IntensityScaler": "cbc.scaler",
    "Known": "cbc.run",
    "ProjectionMap": "cbc.projection",
    "StreakPixels": "cbc.profiles",
    "agreement": "cbc.run",
    "bandwidth_from_pixels": "cbc.bandwidth",
    "choose_bandwidth": "cbc.bandwidth",
    "known_of": "cbc.work_simulate",
    "read_run": "cbc.files",
    "read_table": "cbc.table_files",
    "simulate_cbc": "cbc.simulate",
    "simulate_streaks": "cbc.simulate",
    "standard_profile": "cbc.profiles",
    "streak_pixels": "cbc.profiles",
    "write_sfac": "cbc.export",
    "write_table": "cbc.table_files",
}

__all__ = [
    "Agreement",
    "BandwidthChoice",
    "CBCRun",
    "CBCSettings",
    "CBCSetup",
    "CBCSimulation",
    "CBCTable",
    "IntensityScaler",
    "Known",
    "ProjectionMap",
    "StreakPixels",
    "agreement",
    "bandwidth_from_pixels",
    "choose_bandwidth",
    "known_of",
    "read_run",
    "read_table",
    "simulate_cbc",
    "simulate_streaks",
    "standard_profile",
    "streak_pixels",
    "write_sfac",
    "write_table",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
