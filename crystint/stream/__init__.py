"""Messages of detectors and their data-acquisition programs: from bytes to values and back. No sockets, no devices."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
