"""What the comparison of raw and densified frames found: sums that add, and the ratios made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crystint.compare.report import comparison_dict, comparison_table, summary
from crystint.compare.requirements import requirements
from crystint.compare.shells import SHELL_DTYPE
from crystint.compare.sums import ComparisonSums, ratio
from crystint.html import html_table
from crystint.summation.audit import CLASS_DTYPE, ReflectionAudit

__all__ = ["Comparison"]


@dataclass(frozen=True, eq=False)
class Comparison(ComparisonSums):
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
            "variance": ratio(one.variance_noisy, one.variance_raw),
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
    parts = {"kept": total, "kept_outer": outer}
    parts |= {f"kept_{name}": by_class[i : i + 1] for i, name in ((1, "weak"), (2, "medium"), (3, "strong"))}
    if audit.selected:
        parts["kept_weak"] = np.zeros(1, CLASS_DTYPE)  # those that are peaks by chance
    missed = 100 * ratio(by_class["missed"], by_class["reflections"])
    return {
        "reflections": float(total["reflections"][0]),
        **{name: 100 * float(audit.kept(sums)[0]) for name, sums in parts.items()},
        "missed_strong": float(missed[3]),
        "missed_medium": float(missed[2]),
        "cc": float(audit.cc(total)[0]),
        "spots": 100 * audit.again / audit.spots if audit.spots else np.nan,
        "new_spots": 100 * audit.invented / audit.spots if audit.spots else np.nan,
    }
