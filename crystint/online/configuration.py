"""Settings, regions and user's mask of the service: their versions, and the analyses that are made of them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import CrystintError, CrystintWarning, RefusedError, SettingError
from crystint.model.mask import combine_masks
from crystint.model.roi_members import RoiMembers
from crystint.model.rois import Rois
from crystint.online.analysis import Analyses, Analysis
from crystint.online.control import Applied
from crystint.online.series import Series
from crystint.online.settings import CHANGEABLE, AnalysisSettings
from crystint.online.timeline import Timeline
from crystint.stream.messages import Start

__all__ = ["Configuration"]

_T = TypeVar("_T")


class Configuration:
    """What is done with images now, and how it changes.

    An analysis is made in the thread that asks for it, beside the one that images go through meanwhile; then the
    timelines of the series that run get it.

    Parameters
    ----------
    engine : Engine
    settings : AnalysisSettings
    channel : str or None
    running : callable
        Gives the series that are not final, the newest last.
    warn : callable
        Called with sentences.
    fail : callable
        Called with the reason why a series cannot be looked at.
    """

    def __init__(
        self,
        engine: Engine,
        settings: AnalysisSettings,
        channel: str | None,
        running: Callable[[], Iterable[Series]],
        warn: Callable[[str], None],
        fail: Callable[[str], None],
    ) -> None:
        self.settings, self.channel, self.rois = settings, channel, Rois()
        self.user_mask: NDArray[np.uint32] | None = None
        self.settings_version, self.roi_version = 1, 0
        self.revisions = {"settings": 1, "rois": 0, "mask": 0}
        self.members: RoiMembers | None = None
        """pixels of the regions on the detector; None = there are no regions, or no detector was there yet"""
        self.analyses = Analyses(engine)
        self._running, self._warn, self._fail = running, warn, fail
        self._changing = threading.RLock()
        """held while an analysis is made: images do not need it"""
        self._last: Analysis | None = None
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="analyses")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._queue.put(None)
        self._thread.join()

    @property
    def last(self) -> Analysis | None:
        """Of the series that runs, or that ran last."""
        return self._last

    def look_at(self, start: Start, dtype: np.dtype[Any]) -> None:
        """Have the detector of images that do not come in a stream: regions, masks and changes are checked with it.

        Raises
        ------
        CrystintError
            When something does not fit; then the detector of before stays.
        """
        with self._changing:
            mask = self.user_mask
            if mask is not None and mask.shape != start.shape:
                mask = None
            self._last = self.analyses.make(
                start,
                self.settings,
                dtype=dtype,
                user_mask=mask,
                rois=self.rois,
                settings_version=self.settings_version,
                roi_version=self.roi_version,
            )
            self.members = _members(self._last)

    def begin(self, series: Series, dtype: np.dtype[Any] | None, then: Callable[[], None]) -> None:
        """Make the analysis of a series in the thread for it, and call `then`."""
        self._queue.put(lambda: self._begin(series, dtype, then))

    def change_settings(self, changes: Mapping[str, Any], revision: int | None, dry_run: bool) -> Applied:
        """As `crystint.online.control.Control`."""
        with self._changing:
            self._check("settings", revision)
            settings = changed_settings(self.settings, changes)
            if dry_run:
                with _refusing():
                    self._each(lambda analysis: self._with_settings(analysis, settings, self.settings_version))
                return Applied(0, self.settings_version, self.revisions["settings"])
            if settings == self.settings:
                return Applied(0, self.settings_version, self.revisions["settings"])
            version = self.settings_version + 1
            with _refusing():
                made = self._each(lambda analysis: self._with_settings(analysis, settings, version))
            self.settings, self.settings_version = settings, version
            return self._apply("settings", made, version)

    def change_mask(self, mask: NDArray[Any] | None) -> Applied:
        """As `crystint.online.control.Control`."""
        with self._changing:
            with _refusing():
                pixels = None if mask is None else combine_masks(mask, shape=self._shape(np.shape(mask)))
                version = self.settings_version + 1
                made = self._each(lambda analysis: self._anew(analysis, user_mask=pixels, settings_version=version))
            self.user_mask, self.settings_version = pixels, version
            return self._apply("mask", made, version)

    def change_rois(self, document: Mapping[str, Any], revision: int | None) -> Applied:
        """As `crystint.online.control.Control`."""
        with self._changing:
            self._check("rois", revision)
            with _refusing():
                rois = Rois.from_dict(document)
                version = self.roi_version + 1
                made = self._each(lambda analysis: self.analyses.with_rois(analysis, rois, version, strict=True))
                last = self._last
                if made:
                    members = _members(made[-1][1])
                else:  # nothing runs: what they are on the detector that was there last
                    members = None if last is None else rois.members(last.geometry, last.shape)
            self.rois, self.roi_version, self.members = rois, version, members
            applied = self._apply("rois", made, version)
            return replace(applied, details=self.roi_details())

    def follow(self, settings_version: int | None = None, roi_version: int | None = None) -> None:
        """Number versions as another service does: the next change makes these."""
        with self._changing:
            if settings_version is not None:
                self.settings_version = settings_version - 1
            if roi_version is not None:
                self.roi_version = roi_version - 1

    def roi_details(self) -> dict[str, Any]:
        """Of each region on the detector, as far as it is known."""
        return {} if self.members is None else dict(self.members.details)

    def renew(self, timeline: Timeline, analysis: Analysis, engine: Callable[[], Engine]) -> bool:
        """Put the same on another device, where no other thread has done it already."""
        with self._changing:
            current = timeline.current
            if current is not None and current.search.engine is not analysis.search.engine:
                return True  # another worker was faster
            try:
                started = engine()
                for each in timeline.analyses():
                    timeline.exchange(each, self.analyses.renew(each, started))
            except Exception as error:
                self._warn(f"the device cannot be used again: {error}")
                return False
            self._last = timeline.current
            return True

    def _begin(self, series: Series, dtype: np.dtype[Any] | None, then: Callable[[], None]) -> None:
        timeline: Timeline = series.context
        try:
            with self._changing:
                if dtype is None:
                    timeline.fail("no image came")
                else:
                    analysis = self._made(series, dtype)
                    series.geometry, series.mask = analysis.geometry, analysis.mask
                    self._last, self.members = analysis, _members(analysis)
                    timeline.put(analysis)
        except Exception as error:
            text = str(error) if isinstance(error, CrystintError) else f"{type(error).__name__}: {error}"
            timeline.fail(text)
            text = f"series {series.key} is not looked at: {text}"
            self._warn(text)
            self._fail(text)
        finally:
            then()

    def _made(self, series: Series, dtype: np.dtype[Any]) -> Analysis:
        mask, timeline = self.user_mask, series.context
        if mask is not None and mask.shape != series.start.shape:
            self._warn(f"the user mask is {mask.shape}, the images are {series.start.shape}: it is not used")
            mask = None
        with told(self._warn):
            return self.analyses.make(
                series.start,
                self.settings,
                dtype=dtype,
                channel=self.channel,
                asked=timeline.geometry,
                user_mask=mask,
                rois=self.rois,
                settings_version=self.settings_version,
                roi_version=self.roi_version,
            )

    def _with_settings(self, analysis: Analysis, settings: AnalysisSettings, version: int) -> Analysis:
        changed = self.analyses.changed(analysis, settings, version)
        return changed if changed is not None else self._anew(analysis, settings=settings, settings_version=version)

    def _anew(self, analysis: Analysis, **other: Any) -> Analysis:
        with told(self._warn):
            return self.analyses.make(
                analysis.start,
                other.get("settings", analysis.settings),
                dtype=analysis.dtype,
                channel=self.channel,
                asked=analysis.asked,
                user_mask=other.get("user_mask", analysis.user_mask),
                rois=analysis.rois,
                settings_version=other.get("settings_version", analysis.settings_version),
                roi_version=analysis.roi_version,
            )

    def _each(self, change: Callable[[Analysis], Analysis]) -> list[tuple[Series | None, Analysis]]:
        """What becomes of the analysis of each series that runs; where none does, of that of the last one (None)."""
        made: list[tuple[Series | None, Analysis]] = []
        for series in self._running():
            current = None if series.context is None else series.context.current
            if current is not None:
                made.append((series, change(current)))
        if not made and self._last is not None:
            made.append((None, change(self._last)))
        return made

    def _apply(self, what: str, made: list[tuple[Series | None, Analysis]], version: int) -> Applied:
        first = 0
        for series, analysis in made:
            if series is not None:
                first = series.context.put(analysis)
            self._last = analysis
        self.revisions[what] += 1
        return Applied(first, version, self.revisions[what])

    def _check(self, what: str, revision: int | None) -> None:
        if revision is not None and revision != self.revisions[what]:
            raise RefusedError(
                "conflict", f"the revision of the {what} is {self.revisions[what]}, not {revision}: read them again"
            )

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """That of the detector, where it is known; a mask of another one is refused."""
        if len(shape) != 2:
            raise SettingError(f"the mask is {shape}, expected (slow, fast)", "mask")
        running = list(self._running())
        if running:
            return running[-1].start.shape
        return self._last.shape if self._last is not None else (shape[0], shape[1])

    def _run(self) -> None:
        while True:
            todo = self._queue.get()
            if todo is None:
                return
            todo()


def changed_settings(settings: AnalysisSettings, changes: Mapping[str, Any]) -> AnalysisSettings:
    """Settings with some changed.

    Raises
    ------
    RefusedError
        When one is unknown, cannot change, or has an impossible value.
    """
    fields = type(settings).model_fields
    for name in changes:
        if name in fields and name not in CHANGEABLE:
            raise RefusedError(
                "bad_value", f"{name} cannot change while the service runs; {', '.join(CHANGEABLE)} can", name
            )
    values = {name: getattr(settings, name) for name in fields}
    with _refusing():
        try:
            return AnalysisSettings.of({**values, **changes})
        except SettingError as error:
            field = next((name for name in changes if str(error).startswith(f"{name}:")), None)
            raise RefusedError("bad_value", str(error), field) from None


def _members(analysis: Analysis) -> RoiMembers | None:
    return None if analysis.regions is None else analysis.regions.members


@contextmanager
def _refusing() -> Any:
    """What does not fit is a request that is refused."""
    try:
        yield
    except RefusedError:
        raise
    except CrystintError as error:
        raise RefusedError("bad_value", str(error), getattr(error, "field", None)) from None


@contextmanager
def told(warn: Callable[[str], None]) -> Any:
    """Warnings of the block are told by `warn`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CrystintWarning)
        yield
    for each in caught:
        if issubclass(each.category, CrystintWarning):
            warn(str(each.message))
