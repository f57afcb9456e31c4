"""Sums over pairs of raw and densified frames, shell by shell, and the ratios made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.compare.shells import SHELL_DTYPE
from crystint.errors import ShapeError
from crystint.summation.audit import ReflectionAudit

__all__ = ["ComparisonSums", "ratio"]


@dataclass(frozen=True, eq=False)
class ComparisonSums:
    """What `Comparison` is made of; ``a + b`` is what one pass over both would have given."""

    edges: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64 [shells + 1]: q in 1/angstrom, or radius in m"""
    unit: str = "q"
    """what `edges` are: "q" or "radius" """
    sums: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, SHELL_DTYPE))
    """[shells] of `SHELL_DTYPE`"""
    frames: int = 0
    """frames compared"""
    wrong_picked: int = 0
    """picked pixels whose value is not the raw one, in the sparse or in the densified frame: must be 0"""
    wrong_unusable: int = 0
    """pixels unusable in one of the raw and the densified frame only, or changed where unusable: must be 0"""
    dense_bytes: int = 0
    """frames as plain arrays"""
    packed_bytes: int = 0
    """raw frames under bitshuffle-LZ4, each alone"""
    payload_bytes: int = 0
    """index and value of the picked pixels, plain"""
    raw_bytes: int | None = None
    """files of the raw frames; None = not from files"""
    sparse_bytes: int | None = None
    """the sparse file; None = not from a file"""
    thin: int = 1
    """background pixels are every `thin`-th of them; picked ones are all"""
    of: int = 0
    """frames in the files, of which those compared are a sample; 0 = all were compared"""
    vetoed: int = 0
    """frames among those compared whose signal was left out, as no hits; no reflections are summed in these"""
    reflections: ReflectionAudit | None = None
    """sums of reflections, raw and densified; None = none were summed"""

    def __add__(self, other: Self) -> Self:
        if not other.frames and not len(other.sums):
            return self
        if not self.frames and not len(self.sums):
            return other
        if self.unit != other.unit or self.thin != other.thin or not np.array_equal(self.edges, other.edges):
            raise ShapeError(
                "the two comparisons have different resolution shells: compare them with the same geometry"
            )
        sums = self.sums.copy()
        for name in SHELL_DTYPE.names or ():
            sums[name] += other.sums[name]
        sums["strongest"] = np.maximum(self.sums["strongest"], other.sums["strongest"])
        plain = ("frames", "wrong_picked", "wrong_unusable", "dense_bytes", "packed_bytes", "payload_bytes", "vetoed")
        added: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in plain}
        for name in ("raw_bytes", "sparse_bytes"):
            parts = getattr(self, name), getattr(other, name)
            added[name] = None if None in parts else sum(parts)
        if self.of or other.of:
            added["of"] = (self.of or self.frames) + (other.of or other.frames)
        audits = self.reflections, other.reflections
        added["reflections"] = None if None in audits else audits[0] + audits[1]  # type: ignore[operator]
        return replace(self, sums=sums, **added)

    @property
    def total(self) -> Self:
        """The same comparison with all shells in one."""
        sums = np.zeros(min(1, len(self.sums)), SHELL_DTYPE)
        for name in SHELL_DTYPE.names or ():
            sums[name] = self.sums[name].max(initial=0) if name == "strongest" else self.sums[name].sum()
        return replace(self, sums=sums, edges=self.edges[[0, -1]] if len(sums) else self.edges)

    def _per_pixel(self, name: str) -> NDArray[np.float64]:
        return ratio(self.sums[name], self.sums["pixels"])

    @property
    def d(self) -> NDArray[np.float64]:
        """float64 [shells + 1]: spacing at the edges, angstrom, descending; NaN when q is unknown."""
        if self.unit != "q":
            return np.full(len(self.edges), np.nan)
        with np.errstate(divide="ignore"):
            return np.asarray(2 * np.pi / self.edges)

    @property
    def mean(self) -> NDArray[np.float64]:
        """float64 [shells]: counts per background pixel in the raw frames."""
        return self._per_pixel("expected") + self._per_pixel("raw")

    @property
    def bias_clean(self) -> NDArray[np.float64]:
        """float64 [shells]: mean of densified without noise - raw over background pixels, counts."""
        return self._per_pixel("clean") - self._per_pixel("raw")

    @property
    def bias_noisy(self) -> NDArray[np.float64]:
        """float64 [shells]: mean of densified with noise - raw over background pixels, counts."""
        return self._per_pixel("noisy") - self._per_pixel("raw")

    @property
    def bias_error(self) -> NDArray[np.float64]:
        """float64 [shells]: standard error of `bias_noisy`, counts."""
        return np.sqrt(ratio(self.variance_raw + self.variance_noisy, self.sums["pixels"]))

    @property
    def variance_raw(self) -> NDArray[np.float64]:
        """float64 [shells]: variance of raw - stored background over background pixels, counts^2."""
        return self._per_pixel("raw_square") - self._per_pixel("raw") ** 2

    @property
    def variance_noisy(self) -> NDArray[np.float64]:
        """float64 [shells]: variance of densified with noise - stored background, counts^2."""
        return self._per_pixel("noisy_square") - self._per_pixel("noisy") ** 2

    @property
    def zeros_raw(self) -> NDArray[np.float64]:
        """float64 [shells]: share of background pixels that hold 0 in the raw frames."""
        return self._per_pixel("raw_zeros")

    @property
    def zeros_noisy(self) -> NDArray[np.float64]:
        """float64 [shells]: share of background pixels that hold 0 in the frames densified with noise."""
        return self._per_pixel("noisy_zeros")

    @property
    def picked_share(self) -> NDArray[np.float64]:
        """float64 [shells]: share of usable pixels that were picked."""
        return ratio(self.sums["picked"], self.sums["picked"] + self.thin * self.sums["pixels"])

    @property
    def signal_kept(self) -> NDArray[np.float64]:
        """float64 [shells]: share of the counts above background that was kept.

        Lost are the tails of spots: the counts above background in unpicked pixels that touch a picked one.
        """
        return ratio(self.sums["signal"], self.sums["signal"] + np.maximum(self.sums["tail"], 0))

    @property
    def exact(self) -> bool:
        """Whether every picked and every unusable pixel came back as it was."""
        return self.wrong_picked == 0 and self.wrong_unusable == 0


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, NaN where whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, np.divide(part, whole), np.nan)
