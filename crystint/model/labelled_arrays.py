"""Results in the tables of pandas and the labelled arrays of xarray, which need not be installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from math import prod
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["data_frame", "imported_xarray"]


def data_frame(columns: Mapping[str, NDArray[Any]]) -> DataFrame:
    """Columns of one length as a data frame; a column [n, m] as m columns name[0], name[1], ..., hkl as h, k, l.

    Raises
    ------
    ImportError
        When pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas, which is not installed: pip install pandas") from error
    flat: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        if values.ndim == 1:
            flat[name] = values
        elif name == "hkl":
            flat |= dict(zip("hkl", values.T, strict=True))
        else:
            wide = values.reshape(len(values), prod(values.shape[1:]))
            flat |= {f"{name}[{number}]": wide[:, number] for number in range(wide.shape[1])}
    return pandas.DataFrame(flat)


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
