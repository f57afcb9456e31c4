"""Where the files of each series go, and where those of a series that was cut off are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from crystint.errors import CrystintError, FileError
from crystint.online.output_names import place_outputs, series_name, unfinished_run
from crystint.online.results_journal import looked_at
from crystint.online.series import Series
from crystint.stream.messages import SeriesKey

__all__ = ["Outputs", "check_folder"]


def check_folder(out: Path) -> None:
    """Make the folder of the outputs, and see that files can be made in it.

    Raises
    ------
    FileError
        When they cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"out {out} cannot be made: {error.strerror or error}") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise FileError(f"out {out} cannot be written: permission denied to this user")


class Outputs:
    """Folders and names for series.

    Parameters
    ----------
    out : path or None
        Folder of the outputs; made if it is not there. None = there are none.
    overwrite : bool
        Files of the same name are removed; otherwise the name gets a number.
    alarm : callable
        Takes a sentence when there can be no outputs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from crystint.online.outputs import Outputs
    >>> from crystint.online.series import Series
    >>> from crystint.stream.messages import SeriesKey, Start
    >>> series = Series(Start(SeriesKey(3, "x"), (10, 12), "stream2"))
    >>> series.user = {"prefix": "lysozyme/run_1"}
    >>> Outputs(Path("out"), False, print).place(series)
    >>> series.folder.name, series.name
    ('lysozyme', 'run_1')
    """

    def __init__(self, out: Path | None, overwrite: bool, alarm: Callable[[str], None]) -> None:
        self._out, self._overwrite, self._alarm = out, overwrite, alarm
        self._placed: set[Series] = set()
        self._lock = threading.Lock()
        self._cut_off: dict[SeriesKey, tuple[Path, str]] = {}

    def find(self, key: SeriesKey, prefix: str = "") -> list[tuple[int, int]]:
        """Look for what a killed process left of a series, before images of it come.

        Parameters
        ----------
        key : SeriesKey
        prefix : str
            That was asked for.

        Returns
        -------
        list of (int, int)
            Images that were looked at: first, and last + 1 of each range.
        """
        if self._out is None:
            return []
        folder = (self._out / (prefix or series_name(key))).parent
        try:
            name = unfinished_run(folder, key)
            if name is None:
                return []
            ranges = looked_at(folder / f"{name}_results.h5", key)
        except (CrystintError, OSError) as error:
            self._alarm(f"what was written of series {key} cannot be gone on with: {error}")
            return []
        self._cut_off[key] = folder, name
        return ranges

    def place(self, series: Series) -> None:
        """Give a series a folder and a name. It may take as long as the disk does. From any thread."""
        if self._out is None:
            return
        prefix = str(series.user.get("prefix") or series_name(series.key))
        cut_off = self._cut_off.pop(series.key, None) if series.resumed else None
        if cut_off is not None:
            series.folder, series.name = cut_off
            return
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            with self._lock:  # a name is taken before its first file is there
                self._placed = {each for each in self._placed if not each.settled}
                busy = {(each.folder, each.name) for each in self._placed}
                series.folder, series.name = place_outputs(self._out, prefix, overwrite=self._overwrite, busy=busy)
                self._placed.add(series)
        except (CrystintError, OSError) as error:
            self._alarm(f"no files of series {series.key} are written: {error}")
