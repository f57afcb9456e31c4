"""Labelled arrays of xarray, an optional package."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["imported_xarray"]


def imported_xarray() -> Any:
    """The package.

    Raises
    ------
    ImportError
        Without it.
    """
    try:
        return import_module("xarray")
    except ImportError as error:
        raise ImportError("to_xarray needs the package xarray: pip install 'crystint[xarray]'") from error
