"""What the comparison of raw and densified frames found: sums that add, and the ratios made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.compare.report import comparison_dict, comparison_table, summary
from crystint.compare.requirements import requirements
from crystint.compare.shells import SHELL_DTYPE
from crystint.errors import ShapeError
from crystint.html import html_table
from crystint.summation.audit import CLASS_DTYPE, ReflectionAudit

__all__ = ["Comparison"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Raw against densified frames.

    ``a + b`` is what one pass over both would have given; ``Comparison()`` is zero. Background pixels are the
    usable pixels that were not picked. NaN = a shell without such pixels.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> sparse = separator.sparsify(data[0])
    >>> comparison = crystint.compare.compare(data[0], sparse, shells=4)
    >>> comparison.exact, comparison.frames, (comparison + comparison).frames
    (True, 1, 2)
    """

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
    of: int = 0
    """frames in the files, of which those compared are a sample; 0 = all were compared"""
    reflections: ReflectionAudit | None = None
    """sums of reflections, raw and densified; None = none were summed"""

    def __repr__(self) -> str:
        frames = f"{self.frames} frame{'' if self.frames == 1 else 's'}"
        return f"<Comparison: {frames}, {len(self.sums)} shells, {'exact' if self.exact else 'NOT EXACT'}>"

    def _repr_html_(self) -> str:
        total = self.total
        facts: dict[str, Any] = {"frames": self.frames, "shells": len(self.sums), "exact": self.exact}
        if len(total.sums):
            facts |= {
                "background, counts": float(total.mean[0]),
                "bias of the background, counts": float(total.bias_noisy[0]),
                "signal kept": f"{total.signal_kept[0]:.2%}",
                "pixels missed": int(total.sums["missed"][0]),
            }
        if self.reflections is not None:
            whole = self.reflections.total
            facts |= {"reflections": int(whole["reflections"][0]), "kept": f"{self.reflections.kept(whole)[0]:.2%}"}
        return html_table("Comparison", facts)

    def __add__(self, other: Self) -> Self:
        if not other.frames and not len(other.sums):
            return self
        if not self.frames and not len(self.sums):
            return other
        if self.unit != other.unit or not np.array_equal(self.edges, other.edges):
            raise ShapeError(
                "the two comparisons have different resolution shells: compare them with the same geometry"
            )
        sums = self.sums.copy()
        for name in SHELL_DTYPE.names or ():
            sums[name] += other.sums[name]
        sums["strongest"] = np.maximum(self.sums["strongest"], other.sums["strongest"])
        plain = ("frames", "wrong_picked", "wrong_unusable", "dense_bytes", "packed_bytes", "payload_bytes")
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
        return _ratio(self.sums[name], self.sums["pixels"])

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
        return np.sqrt(_ratio(self.variance_raw + self.variance_noisy, self.sums["pixels"]))

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
        return _ratio(self.sums["picked"], self.sums["picked"] + self.sums["pixels"])

    @property
    def signal_kept(self) -> NDArray[np.float64]:
        """float64 [shells]: share of the counts above background that was kept.

        Lost are the tails of spots: the counts above background in unpicked pixels that touch a picked one.
        """
        return _ratio(self.sums["signal"], self.sums["signal"] + np.maximum(self.sums["tail"], 0))

    @property
    def exact(self) -> bool:
        """Whether every picked and every unusable pixel came back as it was."""
        return self.wrong_picked == 0 and self.wrong_unusable == 0

    @property
    def quantities(self) -> dict[str, float]:
        """What `broken` judges, over all shells, by name; NaN = there is no number.

        frames; signal and picked, %; missed pixels and missed_counts; highest, sigma; bias and bias_clean, absolute,
        counts; variance, densified / raw; zeros, the absolute difference of shares, %; ratio, raw / sparse files. Of
        reflections: reflections; kept, kept_strong, kept_medium, kept_weak and kept_outer, % of their counts;
        missed_strong and missed_medium, % of which no pixel was kept; cc; spots and new_spots, % of the peaks.
        """
        one = self.total if len(self.sums) else replace(self, sums=np.zeros(1, SHELL_DTYPE))
        arrays = {
            "signal": 100 * one.signal_kept,
            "picked": 100 * one.picked_share,
            "missed": one.sums["missed"],
            "missed_counts": one.sums["missed_signal"],
            "highest": one.sums["strongest"],
            "bias": np.abs(one.bias_noisy),
            "bias_clean": np.abs(one.bias_clean),
            "variance": _ratio(one.variance_noisy, one.variance_raw),
            "zeros": 100 * np.abs(one.zeros_noisy - one.zeros_raw),
        }
        files = self.raw_bytes / self.sparse_bytes if self.raw_bytes and self.sparse_bytes else float("nan")
        pixels = {name: float(x[0]) for name, x in arrays.items()}
        return {"frames": float(self.frames), **pixels, "ratio": files, **_of_reflections(self.reflections)}

    def broken(self, require: str | Sequence[str] = ()) -> list[str]:
        """A line for each limit that does not hold: what ``crystint compare --require`` judges by. Empty = all hold.

        That every pixel that must be exact is so is always required.

        Parameters
        ----------
        require : str or sequence of str
            Limits such as ``"signal>=95,missed==0"``, with ``>=``, ``<=``, ``<``, ``>`` or ``==``, on `quantities`.

        Raises
        ------
        SettingError
            When there is no such quantity, or a limit is written in another way.

        Examples
        --------
        >>> import crystint
        >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, seed=1)
        >>> sparse = crystint.Separator(data.geometry, data.mask, rings=30).sparsify(data[0])
        >>> comparison = crystint.compare.compare(data[0], sparse, shells=4)
        >>> comparison.broken("signal>=50,frames==1")
        []
        >>> comparison.broken("frames>=2")
        ['frames is 1, required >= 2 (frames compared)']
        """
        if not self.frames:
            return ["no frame was compared"]
        counts = [(self.wrong_picked, "picked"), (self.wrong_unusable, "unusable")]
        wrong = " and ".join(f"{count} {what}" for count, what in counts if count)
        pixels = "pixel is" if self.wrong_picked + self.wrong_unusable == 1 else "pixels are"
        lines = [f"not exact: {wrong} {pixels} WRONG; the sparse file does not replace the raw frames" if wrong else ""]
        values = self.quantities
        lines += [limit.broken(values) for limit in requirements(require) if limit.sign]
        return [line for line in lines if line]

    def table(self, *, pixels: bool = True) -> str:
        """The comparison as text: pixels by shell (False = left out), reflections, verdict and sizes."""
        return comparison_table(self, pixels=pixels)

    def summary(self) -> str:
        """The end of `table`: frames, whether they are exact, and sizes."""
        return "\n".join(f"{label:<34s}{value}" for label, value in summary(self))

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON-able values; None where there is no number."""
        return comparison_dict(self)


_OUTER = 30
"""Reflections that the outermost shell needs for `kept_outer`."""


def _of_reflections(audit: ReflectionAudit | None) -> dict[str, float]:
    """The part of `Comparison.quantities` that is about reflections."""
    audit = ReflectionAudit() if audit is None else audit
    total, by_class, by_shell = audit.total, audit.by_class, audit.by_shell
    full = np.flatnonzero(by_shell["reflections"] >= _OUTER)[-1:]
    outer = by_shell[full] if len(full) else np.zeros(1, CLASS_DTYPE)
    kept = {"kept": total, "kept_outer": outer}
    kept |= {f"kept_{name}": by_class[i : i + 1] for i, name in ((1, "weak"), (2, "medium"), (3, "strong"))}
    if audit.selected:
        kept["kept_weak"] = np.zeros(1, CLASS_DTYPE)  # those that are peaks by chance
    missed = 100 * _ratio(by_class["missed"], by_class["reflections"])
    return {
        "reflections": float(total["reflections"][0]),
        **{name: 100 * float(audit.kept(sums)[0]) for name, sums in kept.items()},
        "missed_strong": float(missed[3]),
        "missed_medium": float(missed[2]),
        "cc": float(audit.cc(total)[0]),
        "spots": 100 * audit.again / audit.spots if audit.spots else np.nan,
        "new_spots": 100 * audit.invented / audit.spots if audit.spots else np.nan,
    }


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, NaN where whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, np.divide(part, whole), np.nan)
