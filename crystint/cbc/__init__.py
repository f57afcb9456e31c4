"""Convergent-beam intensity scaling: |q|^2 and projection maps of a crystal from overlapping streaks.

>>> from crystint import cbc
>>> table, setup = cbc.read_table("streaks.h5"), cbc.CBCSetup.read("setup.h5")     # doctest: +SKIP
>>> scaler, x = table.scale(setup).merge_hkl("mmm").train(bandwidth=1e-3)          # doctest: +SKIP
>>> merged = scaler.merge_sfac(x)                                                  # doctest: +SKIP
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
