"""How the crystal was turned and exposed, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.errors import GeometryError, ShapeError
from crystint.html import html_table
from crystint.model.facts import counted, range_text
from crystint.model.turns import turns

__all__ = ["STILL", "Scan"]

STILL = 1e-7
"""degrees: a frame that turns by less is a still, as in dxtbx"""
_NONE = np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """Axes of the goniometer, and for each frame their angles, the width of its turn and its times.

    Vectors stand in the laboratory frame of `Geometry`: x along the fast direction of a detector that is not tilted, y
    along the slow one, z along the beam. A turn is right-handed about its vector; vectors are those at angles of 0. The
    first axis carries the crystal, the last one stands on the floor: a vector x of the crystal is turned to
    R_last ... R_first x.

    Examples
    --------
    >>> import crystint
    >>> scan = crystint.Scan(("omega",), [[1.0, 0.0, 0.0]], [[0.0, 0.5, 1.0]], width=0.5, exposure=0.1)
    >>> scan, scan.rotates
    (<Scan: 3 frames, omega 0 to 1.5 degrees, 0.5 degrees each, exposure 0.1 s>, True)
    >>> scan.rotation(1, 0.0).round(3)[2].tolist()
    [0.0, 0.009, 1.0]
    """

    names: tuple[str, ...]
    """of the axes, the one that carries the crystal first"""
    vectors: NDArray[np.float64]
    """float64 [axes, 3], unit length"""
    angles: NDArray[np.float64]
    """float64 [axes, frames], degrees, at the start of each exposure"""
    scan_axis: int = 0
    """which of the axes turns during the exposures"""
    width: NDArray[np.float64] = field(default_factory=lambda: _NONE)
    """float64 [frames], degrees: turn about the scan axis from the start of a frame to that of the next; 0 = still"""
    exposure: NDArray[np.float64] = field(default_factory=lambda: _NONE)
    """float64 [frames], s: time in which photons were counted; NaN = not known"""
    frame_time: NDArray[np.float64] = field(default_factory=lambda: _NONE)
    """float64 [frames], s: from the start of a frame to that of the next; NaN = not known"""
    times: NDArray[np.float64] = field(default_factory=lambda: _NONE)
    """float64 [frames], s since 1970-01-01T00:00:00 of the clock of `zone`: start of each exposure; NaN = not known"""
    zone: str = ""
    """of the clock, by its offset from UTC as ISO 8601 has it ("Z", "+02:00"); "" = not known"""

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.names)
        angles = np.array(self.angles, dtype=np.float64, ndmin=2)
        vectors = np.array(self.vectors, dtype=np.float64, ndmin=2).reshape(-1, 3)
        if vectors.shape != (len(names), 3) or angles.ndim != 2 or len(angles) != len(names):
            raise ShapeError(
                f"a scan with the axes {', '.join(names)} has vectors of {vectors.shape} and "
                f"angles of {angles.shape}, expected [axes, 3] and [axes, frames]"
            )
        length = np.linalg.norm(vectors, axis=1)
        if not (np.isfinite(length).all() and (length > 0.0).all()):
            raise GeometryError(f"the vectors of the axes are {vectors.tolist()}, expected directions that are not 0")
        if names and not 0 <= self.scan_axis < len(names):
            raise ShapeError(f"scan_axis is {self.scan_axis}, but there are {len(names)} axes, numbered from 0")
        set_ = object.__setattr__
        set_(self, "names", names)
        set_(self, "vectors", vectors / length[:, None])
        set_(self, "angles", angles)
        for name, default in (("width", 0.0), ("exposure", np.nan), ("frame_time", np.nan), ("times", np.nan)):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            values = np.full(angles.shape[1], default) if values.shape == (0,) else values
            if values.shape not in ((), (angles.shape[1],)):
                raise ShapeError(
                    f"{name} of a scan is {values.shape}, expected one for each of {angles.shape[1]} frames"
                )
            set_(self, name, np.array(np.broadcast_to(values, angles.shape[1])))

    def __len__(self) -> int:
        return int(self.angles.shape[1])

    @property
    def rotates(self) -> bool:
        """Whether the crystal turns while it is exposed; without that the frames are stills."""
        return bool((np.abs(self.width) > STILL).any())

    @property
    def axis(self) -> NDArray[np.float64]:
        """float64 [3]: direction of the scan axis in the laboratory, with the axes under it at the first frame."""
        turned: NDArray[np.float64] = self.vectors[self.scan_axis]
        for number in range(self.scan_axis + 1, len(self.names)):
            turned = turns(self.vectors[number], np.radians(self.angles[number, 0])) @ turned
        return turned

    @property
    def follows(self) -> NDArray[np.bool_]:
        """bool [frames]: whether a frame begins where the one before ends, to a tenth of its width; the first does not.

        Stills follow nothing.
        """
        follows = np.zeros(len(self), bool)
        if len(self) > 1 and self.names:
            width = self.width[:-1]
            ahead = self.angles[:, 1:] - self.angles[:, :-1]
            ahead[self.scan_axis] -= width
            off = np.abs(np.remainder(ahead + 180.0, 360.0) - 180.0).max(axis=0)
            turning = (np.abs(width) > STILL) & (np.sign(width) == np.sign(self.width[1:]))
            follows[1:] = turning & (off <= 0.1 * np.abs(width))
        return follows

    def rotation(self, frames: ArrayLike, at: ArrayLike = 0.5) -> NDArray[np.float64]:
        """What turns the crystal from angles of 0 to where it is in frames.

        Parameters
        ----------
        frames : int [...]
        at : float, or float [...]
            Moment in the frame, of all or of each: 0 = start, 1 = end.

        Returns
        -------
        float64 [..., 3, 3]
        """
        numbers = np.asarray(frames)
        turned = np.broadcast_to(np.eye(3), (*numbers.shape, 3, 3))
        for number, vector in enumerate(self.vectors):
            angles = self.angles[number][numbers]
            if number == self.scan_axis:
                angles = angles + np.asarray(at) * self.width[numbers]
            turned = turns(vector, np.radians(angles)) @ turned
        return np.array(turned)

    def select(self, frames: ArrayLike) -> Scan:
        """The scan of some frames, by their numbers."""
        chosen = np.asarray(frames, dtype=np.int64)
        per_frame = {name: getattr(self, name)[chosen] for name in _PER_FRAME}
        return Scan(self.names, self.vectors, self.angles[:, chosen], self.scan_axis, zone=self.zone, **per_frame)

    @classmethod
    def joined(cls, parts: Sequence[Scan]) -> Scan:
        """The frames of several, in order; axes, scan axis and zone are those of the first."""
        first = parts[0]
        per_frame = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _PER_FRAME}
        angles = np.concatenate([part.angles for part in parts], axis=1)
        return cls(first.names, first.vectors, angles, first.scan_axis, zone=first.zone, **per_frame)

    def time_text(self, seconds: float) -> str:
        """A moment of the clock as ISO 8601; "" for NaN."""
        if not isfinite(seconds):
            return ""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(seconds, 6))
        text = moment.replace(tzinfo=None).isoformat()
        return (text.rstrip("0") if "." in text else text) + self.zone

    def facts(self) -> dict[str, str]:
        """What is known, in words."""
        n = len(self)
        words: dict[str, str] = {}
        if self.names:
            name, start = self.names[self.scan_axis], self.angles[self.scan_axis]
            if self.rotates:
                ends = (start + self.width)[np.isfinite(start + self.width)]
                words[name] = f"{start[0]:.6g} to {ends[-1]:.6g} degrees" if len(ends) else ""
                words["width"] = range_text(self.width, "degrees", ".6g")
            else:
                words[name] = range_text(start, "degrees (stills)", ".6g")
            words["direction of it"] = "{:.4g} {:.4g} {:.4g} (x, y, z)".format(*self.axis)
            for number, other in enumerate(self.names):
                if number != self.scan_axis:
                    words[other] = range_text(self.angles[number], "degrees", ".6g")
        words["exposure"] = range_text(self.exposure, "s", ".6g")
        words["frame time"] = range_text(self.frame_time, "s", ".6g")
        if n and isfinite(self.times[0]):
            words["start"] = self.time_text(self.times[0])
        return {name: text for name, text in words.items() if text}

    def __repr__(self) -> str:
        facts = self.facts()
        turned = [
            f"{name} {facts[name]}" for name in self.names if name == self.names[self.scan_axis] and name in facts
        ]
        each = [f"{facts['width']} each"] if "width" in facts else []
        exposed = [f"exposure {facts['exposure']}"] if "exposure" in facts else []
        return f"<Scan: {', '.join([counted(len(self), 'frame'), *turned, *each, *exposed])}>"

    def _repr_html_(self) -> str:
        return html_table("Scan", {"frames": len(self), **self.facts()})

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able values, None for NaN; `from_dict` is the inverse."""
        lists = {name: _plain(getattr(self, name)) for name in _PER_FRAME}
        return {
            "names": list(self.names),
            "vectors": self.vectors.tolist(),
            "angles": [_plain(row) for row in self.angles],
            "scan_axis": self.scan_axis,
            "zone": self.zone,
            **lists,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a scan from what `to_dict` gave.

        Raises
        ------
        ShapeError, GeometryError
            When a field is missing, or the fields do not fit each other.
        """
        fields_ = dict(values)
        try:
            for name in (*_PER_FRAME, "angles"):
                fields_[name] = np.array(fields_[name], dtype=np.float64)
            fields_["angles"] = fields_["angles"].reshape(len(fields_["names"]), len(fields_["width"]))
            fields_["names"] = tuple(fields_["names"])
            return cls(**fields_)
        except (KeyError, TypeError, ValueError) as error:
            raise ShapeError(f"not the fields of a scan: {error}") from error


_PER_FRAME = ("width", "exposure", "frame_time", "times")


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [value if isfinite(value) else None for value in values.tolist()]
