"""The part of a control that settings, regions and masks belong to: what a service and opened files share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.model.mask import USER_MASK
from crystint.model.rois import Roi, Rois
from crystint.online.analysis import Analysis
from crystint.online.configuration import Configuration
from crystint.online.control import Applied
from crystint.online.events import EventLog

__all__ = ["ConfigurationControl"]


class ConfigurationControl:
    """Settings, regions, masks and events of a `crystint.online.control.Control`, round a `Configuration`."""

    configuration: Configuration
    log: EventLog

    def set(self, **changes: Any) -> Applied:
        """Change settings, such as ``snr=4.5``.

        Raises
        ------
        RefusedError
            As `change_settings`.
        """
        return self.change_settings(changes)

    def set_rois(self, rois: Iterable[Roi]) -> Applied:
        """Replace all regions.

        Parameters
        ----------
        rois : sequence of Roi

        Raises
        ------
        RefusedError
            As `change_rois`.
        """
        return self.change_rois(Rois(tuple(rois)).to_dict())

    def settings(self) -> dict[str, Any]:
        """What is looked for, with its version and revision."""
        now = self.configuration
        return {
            "values": now.settings.plain(),
            "version": now.settings_version,
            "revision": now.revisions["settings"],
        }

    def change_settings(
        self, changes: Mapping[str, Any], revision: int | None = None, dry_run: bool = False
    ) -> Applied:
        """Change some of the settings, from an image on that the answer names.

        Parameters
        ----------
        changes : mapping of name to value
        revision : int, optional
            That the change was made for.
        dry_run : bool
            Only check.

        Raises
        ------
        RefusedError
            bad_value; conflict when the revision is another one by now.
        """
        applied = self.configuration.change_settings(changes, revision, dry_run)
        if not dry_run:
            self.log.add("settings", {"changes": dict(changes), **_plain(applied)})
        return applied

    def rois(self) -> dict[str, Any]:
        """The regions."""
        now = self.configuration
        return {
            "document": now.rois.to_dict(),
            "version": now.roi_version,
            "revision": now.revisions["rois"],
            "details": now.roi_details(),
        }

    def change_rois(self, document: Mapping[str, Any], revision: int | None = None) -> Applied:
        """Replace all regions, from an image on that the answer names.

        Parameters
        ----------
        document : mapping
            As `Rois.to_dict` gives it.
        revision : int, optional
            That the change was made for.

        Raises
        ------
        RefusedError
            bad_value; conflict when the revision is another one by now.
        """
        applied = self.configuration.change_rois(document, revision)
        self.log.add("rois", _plain(applied))
        return applied

    def roi_map(self) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Bit i of a pixel is set where it belongs to region i; and the names of the regions.

        Raises
        ------
        RefusedError
            When no detector or no region is there.
        """
        self._last()
        members = self.configuration.members
        if members is None or not members.names:
            raise RefusedError("not_found", "there are no regions")
        return members.map(), members.names

    def mask(self, layer: str = "total") -> NDArray[np.uint32]:
        """A mask of the detector.

        Parameters
        ----------
        layer : {"total", "user", "detector"}

        Returns
        -------
        uint32 [slow, fast]

        Raises
        ------
        RefusedError
            When there is no such layer, or no detector yet.
        """
        if layer not in ("total", "user", "detector"):
            raise RefusedError("bad_value", f"layer is {layer!r}, expected total, user or detector", "layer")
        user = self.configuration.user_mask
        if layer == "user" and user is not None:
            return user
        last = self._last()
        if layer == "user":
            return np.zeros(last.shape, np.uint32)
        if layer == "detector":
            return last.detector_mask
        if user is last.user_mask:
            return last.mask
        return last.detector_mask if user is None or user.shape != last.shape else last.detector_mask | user

    def change_mask(self, mask: NDArray[Any] | None) -> Applied:
        """Replace the user's mask, from an image on that the answer names.

        Parameters
        ----------
        mask : integer or bool [slow, fast] or None
            Nonzero = masked; None = there is none.

        Raises
        ------
        RefusedError
            When it is of another shape than the detector.
        """
        pixels = None if mask is None else np.where(np.asarray(mask) != 0, np.uint32(USER_MASK), np.uint32(0))
        applied = self.configuration.change_mask(pixels)
        self.log.add("mask", {"masked": 0 if pixels is None else int(np.count_nonzero(pixels)), **_plain(applied)})
        return applied

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """The last 1000 events with higher numbers.

        Parameters
        ----------
        after : int
        """
        return self.log.after(after)

    def record(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take an event of people, or of the web interface: numbered, published and stored as all others are.

        Parameters
        ----------
        name : {"note", "alarm"}
        data : mapping
            JSON-able, at most 16 kB. Where it names no series, it is of the one that runs.

        Returns
        -------
        dict
            number, time, series, and filed: whether the files of the series get it.

        Raises
        ------
        RefusedError
            bad_value; too_large; busy when there are too many.
        """
        series, filed = self._place_of(data.get("series"))
        event = self.log.record(name, data if series is None else {**data, "series": series})
        return {"number": event.number, "time": event.time, "series": series, "filed": filed}

    def _place_of(self, series: str | None) -> tuple[str | None, bool]:
        """The series that an event is of, and whether its files get it; by what the event says."""
        return series, False

    def _last(self) -> Analysis:
        last = self.configuration.last
        if last is None:
            raise RefusedError("not_found", "no series came yet, so the detector is not known")
        return last


def _plain(applied: Applied) -> dict[str, Any]:
    return {"first_image": applied.first_image, "version": applied.version, "revision": applied.revision}
