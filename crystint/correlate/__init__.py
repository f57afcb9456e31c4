"""Angular correlation: ring centres, polar images, clean rings, pairing, difference correlations.

>>> from crystint import correlate
>>> rings = correlate.fit_rings(frame, mask)                                       # doctest: +SKIP
>>> grid = correlate.PolarGrid(rings.center, range(100, 1000))                     # doctest: +SKIP
>>> image = correlate.polar_image(frame, grid, mask=mask)                          # doctest: +SKIP
>>> found = correlate.autocorrelation(image.values)                                # doctest: +SKIP
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
