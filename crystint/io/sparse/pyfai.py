"""Sparse files that pyFAI's sparsify-Bragg wrote."""

from __future__ import annotations

import json
import math
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError
from crystint.io.guard import reads_file
from crystint.io.peaks.tables import peaks_of_tables
from crystint.io.sparse.codec import to_position
from crystint.io.sparse.file import RingsInFile, SparseFile
from crystint.io.sparse.pyfai_layout import default_entry, sparse_frames
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.mask import USER_MASK
from crystint.model.peaks import PeakList, empty_peaks
from crystint.model.rings import ERROR_MODELS, Background, RingMap
from crystint.model.source_metadata import SourceMetadata
from crystint.model.sparse import SparseFrame
from crystint.units import q_of

if TYPE_CHECKING:
    from crystint.io.frames.sequence import FrameSource

__all__ = ["PyfaiSparseFile"]

_TOLERANCE = 1e-3


class PyfaiSparseFile(SparseFile):
    """A sparse file of pyFAI. What pyFAI does not store is filled in: the number of pixels of a ring from
    the map.

    pyFAI does not record which pixels were unusable in one frame only, and stores an empty ring as zero: a
    ring without a good pixel is NaN here.
    """

    def _groups(self) -> tuple[h5py.Group, h5py.Group]:
        frames, entry = sparse_frames(self._file), default_entry(self._file)
        if frames is None or entry is None:
            raise FileError(f"{self.path} holds no sparse frames")
        if frames["mask"].ndim != 2 or len(frames["radius"]) < 2:
            raise FileError(f"{self.path} is damaged: its mask is no image, or it has fewer than two rings")
        return frames, entry

    @cached_property
    def _configuration(self) -> dict[str, Any]:
        """The settings that pyFAI recorded; empty when it did not."""
        try:
            return dict(json.loads(self._own["sparsify/configuration/data"].asstr()[()]))
        except (KeyError, ValueError, TypeError):
            return {}

    @property
    def scan(self) -> None:
        """None: pyFAI stores none."""

    def metadata(self) -> SourceMetadata:
        """Nothing: pyFAI stores none."""
        return SourceMetadata()

    @property
    def instrument(self) -> Instrument:
        """Nothing: pyFAI stores none."""
        return Instrument()

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(self._configuration.get("sparsify") or {})

    @property
    def error_model(self) -> str:
        """ "poisson", "azimuthal" or "hybrid"; a formula counts as "poisson"."""
        name = str(self._settings.get("error_model", "poisson")).lower()
        return name if name in ERROR_MODELS else "poisson"

    @cached_property
    def _place(self) -> Geometry | None:
        values = self._configuration.get("geometry") or {}
        config = values.get("detector_config") or {}
        try:
            if config.get("orientation", 3) != 3:
                return None
            pixel = float(config["pixel1"]), float(config["pixel2"])
            wavelength = values.get("wavelength")
            return Geometry(
                shape=self.shape,
                pixel_size=pixel,
                distance=float(values["dist"]),
                beam_center=(float(values["poni1"]) / pixel[0], float(values["poni2"]) / pixel[1]),
                wavelength=None if wavelength is None else float(wavelength) * 1e10,
                rotation=(float(values["rot1"]), float(values["rot2"]), float(values["rot3"])),
                polarization=self._settings.get("polarization_factor"),
                beam_outside=True,
            )
        except (KeyError, TypeError, ValueError, GeometryError):
            return None

    @property
    @reads_file
    def geometry(self) -> Geometry | None:
        """The geometry in pyFAI's settings; None when it is not there, or not of a plain detector."""
        return self._place

    @property
    @reads_file
    def provenance(self) -> dict[str, Any]:
        """How the file was made, as far as pyFAI recorded it."""
        step = self._own.get("sparsify", {})
        program = {name: str(step[name].asstr()[()]) if name in step else "" for name in ("program", "version", "date")}
        command = str(step["argv"].asstr()[()]).split() if "argv" in step and step["argv"].shape == () else []
        return {**program, "command": command, "inputs": [], "settings": self._configuration}

    @property
    def sources(self) -> list[FrameSource]:
        """Empty: pyFAI does not record them frame by frame."""
        return []

    @cached_property
    @reads_file
    def rings(self) -> RingMap:
        """The ring map. Masked pixels, NaN in pyFAI's radius map, have the bit of a user's mask."""
        radius, centres = self._data["mask"][()], self._data["radius"][()].astype(np.float64)
        first, step = centres[0], (centres[-1] - centres[0]) / (len(centres) - 1)
        if not (math.isfinite(step) and step > 0):
            raise FileError(f"{self.path} is damaged: its radii do not ascend")
        weight = self._weight()
        good = np.isfinite(radius) & np.isfinite(weight) & (weight > 0)
        place = self.geometry
        unit = self._data["radius"].attrs.get("unit", "r_m")
        q = np.full(len(centres), np.nan)
        if place is not None and place.wavelength is not None and unit == "r_m":
            angle = np.arctan(centres / place.distance_along_beam)
            q = q_of(angle, place.wavelength)
        return RingMap(
            np.where(good, to_position(radius, first, step), np.float32(np.nan)),
            np.where(good, weight, 1.0).astype(np.float32),
            np.where(good, 0, USER_MASK).astype(np.uint32),
            first + step * np.arange(len(centres)),
            q,
            recipe=RingsInFile.of(self.path, type(self)),
        )

    def _weight(self) -> NDArray[np.float64]:
        """pyFAI's normalization, repaired where it is known to be wrong.

        pyFAI multiplies the polarization into it once more for every input file. What it should be follows
        from the geometry; when the two differ by a whole power of the polarization, that is used.
        """
        if "normalization" not in self._data:
            return np.ones(self.shape)
        stored: NDArray[np.float64] = self._data["normalization"][()].astype(np.float64)
        if stored.shape != self.shape:
            raise FileError(f"{self.path} is damaged: its normalization is {stored.shape}, expected {self.shape}")
        place = self.geometry
        if place is None:
            return stored
        right = place.solid_angle() if self._settings.get("correctSolidAngle") else np.ones(self.shape)
        polarization = place.polarization_factor()
        right = right * polarization
        if np.allclose(stored, right, rtol=_TOLERANCE):
            return stored
        at = np.unravel_index(np.argmin(polarization), self.shape)
        power = math.log(stored[at] / right[at]) / math.log(polarization[at]) if polarization[at] < 0.999 else 0.0
        explained = round(power) >= 1 and np.allclose(stored, right * polarization ** round(power), rtol=_TOLERANCE)
        warnings.warn(
            f"{self.path}: the stored normalization does not fit the stored geometry"
            + (
                "; pyFAI multiplied the polarization in more than once, and what the geometry gives is used"
                if explained
                else ", but it is used; the background may be wrong"
            ),
            stacklevel=4,
        )
        return right if explained else stored

    @property
    @reads_file
    def has_peaks(self) -> bool:
        """Whether pyFAI stored peaks."""
        return "nPeaks" in (self._own.get("peaks") or ())

    @property
    @reads_file
    def peak_counts(self) -> NDArray[np.int64]:
        """int64 [frames]: peaks of each frame; empty when there are none."""
        return np.asarray(self._own["peaks/nPeaks"][()], np.int64) if self.has_peaks else np.zeros(0, np.int64)

    @reads_file
    def peaks_of(self, frames: slice) -> PeakList:
        """The peaks that pyFAI stored, positions in px from the outer corner; empty when there are none."""
        tables = self._own.get("peaks")
        if tables is None or "nPeaks" not in tables:
            return empty_peaks()
        columns = {
            "peakTotalIntensity": "intensity",
            "peakXPosRaw": "fast",
            "peakYPosRaw": "slow",
            "peakSNR": "snr",
        }
        peaks = peaks_of_tables(tables, columns, self.path, frames)
        with np.errstate(divide="ignore", invalid="ignore"):
            peaks["sigma"] = peaks["intensity"] / peaks["snr"]
        place = self.geometry
        peaks["d"] = np.nan if place is None else place.d_at(peaks["slow"], peaks["fast"])
        return peaks

    @cached_property
    def _pixels(self) -> NDArray[np.float64]:
        """Good pixels of each ring."""
        position = self.rings.position
        ring = np.clip(np.floor(position[np.isfinite(position)] + 0.5), 0, self.rings.rings - 1)
        return np.bincount(ring.astype(np.intp), minlength=self.rings.rings).astype(np.float64)

    def stored_index(self, number: int) -> NDArray[np.uint32]:
        """uint32 [n]: pixel numbers of a frame, ascending; pyFAI stores them in no order."""
        return np.sort(self._data["index"][slice(*self._ptr[number : number + 2])].astype(np.uint32))

    def _frame(self, number: int) -> SparseFrame:
        at = slice(*self._ptr[number : number + 2])
        index, value = self._data["index"][at].astype(np.uint32), self._data["intensity"][at]
        if len(index) and index.max() >= self.shape[0] * self.shape[1]:
            raise FileError(f"{self.path} is damaged: a pixel number of frame {number} is outside the frame")
        order = np.argsort(index, kind="stable")
        mean = self._data["background_avg"][number].astype(np.float64)
        std = self._data["background_std"][number].astype(np.float64)
        empty = (self._pixels == 0) & (mean == 0) & (std == 0)
        mean[empty] = std[empty] = np.nan
        one = np.where(empty, np.nan, 1.0)
        additive = std**2 if self.error_model == "azimuthal" else 0.0 * one
        sem = std / np.sqrt(np.maximum(self._pixels, 1.0))
        return SparseFrame(
            index=index[order],
            value=value[order],
            background=Background(mean, std, self._pixels, sem, one, additive, self.rings, self.error_model),
            dtype=self.dtype,
            snr=float(self._settings.get("cutoff_pick") or 3.0),
            noise=float(self._settings.get("noise") or 0.0),
            frame=number,
        )
