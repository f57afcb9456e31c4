"""``crystint online serve``."""

from __future__ import annotations

from crystint.engine import find_device
from crystint.errors import SettingError
from crystint.online.settings import ServeSettings

__all__ = ["serve"]


def serve(settings: ServeSettings, quiet: bool = False) -> None:
    """Run until it is stopped."""
    if not settings.stream:
        raise SettingError("no stream: give --stream with the address of the detector, such as tcp://DCU:31001")
    find_device(settings.device)
