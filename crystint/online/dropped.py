"""How many images a detector threw away because nobody took them, as its SIMPLON interface tells."""

from __future__ import annotations

import json
from http.client import HTTPException
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from crystint.errors import SettingError

__all__ = ["checked_address", "dropped_images"]

_PLACE = "/stream/api/1.8.0/status/dropped"
_MOST = 10_000


def checked_address(address: str) -> str:
    """The address of a detector, such as http://DCU.

    Raises
    ------
    SettingError
        When it is none.
    """
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(f"simplon: is {address!r}, expected an address such as http://DCU")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def dropped_images(address: str, timeout: float = 5.0) -> int:
    """Ask the detector.

    Parameters
    ----------
    address : str
        As `checked_address` gives it.
    timeout : float
        s

    Returns
    -------
    int
        Images that were dropped since it was armed.

    Raises
    ------
    OSError, ValueError
        When it does not answer, or with something else.
    """
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(address + _PLACE), timeout=timeout) as answer:
            value = json.loads(answer.read(_MOST))["value"]
    except (HTTPException, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its answer is not that of a detector ({type(error).__name__})") from None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"the detector says that it dropped {value!r} images")
    return value
