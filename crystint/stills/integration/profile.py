r"""How wide reflections are on the detector, by shells of resolution.

A profile is a two-dimensional Gaussian of the offset t of a pixel's ray from the predicted one,

    P(t) = exp(-(t_rad / R_rad)^2 - (t_tan / R_tan)^2) / (pi R_rad R_tan).

On one axis exp(-(t / R)^2) is a normal law with the variance R^2 / 2, so

    R_a^2 = 2 <t_a^2>   on either axis,   and   R^2 = <t_rad^2> + <t_tan^2> = <|t|^2>   for a round profile.

(R^2 = 2 <|t|^2>, which takes the one-dimensional relation for the two-dimensional |t|, makes profiles sqrt(2) too
wide, and amplitudes with even weights 4/3 too large.) A core that ends at t = c R cuts off the wings: within it both
second moments are smaller by

    f(c) = (1 - (1 + c^2) exp(-c^2)) / (1 - exp(-c^2)),        f(2.5) = 0.988.

The amplitude depends on the width (with even weights in direct proportion), so widths are not those of one image:
the moments of all images are put together, and a shell has their median.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.facts import counted, range_text
from crystint.stills.integration.shoeboxes import FORM_RINGS
from crystint.stills.integration.spot_moments import SpotMoments

__all__ = ["ProfileWidths", "SpotMoments", "core_moment"]

SHELLS = 6
_FORM_ERRORS, _FORM_LEAST = 4.0, 0.03
"""standard errors, and relative difference, that a ring must be off a Gaussian by for the form to be taken"""
_FORM_MOST = 1.5
"""of the logarithm"""
ENOUGH = 20
"""spots that a shell should have, at least"""
MOST_ERROR = 0.2
"""of a moment: spots are picked by what is measured of them, so that faint ones stand on noise that adds to them and is
as wide as the core; with errors of 0.3 widths are 2 % too large, with 0.5 7 %"""
_FAIR = 1.5
"""times the error that a moment may have, for those that shells without `enough` spots take in as well"""


def core_moment(reach: float) -> float:
    """f: the second moment of a Gaussian within an ellipse of `reach` widths R, in units of that of the whole."""
    square = reach * reach
    return float((1.0 - (1.0 + square) * np.exp(-square)) / -np.expm1(-square))


@dataclass(frozen=True, eq=False)
class ProfileWidths:
    """Widths R of profiles by shells of resolution; between the shells they are interpolated.

    Made by `integrate`.

    Raises
    ------
    SettingError
        When the columns do not belong together, or a width is not above 0.
    """

    edges: NDArray[np.float64]
    """float64 [shells + 1], 1/d^2 in 1/angstrom^2, ascending"""
    radial: NDArray[np.float64]
    """float64 [shells], 1/angstrom: R_rad"""
    tangential: NDArray[np.float64]
    """float64 [shells], 1/angstrom: R_tan"""
    spots: NDArray[np.intp]
    """int [shells]: that the widths are medians of; 0 = a guess"""
    center: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64 [shells], 1/angstrom^2: median 1/d^2 of the spots; empty = the middle of the shell"""
    form: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, FORM_RINGS)))
    """float64 [shells, 5]: ln of what the Gaussian is multiplied by at the middles of rings that are 0.5 R wide, see
    `with_form`; empty = 0, a Gaussian"""
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    """float64 [shells, 2], px: median distance of strong spots from where they are predicted, and from where their
    profiles are put; empty or NaN = not known"""
    fitted: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64 [shells]: amplitudes of profiles of strong spots over sums in their cores; empty or NaN = not known"""

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, dtype=np.float64)
        shells = len(edges) - 1
        center = np.asarray(self.center if len(self.center) else 0.5 * (edges[1:] + edges[:-1]), dtype=np.float64)
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "center", center)
        for name, width, unknown in (("form", (FORM_RINGS,), 0.0), ("offset", (2,), np.nan), ("fitted", (), np.nan)):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            values = values if values.size else np.full((max(shells, 0), *width), unknown)
            object.__setattr__(self, name, values)
            if shells > 0 and values.shape != (shells, *width):
                raise SettingError(f"{name} of the profile widths is {values.shape}, expected {(shells, *width)}")
        if shells < 1 or not np.all(np.diff(edges) >= 0.0):
            raise SettingError(f"edges is {edges.tolist()}, expected at least two numbers, ascending, in 1/d^2")
        for name in ("radial", "tangential", "spots", "center"):
            values = np.asarray(getattr(self, name))
            object.__setattr__(self, name, values)
            if values.shape != (shells,):
                raise SettingError(f"{name} of the profile widths is {values.shape}, expected {(shells,)}")
            if name in ("radial", "tangential") and not np.all(values > 0.0):
                raise SettingError(f"{name} is {values.tolist()}, expected widths above 0, in 1/angstrom")

    def __repr__(self) -> str:
        widths = f"radial {range_text(self.radial)}, tangential {range_text(self.tangential, '1/angstrom')}"
        return f"<ProfileWidths: {counted(len(self.radial), 'shell')}, {widths}>"

    def _repr_html_(self) -> str:
        facts = {
            "shells": len(self.radial),
            "radial (1/angstrom)": range_text(self.radial),
            "tangential (1/angstrom)": range_text(self.tangential),
            "spots": int(self.spots.sum()),
            "distance from predictions (px)": range_text(self.offset[:, 0]) or None,
        }
        return html_table("ProfileWidths", facts)

    @classmethod
    def constant(cls, radial: float, tangential: float | None = None) -> Self:
        """One width for all resolutions, 1/angstrom."""
        other = radial if tangential is None else tangential
        return cls(np.array([0.0, np.inf]), np.array([radial]), np.array([other]), np.zeros(1, np.intp), np.zeros(1))

    @classmethod
    def measure(
        cls,
        moments: SpotMoments,
        *,
        shells: int = SHELLS,
        reach: float = 2.5,
        round_profile: bool = False,
        enough: int = ENOUGH,
        most_error: float = MOST_ERROR,
    ) -> Self:
        """Medians of the moments of strong spots in shells of equally many.

        Parameters
        ----------
        moments : SpotMoments
            Of strong spots; those that are NaN or not above 0 are left out.
        shells : int
            At most; fewer where there are not `enough` spots for so many.
        reach : float
            Radius of the core the moments are from, in widths.
        round_profile : bool
            One width for both axes.
        enough : int
            Spots per shell.
        most_error : float
            Spots whose `moment_error` is above this (half as much again, where not all shells would have `enough`) are
            left out, unless there are not `enough` others: on a high background the moment of a spot of 5 sigma has an
            error as large as itself, and is too large. (The error is in units of the expected moment: in units of the
            measured one, those that came out too large would be preferred.)

        Raises
        ------
        SettingError
            When there is no spot at all.
        """
        good = np.isfinite(moments.radial) & np.isfinite(moments.tangential)
        good &= (moments.radial > 0.0) & (moments.tangential > 0.0) & (moments.d > 0.0) & (moments.moment_error > 0.0)
        spots = moments.select(good)
        best = np.argsort(spots.moment_error, kind="stable")
        sound, fair = (int((spots.moment_error <= limit).sum()) for limit in (most_error, _FAIR * most_error))
        spots = spots.select(best[: max(enough, sound, min(fair, shells * enough))])
        if not len(spots):
            raise SettingError(
                "no strong spot to measure profile widths of; give them (`profile`), or check the prediction"
            )
        s2 = 1.0 / spots.d**2
        number = max(1, min(shells, len(spots) // enough))
        order = np.argsort(s2, kind="stable")
        members = np.array_split(order, number)
        squares = np.array([[np.median(part[m]) for m in members] for part in (spots.radial, spots.tangential)])
        squares *= 2.0 / core_moment(reach)
        if round_profile:
            squares[:] = squares.mean(axis=0)
        inner = [0.5 * (s2[a[-1]] + s2[b[0]]) for a, b in pairwise(members)]
        return cls(
            edges=np.array([s2[order[0]], *inner, s2[order[-1]]]),
            radial=np.sqrt(squares[0]),
            tangential=np.sqrt(squares[1]),
            spots=np.array([len(m) for m in members]),
            center=np.array([np.median(s2[m]) for m in members]),
        )

    def at(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, 2]: R_rad and R_tan, 1/angstrom, for spacings in angstrom.

        Linear in 1/d^2 between the centres of the shells, constant beyond the first and the last.
        """
        s2 = 1.0 / np.asarray(d, dtype=np.float64) ** 2
        return np.stack([np.interp(s2, self.center, width) for width in (self.radial, self.tangential)], axis=-1)

    def form_at(self, d: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """float64 [n, 5]: `form` for spacings in angstrom, interpolated as `at`; None where all of it is Gaussian."""
        if not self.form.any():
            return None
        s2 = 1.0 / np.asarray(d, dtype=np.float64) ** 2
        return np.stack([np.interp(s2, self.center, ring) for ring in self.form.T], axis=-1)

    def with_form(self, d: NDArray[np.float64], seen: NDArray[np.float64], expected: NDArray[np.float64]) -> Self:
        """Widths with the form that strong spots have: mean counts in each ring over what these Gaussians expect.

        Spots of one shell are not alike (blocks of a mosaic crystal, places that are a little off), so that their mean
        is higher in the wings than a Gaussian of median width.

        Parameters
        ----------
        d : float64 [m]
            Of strong spots, angstrom.
        seen, expected : float64 [m, 5]
            Share of the counts of the core in each ring, and of the profile (by these widths, Gaussian).
        """
        good = np.isfinite(seen).all(axis=1) & np.isfinite(expected).all(axis=1)
        shell = np.clip(np.searchsorted(self.edges, d**-2.0) - 1, 0, len(self.radial) - 1)
        form = np.zeros((len(self.radial), FORM_RINGS))
        for number in range(len(form)):
            rows = good & (shell == number)
            if rows.sum() < ENOUGH:
                continue
            mean, model = seen[rows].mean(axis=0), expected[rows].mean(axis=0)
            ratio = mean / np.maximum(model, 1e-6)
            error = seen[rows].std(axis=0) / np.sqrt(rows.sum()) / np.maximum(model, 1e-6)
            if np.any(np.abs(ratio - 1.0) > np.maximum(_FORM_ERRORS * error, _FORM_LEAST)):
                form[number] = np.clip(np.log(np.maximum(ratio, 1e-2)), -_FORM_MOST, _FORM_MOST)
        return replace(self, form=form)
