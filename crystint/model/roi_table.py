"""What regions of interest held in the frames of a run, and what they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.rois import Rois

__all__ = ["RoiTable", "RoiVersion"]


@dataclass(frozen=True, slots=True, eq=False)
class RoiVersion:
    """The regions of a part of a run.

    Examples
    --------
    >>> import crystint
    >>> rois = crystint.Rois((crystint.Roi.box("a", slow=(0, 1), fast=(0, 1)),))
    >>> crystint.RoiVersion(1, 0, rois, rois.members(None, (4, 5)).map()).map.sum()
    np.uint64(4)
    """

    version: int
    """from 1"""
    first_frame: int
    """that they were summed up in"""
    rois: Rois
    """what they were"""
    map: NDArray[Any]
    """uint8, 16, 32 or 64 [slow, fast]: bit i of a pixel is set where it belongs to region i"""


@dataclass(frozen=True, slots=True, eq=False)
class RoiTable:
    """What regions held in each frame.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), frames=2, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> rois = crystint.Rois((crystint.Roi.circle("middle", center=(50.0, 55.0), radius=10.0),))
    >>> outcome = crystint.separation.sum_regions(["run.h5"], ["roi.h5"], rois)
    >>> table = crystint.read_rois("roi.h5")
    >>> table.rois == rois, table.values["middle"]["pixels"].tolist()
    (True, [316, 316])
    """

    values: Mapping[str, NDArray[np.void]]
    """by region, structured arrays of `ROI_DTYPE` [frames]"""
    version: Mapping[str, NDArray[np.uint16]]
    """by region, uint16 [frames]: of the regions; 0 = the frame is missing, or the region was not there then"""
    versions: tuple[RoiVersion, ...] = field(default=())
    """of the regions, the last one last"""
    phi_convention: str = ""
    """where phi of azimuthal regions is 0 and 90, in words"""

    @property
    def rois(self) -> Rois:
        """The last ones."""
        return self.versions[-1].rois if self.versions else Rois()

    def __len__(self) -> int:
        return max((len(values) for values in self.values.values()), default=0)

    def __repr__(self) -> str:
        return f"<RoiTable: {len(self.values)} regions, {len(self)} frames>"
