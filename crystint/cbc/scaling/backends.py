"""The backend that a user's choice means: "numpy", "device" or an engine."""

from __future__ import annotations

from typing import Any

from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.sums import Backend, NumpyBackend
from crystint.errors import SettingError

__all__ = ["backend_of"]


def backend_of(choice: Any, layout: Layout) -> Backend:
    """What makes the sums of a layout.

    Parameters
    ----------
    choice : "numpy", "device" or Engine
        "device" = the best OpenCL device.
    layout : Layout

    Raises
    ------
    SettingError
        When the choice is another one.
    """
    if isinstance(choice, str) and choice.lower() == "numpy":
        return NumpyBackend(layout)
    if isinstance(choice, str) and choice.lower() == "device":
        from crystint.engine import default_engine

        choice = default_engine()
    if not hasattr(choice, "kernel"):
        raise SettingError(f"path is {choice!r}, expected 'numpy', 'device' or an Engine")
    from crystint.cbc.scaling.device import DeviceBackend

    backend: Backend = DeviceBackend(choice, layout)
    return backend
