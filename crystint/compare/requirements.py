"""Limits on what a comparison shows: how they are written, and which of them are broken."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from crystint.errors import SettingError

__all__ = ["EXACT", "QUANTITIES", "Quantity", "Requirement", "requirements"]

EXACT = "exact"
"""The requirement without a limit: every picked and every unusable pixel is as it was."""
_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_WRITTEN = re.compile(r"\s*([A-Za-z_][\w-]*)\s*(?:(>=|<=|==|>|<)\s*(\S+)\s*)?")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that a comparison gives, over all shells."""

    meaning: str
    unit: str = ""


QUANTITIES: dict[str, Quantity] = {
    "frames": Quantity("frames compared"),
    "signal": Quantity("counts above background that are in the sparse file", "%"),
    "picked": Quantity("usable pixels that were picked", "%"),
    "missed": Quantity("pixels above the threshold that were not picked"),
    "missed_counts": Quantity("counts above background of the missed pixels", "counts"),
    "highest": Quantity("most significant pixel that was not picked", "sigma"),
    "bias": Quantity("|mean of densified - raw| of the background, with noise", "counts"),
    "bias_clean": Quantity("|mean of densified - raw| of the background, without noise", "counts"),
    "variance": Quantity("variance of the background, densified / raw"),
    "zeros": Quantity("|difference| of the shares of zeros, densified and raw", "%"),
    "ratio": Quantity("size of the raw files / size of the sparse file"),
    "reflections": Quantity("reflections that were summed"),
    "kept": Quantity("sum of the intensities of reflections, densified / raw", "%"),
    "kept_strong": Quantity("the same of those with I/sigma above 10", "%"),
    "kept_medium": Quantity("the same of those with I/sigma 3 to 10", "%"),
    "kept_weak": Quantity("the same of those with I/sigma 1 to 3", "%"),
    "kept_outer": Quantity("the same in the outermost shell with 30 reflections", "%"),
    "missed_strong": Quantity("reflections with I/sigma above 10 of which no pixel was kept", "%"),
    "missed_medium": Quantity("reflections with I/sigma 3 to 10 of which no pixel was kept", "%"),
    "cc": Quantity("correlation of the intensities of reflections, raw and densified"),
    "spots": Quantity("peaks of the raw frames that are found in densified ones", "%"),
    "new_spots": Quantity("peaks of densified frames that raw ones do not have", "%"),
}
"""What can be required of a comparison; `Comparison.quantities` has the numbers."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A limit on a quantity; of `EXACT` there is none."""

    name: str
    sign: str = ""
    limit: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """``signal>=95`` or ``exact``.

        Raises
        ------
        SettingError
            When it is written in another way, or there is no such quantity.
        """
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise SettingError(f"{text!r} is no requirement: write exact, or a limit such as signal>=95 ({_names()})")
        name, sign, number = match[1].replace("-", "_"), match[2], match[3]
        if name == EXACT:
            if sign:
                raise SettingError(f"{text!r}: exact has no limit; write exact")
            return cls(name)
        if name not in QUANTITIES:
            like = get_close_matches(name, [EXACT, *QUANTITIES], 1)
            hint = f" (did you mean {like[0]}?)" if like else ""
            raise SettingError(f"{name!r} is no quantity of a comparison{hint}; there are {_names()}")
        if not sign:
            raise SettingError(f"{text!r} has no limit: write {name} with >=, <=, <, > or == and a number")
        try:
            limit = float(number)
        except ValueError:
            limit = float("nan")
        if limit != limit:
            raise SettingError(f"{text!r}: the limit {number!r} is no number")
        return cls(name, sign, limit)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.limit:.15g}" if self.sign else self.name

    def broken(self, values: Mapping[str, float]) -> str:
        """What is wrong, in a line; empty when the limit holds. A quantity without a number breaks every limit."""
        value, quantity = values[self.name], QUANTITIES[self.name]
        if _HOLDS[self.sign](value, self.limit):
            return ""
        unit = f" {quantity.unit}" if quantity.unit else ""
        shown = f"{value:.9g}{unit}" if value == value else "not a number here"
        return f"{self.name} is {shown}, required {self.sign} {self.limit:.15g} ({quantity.meaning})"


def requirements(text: str | Iterable[str]) -> tuple[Requirement, ...]:
    """The requirements of a text such as ``"exact,signal>=95"``, or of several.

    Raises
    ------
    SettingError
        As `Requirement.parse`.
    """
    texts = (text,) if isinstance(text, str) else text
    return tuple(dict.fromkeys(Requirement.parse(part) for one in texts for part in one.split(",")))


def _names() -> str:
    return ", ".join([EXACT, *QUANTITIES])
