"""What Jungfraujoch's messages have beyond or unlike DECTRIS's, as far as it is public.

They are Stream2 messages (`crystint.stream.stream2`) with more keys. Where only programs that read them tell what is in
them, and no message was at hand, it says [?]: all of that is in this file.

In "user" of the user_data is the header_appendix of the run's settings [?].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystint.stream.messages import Start

__all__ = ["DISTANCE", "ERROR_VALUE", "FALLBACK_CHANNEL", "is_jungfraujoch", "start_keys"]

DISTANCE = "detector_distance"
"""m; DECTRIS has the distance in detector_translation only"""
ERROR_VALUE = "error_value"
"""of pixels without a measurement; without it the lowest value of signed pixels, all ones of unsigned ones"""
FALLBACK_CHANNEL = "default"
"""[?] the only name of a channel that was met; any one name is accepted"""
_MAGIC = "magic_number"
"""version of the interface [?]: its values are not published, so none is refused"""
_OWN_KEYS = (_MAGIC, DISTANCE, ERROR_VALUE, "az_int_bin_to_q")


def is_jungfraujoch(start: Mapping[str, Any]) -> bool:
    """Whether a start message has keys that DECTRIS's detectors do not send."""
    return any(key in start for key in _OWN_KEYS)


def start_keys(start: Start) -> dict[str, Any]:
    """Keys that a start message has beside DECTRIS's."""
    keys: dict[str, Any] = {_MAGIC: 1}
    if start.geometry is not None:
        keys[DISTANCE] = start.geometry.distance
    if start.error_value is not None:
        value = start.error_value
        keys[ERROR_VALUE] = int(value) if value == int(value) else value
    return keys
