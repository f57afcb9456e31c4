"""The head of several nodes: puts their results in order, and does all that a service does with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.engine import Engine
from crystint.model.geometry import Geometry
from crystint.online.books import Books
from crystint.online.control import Applied
from crystint.online.head_link import HeadLink
from crystint.online.results_message import ResultsBatch
from crystint.online.service import Service
from crystint.online.settings import CHANGEABLE, AnalysisSettings
from crystint.stream.messages import End, Message, SeriesKey, Start
from crystint.stream.packed_frame import encode_frame
from crystint.stream.read import read_message
from crystint.stream.typed_arrays import frame_tag
from crystint.stream.write import encode_end

__all__ = ["Head"]


class Head(Service):
    """A service whose images are looked at by nodes.

    A node that gets a start hands it on to the head, and the head to all others. Results are put in order here, and the
    books are those of all nodes together. The series is final when all images came, or when its end came and nothing
    more for the grace; images of a node that died are missing then.

    Parameters
    ----------
    nodes : str
        Where nodes reach it, such as tcp://*:5610.
    token : str
        That nodes have to know.
    geometry, mask, settings, out, engine
        As of `Service`.

    Raises
    ------
    SettingError
        When nothing can be bound there.
    """

    def __init__(
        self,
        nodes: str,
        *,
        token: str = "",
        geometry: Geometry | None = None,
        mask: NDArray[Any] | None = None,
        settings: AnalysisSettings | None = None,
        out: FileName | None = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__((), geometry, mask, settings, out, engine)
        self._changes = threading.Lock()
        self._dtypes: dict[SeriesKey, np.dtype[Any]] = {}
        self.intake.read = self._read
        self.link = HeadLink(self, nodes, token, self.tell)
        self.add(self.link)

    def change_settings(
        self, changes: Mapping[str, Any], revision: int | None = None, dry_run: bool = False
    ) -> Applied:
        """As `Service.change_settings`; first at all nodes. From the image on that it names, all of them have it."""
        with self._changes:
            checked = super().change_settings(changes, revision, dry_run=True)
            if dry_run:
                return checked
            self._everywhere("settings", dict(changes), self.configuration.settings_version + 1)
            return super().change_settings(changes, revision)

    def change_rois(self, document: Mapping[str, Any], revision: int | None = None) -> Applied:
        """As `Service.change_rois`; first at all nodes."""
        with self._changes:
            if revision is not None and revision != self.configuration.revisions["rois"]:
                return super().change_rois(document, revision)
            self._everywhere("rois", dict(document), self.configuration.roi_version + 1)
            return super().change_rois(document, revision)

    def change_mask(self, mask: NDArray[Any] | None) -> Applied:
        """As `Service.change_mask`; first at all nodes."""
        with self._changes:
            values = None if mask is None else mask_tag(mask)
            self._everywhere("mask", values, self.configuration.settings_version + 1)
            return super().change_mask(mask)

    def changes(self) -> list[dict[str, Any]]:
        """What a node that comes now has to change to be as the others."""
        now = self.configuration
        changes: list[dict[str, Any]] = []
        if now.settings_version > 1:
            values = now.settings.plain()
            some = {name: values[name] for name in CHANGEABLE if name in values}
            changes.append({"what": "settings", "values": some, "version": now.settings_version})
        if now.user_mask is not None:
            mask = mask_tag(now.user_mask)
            changes.append({"what": "mask", "values": mask, "version": now.settings_version})
        if now.roi_version > 0:
            changes.append({"what": "rois", "values": now.rois.to_dict(), "version": now.roi_version})
        return changes

    def begin_series(self, series: SeriesKey, message: bytes, dtype: str | None) -> None:
        """Take a start that a node got."""
        if dtype is not None:
            self._dtypes = {**dict(list(self._dtypes.items())[-9:]), series: np.dtype(dtype)}
        self.take(message)

    def take_results(self, batch: ResultsBatch) -> None:
        """Take results of a node."""
        self._call(lambda: self.intake.results(batch.series, batch.results()))

    def take_books(self, node: str, series: SeriesKey, books: Books, *, ended: bool, busy: bool) -> None:
        """Take what a node counts of a series.

        Parameters
        ----------
        node : str
        series : SeriesKey
        books : Books
        ended : bool
            The end came to it.
        busy : bool
            It has more images than it sent results of.
        """

        def take() -> None:
            own = self.intake.live.get(series)
            for each in [own] if own is not None else [each for each in self.intake.closed if each.key == series][-1:]:
                each.elsewhere[node] = books
            if own is not None and busy:
                own.heard = self.intake.clock()
            if own is not None and ended and own.ended is None:
                self.intake.message(encode_end(End(series)), time.time_ns())

        self._call(take)

    def _read(self, parts: Sequence[Any]) -> Message:
        message = read_message(parts)
        if isinstance(message, Start) and message.dtype is None:
            return replace(message, dtype=self._dtypes.get(message.series))
        return message

    def _everywhere(self, what: str, values: Any, version: int) -> None:
        """Change it at all nodes, and let the change here begin with the first image that all have it for."""
        first = self.link.ask({"what": what, "values": values, "version": version})
        for series in list(self.intake.live.values()):
            if first > 0 and series.context is not None:
                series.context.take(first - 1)


def mask_tag(mask: NDArray[Any]) -> Any:
    """A mask as a value of CBOR."""
    return frame_tag(encode_frame(np.where(np.asarray(mask) != 0, np.uint32(1), np.uint32(0)), "bslz4"))
