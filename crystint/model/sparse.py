"""A frame reduced to its signal and its background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.html import html_table
from crystint.model.rings import Background

__all__ = ["PixelReason", "SparseFrame", "counts_by_reason", "reasons_text"]


class PixelReason(IntFlag):
    """Why a pixel is kept: bits of `SparseFrame.reason`. A pixel can have several.

    Examples
    --------
    >>> import crystint
    >>> crystint.PixelReason.SIGNIFICANT in crystint.PixelReason(5)
    True
    """

    SIGNIFICANT = 1
    """it stands out from the background"""
    GROWN = 2
    """it is near one that does"""
    PREDICTED = 4
    """it lies in the box of a predicted reflection"""


@dataclass(frozen=True, slots=True, eq=False)
class SparseFrame:
    """The kept pixels of one frame, exactly as they were, and the background of the others.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> sparse = separator.sparsify(data[0])
    >>> sparse.shape, sparse.dtype
    ((100, 110), dtype('uint16'))
    >>> bool((data[0].ravel()[sparse.index] == sparse.value).all())
    True
    """

    index: NDArray[np.uint32]
    """uint32 [n]: pixel numbers slow * width + fast of the kept pixels, ascending."""
    value: NDArray[Any]
    """frame dtype [n]: raw counts of the kept pixels, exact."""
    background: Background
    """its `rings` carry the mask, the normalization and the place of each pixel"""
    dtype: np.dtype[Any]
    """dtype of the frame"""
    snr: float
    """SNR_pick the pixels were picked with"""
    noise: float = 0.0
    """constant noise, counts, that was added in quadrature"""
    unusable_index: NDArray[np.uint32] | None = None
    """uint32 [m]: pixels that the mask calls good but that were unusable in this frame, ascending; None = none"""
    unusable_value: NDArray[Any] | None = None
    """frame dtype [m]: what the frame held there"""
    frame: int = 0
    """number of the frame in its sequence"""
    missing: bool = False
    """whether the frame could not be read when the file was made: then it has no pixel and no background"""
    reason: NDArray[np.uint8] | None = None
    """uint8 [n]: why each pixel is kept, `PixelReason` bits; None = all of them because they are significant"""
    vetoed: bool = False
    """whether the frame was no hit and its signal was left out for that: then it has its background alone"""

    def __repr__(self) -> str:
        slow, fast = self.shape
        pixels = "missing" if self.missing else "vetoed" if self.vetoed else f"{len(self.index)} pixels kept"
        return f"<SparseFrame {self.frame}: {pixels} of {slow} x {fast} px, {self.dtype}, snr {self.snr:g}>"

    def _repr_html_(self) -> str:
        facts = {
            "frame": self.frame,
            "shape (slow, fast)": "{} x {} px".format(*self.shape),
            "dtype": str(self.dtype),
            "pixels kept": "missing" if self.missing else "vetoed" if self.vetoed else len(self.index),
            **({} if self.reason is None else counts_by_reason(self)),
            "SNR_pick": self.snr,
            "noise": self.noise,
            "error model": self.error_model,
            "background": repr(self.background),
        }
        return html_table("SparseFrame", facts)

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) of the frame."""
        return self.background.rings.shape

    @property
    def error_model(self) -> str:
        """ "poisson", "azimuthal" or "hybrid"."""
        return self.background.error_model

    def vetoed_form(self) -> SparseFrame:
        """The frame without its signal, marked so."""
        reason = None if self.reason is None else self.reason[:0]
        return replace(self, index=self.index[:0], value=self.value[:0], reason=reason, vetoed=True)

    @property
    def significant(self) -> NDArray[np.bool_]:
        """bool [n]: which of the kept pixels stand out from the background."""
        if self.reason is None:
            return np.ones(len(self.index), np.bool_)
        return np.asarray(self.reason & PixelReason.SIGNIFICANT != 0)


def counts_by_reason(sparse: SparseFrame) -> dict[str, int]:
    """How many pixels each reason has, "significant", "grown" and "predicted"; a pixel counts for its first one."""
    reason = sparse.reason
    if reason is None:
        return {"significant": len(sparse.index)}
    first = [
        (reason & PixelReason.SIGNIFICANT) != 0,
        (reason & (PixelReason.SIGNIFICANT | PixelReason.GROWN)) == PixelReason.GROWN,
        reason == PixelReason.PREDICTED,
    ]
    return {str(bit.name).lower(): int(np.count_nonzero(rows)) for bit, rows in zip(PixelReason, first, strict=True)}


def reasons_text(counts: Mapping[str, int]) -> str:
    """What `counts_by_reason` gives, in words: reasons that no pixel has are left out."""
    words = {"significant": "significant", "grown": "around these", "predicted": "more in boxes of reflections"}
    return ", ".join(f"{count} {words[name]}" for name, count in counts.items() if count)
