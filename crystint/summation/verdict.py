"""What densified frames are good for, use by use, with the limits that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crystint.summation.audit import ReflectionAudit

__all__ = ["CARE", "FEWEST", "FEW_SPOTS", "INVENTED", "SAFE", "SPOTS", "Verdict", "verdicts"]

SAFE, CARE = 1.0, 10.0
"""Per cent of the counts of reflections: a loss up to the first is safe, one above the second not usable."""
SPOTS, FEW_SPOTS, INVENTED = 95.0, 80.0, 5.0
"""Per cent of the peaks: safe with the first found again, with care with the second; at most the third may be new."""
FEWEST = 20
"""Fewer reflections or peaks tell nothing."""
_USES = (
    ("weak reflections (I/sigma 1 to 3)", 1),
    ("medium reflections (I/sigma 3 to 10)", 2),
    ("strong reflections (I/sigma above 10)", 3),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a use gives the same with densified frames. Made by `verdicts`."""

    use: str
    """such as "spot finding" """
    answer: str
    """ "safe", "with care", "not usable", or "not judged" """
    why: str
    """the figures that it rests on"""

    def __str__(self) -> str:
        return f"{self.use}: {self.answer} ({self.why})"


def verdicts(audit: ReflectionAudit) -> list[Verdict]:
    """One for spot finding, and one for each class of reflections.

    A loss counts as within a limit when it is by no more than its standard error above it.

    Parameters
    ----------
    audit : ReflectionAudit
        Such as `Comparison.reflections`.

    Returns
    -------
    list of Verdict

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> comparison = crystint.compare.compare(data[0], separator.sparsify(data[0]), shells=4)
    >>> [one.use for one in crystint.compare.verdicts(comparison.reflections)][0]
    'spot finding'
    """
    return [_spot_finding(audit), *(_class(audit, name, number) for name, number in reversed(_USES))]


def _spot_finding(audit: ReflectionAudit) -> Verdict:
    use = "spot finding"
    if audit.spots < FEWEST:
        return Verdict(use, "not judged", f"{audit.spots} peaks; {FEWEST} or more tell")
    again, invented = 100 * audit.again / audit.spots, 100 * audit.invented / audit.spots
    safe = again >= SPOTS and invented <= INVENTED
    answer = "safe" if safe else "with care" if again >= FEW_SPOTS and invented <= INVENTED else "not usable"
    return Verdict(use, answer, f"{again:.1f} % of {audit.spots} peaks found again, {invented:.1f} % new")


def _class(audit: ReflectionAudit, use: str, number: int) -> Verdict:
    if number == 1 and audit.selected:
        return Verdict(use, "not judged", "they are not among the peaks: give --reflections MODEL.expt")
    sums: Any = audit.by_class[number : number + 1]
    count = int(sums["reflections"][0])
    if count < FEWEST:
        return Verdict(use, "not judged", f"{count} reflections; {FEWEST} or more tell")
    loss, error = 100 * (1 - audit.kept(sums)[0]), 100 * audit.kept_error(sums)[0]
    if not np.isfinite(loss):
        return Verdict(use, "not judged", "they hold no counts")
    size = abs(loss)
    answer = "safe" if size - error <= SAFE else "with care" if size - error <= CARE else "not usable"
    if size + error > CARE and answer == "safe":
        return Verdict(use, "not judged", f"{loss:.1f} ± {error:.1f} % of their counts lost: too few reflections")
    what = "lost" if loss >= 0 else "gained"
    only = " of those found as peaks" if audit.selected and number == 2 else ""
    return Verdict(use, answer, f"{size:.1f} ± {error:.1f} % of the counts{only} {what}")
