"""What is looked for in a frame, wherever it comes from: of files, or of a stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.model.frame_table import FrameStatus, FrameTable
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakList, empty_peaks
from crystint.model.rings import RingMap
from crystint.model.roi_members import RoiMembers
from crystint.model.sparse import SparseFrame
from crystint.model.valid_values import ValidValues
from crystint.ops.layout import ring_map
from crystint.ops.roi_sums import RoiSums
from crystint.ops.separator import Separator
from crystint.separation.settings import CorrectionSettings, SearchSettings

__all__ = ["FrameSearch", "listed_peaks", "vetoed"]


@dataclass(frozen=True, eq=False)
class FrameSearch:
    """A detector, settings, and the separator made of them lazily, when it is first used."""

    settings: SearchSettings
    geometry: Geometry
    mask: NDArray[np.uint32]
    images: Mapping[str, NDArray[np.float32] | None]
    """dark, flat, normalization, float32 [slow, fast]"""
    saturation: float | None
    engine: Engine | None
    """None = this process has no device to work with"""
    valid: ValidValues | None = None
    """which values are measurements; None = the default of the dtype"""
    _made: list[Separator] = field(default_factory=list, init=False)
    _making: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def separator(self) -> Separator:
        """The one separator of all threads."""
        use = self.settings
        with self._making:  # that of cached_property is one for all searches
            if not self._made:
                made = Separator(
                    self.geometry,
                    self.mask,
                    use.rings,
                    use.error_model,
                    use.clip,
                    use.cycles,
                    self.engine,
                    **self.images,
                    solid_angle=use.solid_angle,
                    saturation=self.saturation,
                    valid=self.valid,
                )
                self._made.append(made)
            return self._made[0]

    @property
    def batch(self) -> int:
        """Frames that the device works on at a time; 1 as long as there is no separator."""
        return self._made[0].batch if self._made else 1

    @cached_property
    def rings(self) -> RingMap:
        """Those of the separator."""
        if self.engine is not None:
            return self.separator.rings
        use = self.settings
        return ring_map(
            self.geometry, self.mask, use.rings, **self.images, solid_angle=use.solid_angle, valid=self.valid
        )

    def like(self, settings: SearchSettings) -> FrameSearch | None:
        """A search with other settings and the same separator; None = they ask for another one."""
        if any(getattr(self.settings, name) != getattr(settings, name) for name in CorrectionSettings.model_fields):
            return None
        twin = replace(self, settings=settings)
        object.__setattr__(twin, "_made", self._made)
        object.__setattr__(twin, "_making", self._making)
        return twin

    def examine(
        self,
        frame: NDArray[Any],
        number: int,
        snr: float | None,
        snr_peak: float | None,
        wavelength_ratio: float = 1.0,
    ) -> tuple[SparseFrame | None, PeakList | None, FrameTable]:
        """Signal and background of a frame, its peaks, and its row in the table of frames, as the settings say.

        Parameters
        ----------
        snr, snr_peak : float or None
            Significance of a pixel, and of a peak; None = they are not asked for.
        wavelength_ratio : float
            Wavelength of the frame over that of the separator.
        """
        return self.examine_regions(frame, number, snr, snr_peak, None, wavelength_ratio)[:3]

    def examine_regions(
        self,
        frame: NDArray[Any],
        number: int,
        snr: float | None,
        snr_peak: float | None,
        regions: RoiSums | None,
        wavelength_ratio: float = 1.0,
    ) -> tuple[SparseFrame | None, PeakList | None, FrameTable, NDArray[np.void] | None]:
        """As `examine`, and what regions of interest hold: `crystint.model.rois.ROI_DTYPE` [regions].

        Parameters
        ----------
        regions : RoiSums or None
            From `region_sums`.
        """
        return self.examine_several(frame[None], (number,), snr, snr_peak, regions, (wavelength_ratio,))[0]

    def examine_several(
        self,
        frames: NDArray[Any],
        numbers: Sequence[int],
        snr: float | None,
        snr_peak: float | None,
        regions: RoiSums | None = None,
        wavelength_ratios: Sequence[float] | None = None,
    ) -> list[tuple[SparseFrame | None, PeakList | None, FrameTable, NDArray[np.void] | None]]:
        """As `examine_regions`, of frames [n, slow, fast], in as few launches of the device as may be.

        Parameters
        ----------
        numbers : sequence of int
            Of the frames.
        wavelength_ratios : sequence of float, optional
            Of each; None = 1.
        """
        ratios = [1.0] * len(numbers) if wavelength_ratios is None else wavelength_ratios
        keys = [(number - place, ratio) for place, (number, ratio) in enumerate(zip(numbers, ratios))]
        results: list[tuple[SparseFrame | None, PeakList | None, FrameTable, NDArray[np.void] | None]] = []
        end = 0
        for _, alike in groupby(keys):  # neighbours of one wavelength
            begin, end = end, end + len(list(alike))
            results += self._neighbours(frames[begin:end], numbers[begin], snr, snr_peak, regions, ratios[begin])
        return results

    def _neighbours(
        self,
        frames: NDArray[Any],
        first: int,
        snr: float | None,
        snr_peak: float | None,
        regions: RoiSums | None,
        ratio: float,
    ) -> Iterator[tuple[SparseFrame | None, PeakList | None, FrameTable, NDArray[np.void] | None]]:
        """As `examine_several`, of frames that follow one another, from number `first` on."""
        use = self.settings
        spots = {name: getattr(use, name) for name in ("snr_pick", "connected", "patch", "noise")}
        limits = {name: limit for name in ("d_min", "d_max") if (limit := getattr(use, name)) is not None}
        examined = self.separator.examine(
            frames, snr, snr_peak, **spots, strict_mask=use.strict_mask, number=first, regions=regions,
            **{name: limit / ratio for name, limit in limits.items()},  # of the wavelength of the separator
        )  # fmt: skip
        for number, (sparse, peaks, statistics) in enumerate(examined, first):
            if peaks is not None and ratio != 1.0:
                peaks["d"] *= ratio  # proportional to the wavelength
            row = self.separator.rows.row(
                number, statistics, peaks, hit_peaks=use.hit_peaks, snr=snr_peak or 5.0, **spots, **limits,
                wavelength_ratio=ratio,
            )  # fmt: skip
            if sparse is not None:
                row["picked"] = len(sparse.index)
            yield sparse, peaks, row, statistics.regions

    def region_sums(self, members: RoiMembers) -> RoiSums:
        """What sums up regions of the frames of this detector."""
        separator = self.separator
        return RoiSums(members, separator.engine, rings=separator.rings, saturation=separator.saturation)


def listed_peaks(peaks: PeakList | None, row: FrameTable, hits_only: bool) -> tuple[PeakList, bool]:
    """The peaks of a frame that are kept, and whether it had no usable pixel at all."""
    listed = empty_peaks() if peaks is None else peaks
    dead = not len(listed) and bool(np.isnan(row["frame_sum"][0]))
    if hits_only and not dead and vetoed(row):
        listed = listed[:0]
    return listed, dead


def vetoed(row: FrameTable) -> bool:
    """Whether a frame is no hit, which its row then tells."""
    if row["hit"][0] != 0:
        return False
    row["status"] = FrameStatus.VETOED
    return True
