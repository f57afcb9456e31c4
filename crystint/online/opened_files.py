"""The finished files that are looked at: opened, closed, and laid over one another."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystint.engine import Engine
from crystint.errors import CrystintError, FileError, RefusedError
from crystint.io.kinds import opened_kind
from crystint.io.names import expand
from crystint.io.opened_file import OpenedFile
from crystint.model.peaks import PeakList
from crystint.online.broker import Broker
from crystint.online.configuration import told
from crystint.online.data_root import file_below
from crystint.online.file_openers import PLACED, open_series, peaks_recognised
from crystint.online.file_overlays import lay_over
from crystint.online.file_parts import FileRequest
from crystint.online.file_series import FileSeries, SpotOverlay
from crystint.online.frame_source import HeldFrame
from crystint.online.history import History
from crystint.run.settings import DetectorSettings

__all__ = ["OpenedFiles", "Opening", "files_of", "numbered"]

_IMAGES: Mapping[str, Any] = {"dark": None, "flat": None, "normalization": ()}
"""Settings that name images of the detector of a stream"""
_NUMBER = re.compile(r"(.*?)[0-9]+([^0-9]*)")
_SUFFIX = re.compile(r"((?:\.[A-Za-z][A-Za-z0-9]*)?(?:\.gz|\.bz2)?)$")
"""Of a file, with that of its packing: digits in it count nothing"""
_MOST = 64
"""files that are open at a time"""


@dataclass(frozen=True, eq=False)
class Opening:
    """What became of a file."""

    series: FileSeries
    overlay: SpotOverlay | None = None
    """that it is over the images of the series; None = it is the series"""
    notes: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """JSON-able."""
        return self.series.described() | {
            "overlay": None if self.overlay is None else self.overlay.name,
            "notes": list(self.notes),
        }


class OpenedFiles:
    """Finished files as series of a history; a `crystint.online.frame_source.FrameSource`.

    Parameters
    ----------
    root : path or None
        Requests may name files below it.
    history : History
        Has the series.
    engine : callable
        Gives the device that images of sparse files are made with.
    settings : DetectorSettings, optional
        Of all files: where the detector is, masks, the data set. None = a stream has its own.
    """

    def __init__(
        self,
        root: Path | None,
        history: History,
        engine: Callable[[], Engine] = Engine,
        settings: DetectorSettings | None = None,
    ) -> None:
        self.root, self._history, self._engine = root, history, engine
        self._settings = DetectorSettings() if settings is None else settings
        self._instead = dict(PLACED) if settings is not None else {**PLACED, **_IMAGES}
        self.opened: Callable[[FileSeries], object] | None = None
        """called with each series that is opened; None = nobody is"""
        self._opening = threading.Lock()

    # ------------------------------------------------------------------------------------------------- opening

    def open(
        self,
        path: str,
        *,
        over: str | None = None,
        apart: bool = False,
        geometry: str | None = None,
        mask: Sequence[str] = (),
        dataset: str | None = None,
    ) -> Opening:
        """Open a file that a request names, or those of a pattern as one series.

        Parameters
        ----------
        path : str
            Below the root.
        over : str, optional
            Key of an opened series whose images the spots of the file are shown over.
        apart : bool
            A series of its own, even if the frames that it belongs to are open.
        geometry, mask, dataset : optional
            Files below the root, and the path of the frames in the file.

        Raises
        ------
        RefusedError
            When it may not be read, is not there, or is none that can be looked at.
        """
        paths = self._below(path)
        changes: dict[str, Any] = {}
        if geometry:
            changes["geometry"] = file_below(self.root, geometry, "geometry")
        if mask:
            changes["mask"] = tuple(file_below(self.root, name, "mask") for name in mask)
        if dataset:
            changes["dataset"] = dataset
        settings = self._settings.model_copy(update=changes)
        try:
            return self._open(paths, settings, self._allowed, over=over, apart=apart, anew=bool(changes))
        except RefusedError:
            raise
        except CrystintError as error:
            raise RefusedError("bad_value", self._short(str(error)), "path") from None

    def open_named(self, paths: Sequence[Path]) -> Opening:
        """Open files that the user of the command line names; several are the frames of one series.

        Raises
        ------
        CrystintError
        """
        return self._open(tuple(paths), self._settings, Path.is_file, beside=True)

    def _open(
        self,
        paths: tuple[Path, ...],
        settings: DetectorSettings,
        allowed: Callable[[Path], bool],
        *,
        over: str | None = None,
        apart: bool = False,
        anew: bool = False,
        beside: bool = False,
    ) -> Opening:
        notes: list[str] = []
        request = FileRequest(paths, self.name_of(paths), settings, allowed, self._engine)
        with self._opening:
            same = self._history.files.get(str(request.key))
            if isinstance(same, FileSeries) and over is None and not anew:
                return Opening(same, notes=same.notes)
            with told(notes.append):
                laid = None
                if over is not None or (not apart and self._lies_over(paths[0])):
                    among = self.all() if over is None else [self.series(over)]
                    laid = lay_over(request, among, asked=over is not None or beside)
                    if laid is None and over is not None:
                        text = f"{paths[0].name} has no spots, or no rows, for the images of {over}"
                        raise RefusedError("bad_value", text, "over")
                series, overlay = laid or (open_series(request), None)
            texts = tuple(dict.fromkeys(map(self._short, notes)))  # they are complete when the block has ended
            series.notes = tuple(dict.fromkeys([*series.notes, *texts]))
            if laid is None:
                series.settings = self._instead
                self._add(series)
        self._history.wake()
        return Opening(series, overlay, texts)

    def _lies_over(self, path: Path) -> bool:
        if not any(self.all()):
            return False
        with OpenedFile(path) as file:
            recognised = opened_kind(file)
        return recognised is not None and peaks_recognised(recognised)

    def to_front(self, key: str) -> None:
        """Have it as if it was opened last: it is what is shown where no series is named."""
        series = self.series(key)
        files = {name: each for name, each in self._history.files.items() if name != key}
        self._history.files = {**files, key: series}
        if self.opened is not None:
            self.opened(series)

    def _add(self, series: FileSeries) -> None:
        files = {key: each for key, each in self._history.files.items() if key != str(series.key)}
        while len(files) >= _MOST:
            oldest = files.pop(next(iter(files)))
            if isinstance(oldest, FileSeries):
                oldest.close()
        self._history.files = {**files, str(series.key): series}
        if self.opened is not None:
            self.opened(series)

    def _below(self, path: str) -> tuple[Path, ...]:
        """The files of a name or a pattern below the root."""
        if self.root is None or "\0" in path or not path:
            return (file_below(self.root, path),)
        whole = self.root.resolve() / path
        if len(path) > 4096 or not any(letter in path for letter in "*?[") or os.path.lexists(whole):
            return (file_below(self.root, path),)
        if ".." in Path(path).parts:
            raise RefusedError("forbidden", f"{path[:200]!r} lies outside of the data root", "path")
        try:
            names = expand(whole)
        except FileError:
            raise RefusedError("not_found", f"no file matches {path[:200]!r} below the data root", "path") from None
        return tuple(file_below(self.root, str(name)) for name in names)

    def _allowed(self, path: Path) -> bool:
        try:
            file_below(self.root, str(path))
        except RefusedError:
            return False
        return True

    def name_of(self, paths: Sequence[Path]) -> str:
        """How a series of these files is called: below the root; of several, by what their names share."""
        name = str(paths[0])
        if len(paths) > 1:
            name = str(paths[0].with_name(numbered(paths[0].name)))
        if self.root is not None:
            with_root = Path(os.path.abspath(name))
            for root in (self.root.resolve(), Path(os.path.abspath(self.root))):
                if with_root.is_relative_to(root):
                    return str(with_root.relative_to(root))
        return name

    def _short(self, text: str) -> str:
        """A sentence without the folder of the root, which is nobody's business."""
        return text if self.root is None else text.replace(f"{self.root.resolve()}{os.sep}", "")

    # --------------------------------------------------------------------------------------------------- opened

    def all(self) -> list[FileSeries]:
        """That are open, the newest first."""
        return [each for each in reversed(self._history.files.values()) if isinstance(each, FileSeries)]

    def series(self, key: str | None = None) -> FileSeries:
        """By its key; None = the one that was opened last.

        Raises
        ------
        RefusedError
            not_found
        """
        files = self._history.files
        series = next(iter(reversed(files.values())), None) if key is None else files.get(key)
        if not isinstance(series, FileSeries):
            text = "no file is open" if key is None else f"{key[:200]!r} is not open: POST /api/v1/files opens it"
            raise RefusedError("not_found", text, "series")
        return series

    def close_series(self, key: str) -> FileSeries:
        """Close one.

        Raises
        ------
        RefusedError
            not_found
        """
        series = self.series(key)
        self._history.files = {name: each for name, each in self._history.files.items() if name != key}
        series.close()
        self._history.wake()
        return series

    def close(self) -> None:
        """Close all."""
        for series in self.all():
            series.close()

    def spots(self, key: str, overlay: str, image: int) -> PeakList:
        """Of an overlay of a series.

        Raises
        ------
        RefusedError
            not_found
        """
        series = self.series(key)
        if overlay not in series.overlays:
            names = ", ".join(series.overlays) or "none"
            raise RefusedError(
                "not_found", f"there is no overlay {overlay[:80]!r} of {key}; there are {names}", "overlay"
            )
        try:
            return series.overlays[overlay].spots(image)
        except CrystintError as error:
            raise RefusedError("not_found", self._short(str(error)), "image") from None

    # ---------------------------------------------------------------------------------------------- FrameSource

    def held(self, series: str | None = None) -> tuple[str | None, list[int]]:
        """As `FrameSource.held`."""
        if series is None and not self._history.files:
            return None, []
        chosen = self.series(series)
        return str(chosen.key), list(range(len(chosen.frames)))

    def frame(self, number: int, series: str | None = None) -> HeldFrame:
        """As `FrameSource.frame`."""
        return self.series(series).frame(number)


def numbered(name: str) -> str:
    """The pattern of the names that differ in their last number alone; a name without one stays what it is."""
    suffix = _SUFFIX.search(name)
    end = len(name) if suffix is None else suffix.start()
    match = _NUMBER.fullmatch(name[:end])
    return name if match is None else f"{match[1]}*{match[2]}{name[end:]}"


def files_of(broker: Broker) -> OpenedFiles:
    """Those of a broker: one for all routes."""
    if broker.files is None:
        broker.files = OpenedFiles(broker.data_root, broker.history, broker.engine)
    files: OpenedFiles = broker.files
    return files
