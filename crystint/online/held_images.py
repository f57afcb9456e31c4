"""What is seen of an image: its pixels, background and significance, and what other settings would find."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import RefusedError, SettingError
from crystint.model.peaks import PeakList, empty_peaks
from crystint.model.rois import Rois
from crystint.online.analysis import Analyses, Analysis, Examined
from crystint.online.control import Control
from crystint.online.file_series import FileSeries
from crystint.online.frame_source import FrameSource, HeldFrame
from crystint.online.history import History
from crystint.online.result import Result
from crystint.online.settings import CHANGEABLE, AnalysisSettings

__all__ = ["HeldImages"]
_SEEN = 16
"""images whose spots are remembered that were looked for when somebody asked"""


class HeldImages:
    """Images, with what the data process makes of them.

    Parameters
    ----------
    frames : FrameSource
        Where they come from.
    control : Control
    history : History
    engine : function that gives an Engine
        Called when a background is asked for the first time.
    """

    def __init__(
        self,
        frames: FrameSource,
        control: Control,
        history: History,
        engine: Callable[[], Engine] = Engine,
    ) -> None:
        self.frames = frames
        self._control, self._history, self._engine = control, history, engine
        self._analyses: Analyses | None = None
        self._analysis: tuple[Any, Analysis] | None = None
        self._seen: OrderedDict[tuple[Any, ...], Result] = OrderedDict()
        self._making = threading.Lock()

    def held(self, series: str | None = None) -> tuple[str | None, list[int]]:
        """As `FrameSource.held`."""
        return self.frames.held(series)

    def frame(self, number: int, series: str | None = None) -> HeldFrame:
        """As `FrameSource.frame`."""
        return self.frames.frame(number, series)

    def result(self, frame: HeldFrame) -> Result | None:
        """What is remembered of it; None = nothing."""
        series = self._history.series(frame.series)
        if series is None:
            return None
        if isinstance(series, FileSeries) and not series.looked_at:
            return self.seen_now(frame)
        rows = series.arrived
        places = np.flatnonzero(rows.table["frame"] == frame.number)
        if not len(places):
            return None
        place = int(places[-1])
        peaks = self.peaks(frame)
        regions: dict[str, Any] = {}
        if rows.regions is not None:
            regions = {"rois": rows.regions[place], "roi_names": rows.roi_names}
        elif isinstance(series, FileSeries) and (seen := self.seen_now(frame)) is not None:
            regions = {"rois": seen.rois, "roi_names": seen.roi_names}
        return Result(
            frame.image.series, rows.table[place : place + 1], empty_peaks() if peaks is None else peaks, **regions
        )

    def seen_now(self, frame: HeldFrame) -> Result | None:
        """What is seen in it with the settings of now; None = nothing is known of the detector."""
        analysis = self._made(frame)
        if analysis is None:
            return None
        versions = (analysis.settings_version, analysis.roi_version, self._masks())
        key = (frame.series, frame.start, frame.number, *versions)
        with self._making:
            if key in self._seen:
                self._seen.move_to_end(key)
                return self._seen[key]
        examined = analysis.examine(frame.pixels, frame.number)
        series = self._history.series(frame.series)
        if isinstance(series, FileSeries) and frame.number < len(series.arrived):
            for name in ("angle", "time", "source_frame"):
                examined.row[name] = series.arrived.column(name)[frame.number]
        regions: dict[str, Any] = {}
        if examined.regions is not None:
            regions = {"rois": examined.regions, "roi_names": analysis.rois.names}
        result = Result(frame.image.series, examined.row, examined.peaks, **regions)
        with self._making:
            self._seen[key] = result
            while len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
        return result

    def peaks(self, frame: HeldFrame) -> PeakList | None:
        """Spots of it as its series has them; None = they are not remembered."""
        series = self._history.series(frame.series)
        return None if series is None else series.spots(frame.number)

    def examine(self, frame: HeldFrame, changes: Mapping[str, Any]) -> tuple[Examined, AnalysisSettings]:
        """What would be found with other settings.

        Parameters
        ----------
        changes : mapping of name to value
            Of `crystint.online.settings.CHANGEABLE`.

        Raises
        ------
        RefusedError
        """
        analysis = self.searched(frame)
        unknown = sorted(set(changes) - set(CHANGEABLE))
        if unknown:
            raise RefusedError("bad_value", f"{unknown[0]}: no such setting, or not one that may change", unknown[0])
        values = {name: getattr(analysis.settings, name) for name in type(analysis.settings).model_fields}
        try:
            settings = AnalysisSettings.of({**values, **changes})
        except SettingError as error:
            raise RefusedError("bad_value", str(error)) from None
        assert self._analyses is not None
        with self._making:
            tried = self._analyses.changed(analysis, settings, analysis.settings_version)
            if tried is None:
                tried = self._analyses.make(
                    analysis.start, settings, dtype=analysis.dtype, asked=analysis.asked, user_mask=analysis.user_mask
                )
        return tried.examine(frame.pixels, frame.number), settings

    def analysis(self, frame: HeldFrame) -> Analysis | None:
        """As the data process has it now; None = nothing is known of the detector."""
        return self._made(frame)

    def searched(self, frame: HeldFrame) -> Analysis:
        """As `analysis`, of one that looks for spots.

        Raises
        ------
        RefusedError
            wrong_state, when there is no background since the geometry is not known.
        """
        analysis = self._made(frame)
        if analysis is None or analysis.geometry is None:
            raise RefusedError(
                "wrong_state", "there is no background: the geometry is not known; give it to /start or with -g"
            )
        return analysis

    def _made(self, frame: HeldFrame) -> Analysis | None:
        """The analysis of its series with the settings of now, made once."""
        if frame.start is None:
            return None
        settings, rois = self._control.settings(), self._control.rois()
        key = (frame.series, frame.start, settings["version"], rois["version"], self._masks())
        with self._making:
            if self._analysis is not None and self._analysis[0] == key:
                return self._analysis[1]
            if self._analyses is None:
                self._analyses = Analyses(self._engine(), lazily=True)
            remembered = self._history.series(frame.series)
            asked, user_mask = None, self._user_mask(frame)
            if frame.settings is None and remembered is not None:
                asked = remembered.info.get("geometry")
            names = {*AnalysisSettings.model_fields} & set(settings["values"])
            values = {name: settings["values"][name] for name in names} | dict(frame.settings or {})
            made = self._analyses.make(
                frame.start,
                AnalysisSettings.of(values),
                dtype=frame.pixels.dtype,
                channel=frame.channel,
                asked=_asked(asked),
                user_mask=user_mask,
                rois=Rois.from_dict(rois["document"]),
                settings_version=settings["version"],
                roi_version=rois["version"],
            )
            self._analysis = (key, made)
            return made

    def _user_mask(self, frame: HeldFrame) -> NDArray[np.uint32] | None:
        """That of the control; none for an image of another detector: of a file, or of an earlier series."""
        try:
            mask = self._control.mask("user")
        except RefusedError:  # no series told a detector yet
            return None
        return mask if mask is not None and mask.shape == frame.pixels.shape else None

    def _masks(self) -> int:
        """Changes with the user's mask."""
        return max((event.number for event in tuple(self._history.events) if event.name == "mask"), default=0)


def _asked(geometry: Any) -> Mapping[str, Any] | None:
    """What the data process uses, as it may be asked for."""
    if not isinstance(geometry, Mapping):
        return None
    names: tuple[str, ...] = ("distance", "beam_center", "pixel_size", "wavelength", "rotation", "polarization")
    if geometry.get("panels") is not None:  # they have these in themselves
        names = ("distance", "wavelength", "polarization")
    values = {name: geometry[name] for name in names if geometry.get(name) is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()} or None
