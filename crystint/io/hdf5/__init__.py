"""HDF5 below the formats: files, chunks and their filters, values of NeXus, provenance."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
