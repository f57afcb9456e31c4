"""The last images, for whoever looks: decoded when somebody asks, in the process of the web interface."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import CrystintError, RefusedError, SettingError
from crystint.model.peaks import empty_peaks
from crystint.model.rings import interpolate
from crystint.model.rois import Rois
from crystint.online.analysis import Analyses, Analysis, Examined
from crystint.online.control import Control
from crystint.online.history import History
from crystint.online.result import Result
from crystint.online.ring import RingReader
from crystint.online.settings import CHANGEABLE, AnalysisSettings
from crystint.ops.threshold import ring_table, significance
from crystint.stream.messages import Image, Start
from crystint.stream.read import read_message

__all__ = ["HeldFrame", "HeldImages", "Layer"]

Layer = Literal["counts", "background", "significance"]
LAST, LAST_HIT = -1, -2
_DECODED = 4
"""images whose pixels are remembered"""


@dataclass(frozen=True, eq=False)
class HeldFrame:
    """An image that somebody looks at."""

    series: str
    number: int
    parts: tuple[bytes, ...]
    image: Image
    start: Start | None
    """None = the data process does not remember that series"""

    @property
    def channel(self) -> str:
        """That is looked at."""
        return next(iter(self.image.frames))

    @cached_property
    def pixels(self) -> NDArray[Any]:
        """[slow, fast] of the channel."""
        try:
            return self.image.frame(self.channel)
        except CrystintError as error:
            raise RefusedError("not_found", f"image {self.number} cannot be unpacked: {error}", "id") from None


class HeldImages:
    """The images of a ring, with what the data process makes of them.

    Parameters
    ----------
    ring : RingReader or function that gives one
    control : Control
    history : History
    engine : function that gives an Engine
        Called when a background is asked for the first time.
    """

    def __init__(
        self,
        ring: RingReader | Callable[[], RingReader],
        control: Control,
        history: History,
        engine: Callable[[], Engine] = Engine,
    ) -> None:
        self._reader: RingReader | None = None
        self._ring, self._control, self._history, self._engine = ring, control, history, engine
        self._frames: OrderedDict[tuple[str, int], HeldFrame] = OrderedDict()
        self._starts: dict[str, Start | None] = {}
        self._analyses: Analyses | None = None
        self._analysis: tuple[Any, Analysis] | None = None
        self._lock = threading.Lock()
        self._making = threading.Lock()

    @property
    def reader(self) -> RingReader:
        """Of the ring."""
        with self._lock:
            if self._reader is None:
                self._reader = self._ring if isinstance(self._ring, RingReader) else self._ring()
            return self._reader

    def held(self, series: str | None = None) -> tuple[str | None, list[int]]:
        """The series, and the numbers of its images that are held, the oldest first."""
        return self.reader.numbers_of(series)

    def frame(self, number: int, series: str | None = None) -> HeldFrame:
        """An image.

        Parameters
        ----------
        number : int
            -1 = the last one, -2 = the last hit.
        series : str, optional
            None = the newest.

        Raises
        ------
        RefusedError
            not_found, with the numbers that are held.
        """
        wanted: int | None = number
        if number == LAST:
            wanted = None
        elif number == LAST_HIT:
            remembered = self._history.series(series)
            wanted = None if remembered is None else remembered.last_hit
            if remembered is None or wanted is None:
                raise RefusedError("not_found", "there was no hit yet", "id")
            series = str(remembered.key)
        held = self.reader.message(wanted, series)
        if held is None:
            raise RefusedError("not_found", f"image {number} is not held: {self._there(series)}", "id")
        key = (held.series, held.number)
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        message = read_message(held.parts)
        assert isinstance(message, Image)  # the ring has nothing else
        frame = HeldFrame(held.series, held.number, held.parts, message, self._start(held.series))
        with self._lock:
            self._frames[key] = frame
            while len(self._frames) > _DECODED:
                self._frames.popitem(last=False)
        return frame

    def _there(self, series: str | None) -> str:
        _, numbers = self.held(series)
        return f"{numbers[0]} to {numbers[-1]} are" if numbers else "none are"

    def _start(self, series: str) -> Start | None:
        if self._starts.get(series) is None:
            try:
                message = read_message([self._control.start_message(series)])
            except CrystintError:  # it is closed and forgotten
                message = None
            while len(self._starts) > 16:
                del self._starts[next(iter(self._starts))]
            self._starts[series] = message if isinstance(message, Start) else None
        return self._starts[series]

    def result(self, frame: HeldFrame) -> Result | None:
        """What is remembered of it; None = nothing."""
        series = self._history.series(frame.series)
        if series is None:
            return None
        rows = series.arrived
        places = np.flatnonzero(rows.table["frame"] == frame.number)
        if not len(places):
            return None
        place = int(places[-1])
        peaks = series.spots(frame.number)
        regions = {} if rows.regions is None else {"rois": rows.regions[place], "roi_names": rows.roi_names}
        return Result(
            frame.image.series, rows.table[place : place + 1], empty_peaks() if peaks is None else peaks, **regions
        )

    def unusable(self, frame: HeldFrame) -> NDArray[np.bool_]:
        """bool [slow, fast]: pixels that are masked, or hold no measurement."""
        pixels = frame.pixels
        analysis = self._made(frame)
        if analysis is None:
            mark = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else None
            return np.zeros(pixels.shape, bool) if mark is None else np.asarray(pixels == mark)
        bad = analysis.mask != 0
        valid = analysis.search.valid
        return bad if valid is None else np.asarray(bad | valid.unusable(pixels))

    def layer(self, frame: HeldFrame, layer: Layer) -> NDArray[Any]:
        """What is shown of an image.

        Raises
        ------
        RefusedError
            wrong_state, when there is no background since the geometry is not known.
        """
        if layer == "counts":
            return frame.pixels
        analysis = self._needed(frame)
        background = analysis.search.separator.background(frame.pixels)
        expected: NDArray[np.float64] = background.image()
        if layer == "background":
            return np.asarray(expected, np.float32)
        rings = background.rings
        table = ring_table(background).astype(np.float64)
        position, weight = rings.position, rings.weight.astype(np.float64)
        phi, spread = (interpolate(table[:, column], position) for column in (1, 2))
        dark = 0.0 if rings.dark is None else rings.dark
        shown: NDArray[np.float64] = significance(
            frame.pixels.astype(np.float64).ravel() - np.ravel(dark),
            np.ravel(expected - dark),
            phi.ravel(),
            np.square(spread * weight).ravel() + analysis.settings.noise**2,
        )  # fmt: skip
        return np.asarray(shown.reshape(frame.pixels.shape), np.float32)

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
        analysis = self._needed(frame)
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

    def _needed(self, frame: HeldFrame) -> Analysis:
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
        key = (frame.series, settings["version"], rois["version"], self._masks())
        with self._making:
            if self._analysis is not None and self._analysis[0] == key:
                return self._analysis[1]
            if self._analyses is None:
                self._analyses = Analyses(self._engine())
            remembered = self._history.series(frame.series)
            asked = None if remembered is None else remembered.info.get("geometry")
            names = {*AnalysisSettings.model_fields} & set(settings["values"])
            made = self._analyses.make(
                frame.start,
                AnalysisSettings.of({name: settings["values"][name] for name in names}),
                dtype=frame.pixels.dtype,
                channel=frame.channel,
                asked=_asked(asked),
                user_mask=self._control.mask("user"),
                rois=Rois.from_dict(rois["document"]),
                settings_version=settings["version"],
                roi_version=rois["version"],
            )
            self._analysis = (key, made)
            return made

    def _masks(self) -> int:
        """Changes with the user's mask."""
        return max((event.number for event in tuple(self._history.events) if event.name == "mask"), default=0)

    def close(self) -> None:
        """Let go of the ring."""
        if self._reader is not None:
            self._reader.close()


def _asked(geometry: Any) -> Mapping[str, Any] | None:
    """What the data process uses, as it may be asked for."""
    names = ("distance", "beam_center", "pixel_size", "wavelength", "rotation", "polarization")
    if not isinstance(geometry, Mapping):
        return None
    values = {name: geometry[name] for name in names if geometry.get(name) is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()} or None
