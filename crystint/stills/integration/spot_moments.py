"""Where strong spots are seen and how wide: moments of their counts above background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.html import html_table
from crystint.model.facts import counted, range_text, resolution_text
from crystint.stills.integration.shoeboxes import Places, Shoeboxes

__all__ = ["SpotMoments"]


@dataclass(frozen=True, eq=False)
class SpotMoments:
    """Where reflections are seen and how wide; ``a + b`` has the spots of both.

    Intensities above background are the weights. `centroid_slow` - `slow` of the observations is the residual of
    the prediction; its sigma is that of the counts alone.

    Made by `integrate`.
    """

    image: NDArray[np.int32]
    """int32 [n]: row of the experiment"""
    hkl: NDArray[np.int32]
    """int32 [n, 3]"""
    d: NDArray[np.float64]
    """float64 [n], angstrom"""
    significance: NDArray[np.float64]
    """float64 [n]: intensity over its sigma"""
    centroid_slow: NDArray[np.float64]
    """float64 [n], px of the frame from the outer corner; NaN where nothing was measured"""
    centroid_fast: NDArray[np.float64]
    """float64 [n], px"""
    sigma_slow: NDArray[np.float64]
    """float64 [n], px"""
    sigma_fast: NDArray[np.float64]
    """float64 [n], px"""
    radial: NDArray[np.float64]
    """float64 [n], 1/angstrom^2: <t_rad^2> in the core, about the predicted place"""
    tangential: NDArray[np.float64]
    """float64 [n], 1/angstrom^2"""
    moment_error: NDArray[np.float64]
    """float64 [n]: standard error of `radial` + `tangential` from the counts, in units of what the profile expects"""

    def __repr__(self) -> str:
        return f"<SpotMoments: {counted(len(self), 'spot')} of {counted(len(np.unique(self.image)), 'image')}>"

    def _repr_html_(self) -> str:
        facts = {
            "spots": len(self),
            "images": len(np.unique(self.image)),
            "resolution": resolution_text(self.d) or None,
            "significance": range_text(self.significance) or None,
        }
        return html_table("SpotMoments", facts)

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: NDArray[Any]) -> Self:
        """Some of the spots (numbers or a mask)."""
        return type(self)(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    def __add__(self, other: SpotMoments) -> SpotMoments:
        return self.join([self, other])

    @classmethod
    def join(cls, parts: Sequence[SpotMoments]) -> Self:
        """The spots of all parts, in order."""
        columns: dict[str, Any] = {}
        for item in fields(cls):
            whole = {"image": (0,), "hkl": (0, 3)}
            empty = np.zeros(whole.get(item.name, 0), dtype=np.int32 if item.name in whole else np.float64)
            columns[item.name] = np.concatenate([getattr(part, item.name) for part in parts]) if parts else empty
        return cls(**columns)

    @classmethod
    def of(
        cls,
        boxes: Shoeboxes,
        places: Places,
        image: NDArray[np.int32],
        hkl: NDArray[np.int32],
        d: NDArray[np.float64],
        background: NDArray[np.float64],
        significance: NDArray[np.float64],
        rows: NDArray[Any],
    ) -> Self:
        """Moments of some of the boxes over the pixels of their profiles.

        Parameters
        ----------
        boxes : Shoeboxes
        places : Places
            Of the frame.
        image, hkl, d : [len(places)]
            Of the places.
        background, significance : float64 [len(boxes)]
        rows : int [m]
            Which of the boxes.
        """
        at = boxes.row[rows]
        used = boxes.profile[rows] > 0.0
        above = np.where(used, boxes.counts[rows] - background[rows, None], 0.0).reshape(
            len(at), boxes.side, boxes.side
        )
        counts = np.where(used, boxes.counts[rows], 0.0).reshape(above.shape)
        slow, fast = (offset[rows] for offset in boxes.offset)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = above.sum(axis=(1, 2))
            on_slow, on_fast = above.sum(axis=2), above.sum(axis=1)
            mean_slow, mean_fast = _mean(on_slow, slow, total), _mean(on_fast, fast, total)
            sigma_slow = np.sqrt(_mean(counts.sum(axis=2), (slow - mean_slow[:, None]) ** 2, total**2))
            sigma_fast = np.sqrt(_mean(counts.sum(axis=1), (fast - mean_fast[:, None]) ** 2, total**2))
            second = _mean(on_slow, slow**2, total), _mean(on_fast, fast**2, total)
            product = np.einsum("nij,ni,nj->n", above, slow, fast) / total
            axes = places.axes[at]
            form = np.einsum("nai,naj->anij", axes, axes)
            moment = form[:, :, 0, 0] * second[0] + 2.0 * form[:, :, 0, 1] * product + form[:, :, 1, 1] * second[1]
            whole, both = form.sum(axis=0), 0.5 * (places.width[at] ** 2).sum(axis=1)
            square = (
                whole[:, 0, 0, None, None] * (slow**2)[:, :, None] + whole[:, 1, 1, None, None] * (fast**2)[:, None, :]
            )
            square += 2.0 * whole[:, 0, 1, None, None] * (slow[:, :, None] * fast[:, None, :])
            square -= both[:, None, None]
            error = np.sqrt(np.einsum("nij,nij,nij->n", counts, square, square)) / (total * both)
        return cls(
            image=image[at],
            hkl=hkl[at],
            d=d[at],
            significance=significance[rows],
            centroid_slow=places.slow[at] + mean_slow,
            centroid_fast=places.fast[at] + mean_fast,
            sigma_slow=sigma_slow,
            sigma_fast=sigma_fast,
            radial=moment[0],
            tangential=moment[1],
            moment_error=error,
        )


def _mean(weights: NDArray[np.float64], values: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", weights, values) / total)
