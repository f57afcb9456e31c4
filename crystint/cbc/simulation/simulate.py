"""Tables of convergent-beam streaks whose truth is known, from a forward model of their own.

    lambda(pixel) = background + sum over the streaks on it of ( |q_hkl|^2 chi_n(u) f^2 + intercept )

and Poisson counts of that, drawn once per pixel. `simulate_cbc` projects a crystal through a pupil onto a detector;
`simulate_streaks` throws streaks at random, for many sets or millions of rows. Nothing here uses the scaling that it is
there to test. Equal settings give equal numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.defaults import FRAMES, LENGTH, OVERLAP, REFLECTIONS
from crystint.cbc.simulation.simulated_geometry import Rows, basis, rotations, streaks
from crystint.cbc.simulation.simulated_settings import CBCSettings
from crystint.cbc.simulation.simulated_truth import (
    Maps,
    background_at,
    families,
    intensities,
    make_maps,
    standard_profile,
)
from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.table import CBCTable
from crystint.errors import SettingError

__all__ = ["CBCSettings", "CBCSimulation", "CBCTruth", "simulate_cbc", "simulate_streaks"]

_Q2, _MAPS, _INTERCEPT, _COUNTS, _STREAKS = range(1, 6)


@dataclass(frozen=True, eq=False)
class CBCTruth:
    """The true values. Rows are those of the table; the scale is that on which the mean of `maps` is 1."""

    hkl: NDArray[np.int32]
    """int32 [families, 3]: one reflection of each family that the table has"""
    q2: Floats
    """float64 [families]: |q|^2, counts"""
    family: NDArray[np.int64]
    """int64 [streaks]: the family of each streak"""
    intercept: Floats
    """float64 [streaks], counts"""
    maps: Floats
    """float64 [frames, ny, nx]: chi on the nodes (y, x)"""
    x: Floats
    """float64 [nx]: nodes, u_x"""
    y: Floats
    """float64 [ny]: nodes, u_y"""
    chi: Floats
    """float64 [n]: chi at u of each row, from the formula and not from `maps`"""
    signal: Floats
    """float64 [n]: |q|^2 chi f^2, counts"""
    expected: Floats
    """float64 [n]: lambda of the pixel of each row"""
    pixel: NDArray[np.int64]
    """int64 [n]: number of the pixel of each row; pixels are numbered by frame, y, x"""


@dataclass(frozen=True, eq=False, repr=False)
class CBCSimulation:
    """A table, and its truth. Made by `simulate_cbc`."""

    settings: CBCSettings
    """what all depends on"""
    table: CBCTable
    """with u of every row"""
    truth: CBCTruth
    """the true |q|^2, chi and maps"""

    def __repr__(self) -> str:
        rows, streaks, families = len(self.table), len(self.truth.family), len(self.truth.q2)
        return f"<CBCSimulation: {rows} rows, {self.settings.frames} frames, {streaks} streaks, {families} families>"

    @cached_property
    def overlap(self) -> float:
        """Share of rows whose pixel has another streak on it too."""
        return float(np.mean(np.bincount(self.truth.pixel)[self.truth.pixel] > 1))

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """[pixels]: one row of each pixel."""
        return np.unique(self.truth.pixel, return_index=True)[1]

    @cached_property
    def setup(self) -> CBCSetup:
        """The geometry as other modules take it; of `simulate_cbc` only: random streaks have none."""
        s = self.settings
        middle = 0.5 * np.array(s.shape, np.float64)
        half = s.numerical_aperture / np.sqrt(1.0 - 2.0 * s.numerical_aperture**2) * s.distance / s.pixel_size
        return CBCSetup(
            focus=np.array([middle[1] * s.pixel_size, middle[0] * s.pixel_size, -s.distance]),
            pupil=np.array([middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half]),
            wavelength=1e-10 * s.wavelength,
            pixel_size=(s.pixel_size, s.pixel_size),
            basis=basis(s),
            rotation=rotations(s),
            sample_z=np.full(s.frames, s.defocus - s.distance),
            shape=s.shape,
        )

    def fitness(self) -> float:
        """-sum over pixels of (I log lambda - lambda) at the truth: the Poisson criterion, each pixel once."""
        expected, counts = self.truth.expected[self.first], self.table.counts[self.first]
        return float(-np.sum(counts * np.log(expected) - expected))


def simulate_cbc(frames: int = FRAMES, **settings: Any) -> CBCSimulation:
    """Frames of a crystal that turns in a convergent beam.

    Parameters
    ----------
    frames : int
    **settings
        Any field of `CBCSettings`: symmetry, cell, numerical_aperture, crowding, width, intensity, seed...

    Returns
    -------
    CBCSimulation
        The `table`, the `setup` and the `truth`: |q|^2, chi and the maps.

    Raises
    ------
    SettingError
        For an unknown setting, an impossible value, or when no streak meets the detector.

    Examples
    --------
    >>> from crystint.cbc import simulate_cbc
    >>> data = simulate_cbc(2, seed=1)
    >>> len(data.table.frames), bool(abs(data.truth.maps.mean() - 1) < 1e-12)
    (2, True)
    """
    chosen = _settings(frames, settings)
    rows = streaks(chosen)
    if not len(rows.x):
        raise SettingError("no streak meets the detector: make it larger or nearer, or d_min smaller")
    unique, family = families(rows.hkl, chosen.group, chosen.friedel)
    q2 = intensities(unique, chosen, np.random.default_rng([chosen.seed, _Q2]))
    return _observed(chosen, rows, unique, family, q2)


def simulate_streaks(
    rows: int = 100_000,
    *,
    frames: int = FRAMES,
    reflections: int = REFLECTIONS,
    overlap: float = OVERLAP,
    length: int = LENGTH,
    **settings: Any,
) -> CBCSimulation:
    """About `rows` rows of straight streaks thrown at random on square frames: fast, without a crystal.

    u runs along a chord of the pupil on each streak. Reflections have indices h > 0, k, l >= 0: no two of them are
    equivalent in mmm or below.

    Parameters
    ----------
    rows, frames, reflections : int
        Every reflection has a streak when there are as many streaks.
    overlap : float, 0 to below 1
        Share of rows that are on the pixel of another streak as well, about; the detector gets the size for it.
    length : int
        Of a streak along its steeper axis, px.
    **settings
        Fields of `CBCSettings`: width, numerical_aperture, intensity, background, map_scale, seed...

    Returns
    -------
    CBCSimulation

    Raises
    ------
    SettingError
        For an unknown setting or an impossible value.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_streaks(5000, frames=2, seed=1)
    >>> len(data.table.frames), 3000 < len(data.table) < 8000
    (2, True)
    """
    if frames < 1:
        raise SettingError(f"frames is {frames!r}, expected 1 or more")
    across = int(np.ceil(_settings(frames, {**settings, "shape": (1, 1)}).width + 1.0)) | 1
    if not (0.0 <= overlap < 1.0):
        raise SettingError(f"overlap is {overlap!r}, expected 0 to below 1")
    if min(rows, reflections) < 1 or length < 2:
        raise SettingError(f"rows {rows}, reflections {reflections}, length {length}: expected 1, 1 and 2 or more")
    count = max(1, round(rows / (length * across)))
    per_frame = count * length * across / frames
    area = per_frame / -np.log1p(-min(max(overlap, 1e-3), 0.999))
    side = max(int(np.ceil(np.sqrt(area) + 0.4 * length)), length + across + 1)
    chosen = _settings(frames, {**settings, "shape": (side, side)})
    rng = np.random.default_rng([chosen.seed, _STREAKS])
    thrown, number = _thrown(chosen, rng, count, reflections, length, across)
    seen, family = np.unique(number, return_inverse=True)
    hkl = np.stack([1 + seen % 100, seen // 100 % 100, seen // 10_000], axis=1).astype(np.int32)
    law = np.random.default_rng([chosen.seed, _Q2]).exponential(size=reflections)[seen]
    q2 = chosen.intensity * (chosen.weakest + (1.0 - chosen.weakest) * law)
    return _observed(chosen, thrown, hkl, family.reshape(-1), q2)


def _settings(frames: int, values: Mapping[str, Any]) -> CBCSettings:
    for name in values:
        if name not in CBCSettings.model_fields:
            names = ", ".join(sorted(set(CBCSettings.model_fields) - {"frames"}))
            raise SettingError(f"the simulation has no setting {name!r}; it has {names}")
    return CBCSettings.of({"frames": frames, **values})


def _thrown(
    settings: CBCSettings, rng: np.random.Generator, count: int, reflections: int, length: int, across: int
) -> tuple[Rows, NDArray[np.int64]]:
    """Random streaks, and the reflection of each row; where two ends of a chord would be one point, u stays there."""
    side, aperture = settings.shape[0], settings.numerical_aperture
    frame = np.sort(rng.integers(0, settings.frames, count))
    frame[: settings.frames] = np.arange(settings.frames) if count >= settings.frames else frame[: settings.frames]
    frame.sort()
    number = rng.integers(0, reflections, count)
    number[: min(count, reflections)] = rng.permutation(reflections)[:count]
    rng.shuffle(number)
    steep = rng.random(count) < 0.5
    slope = rng.uniform(-1.0, 1.0, count)
    chord = rng.uniform(-aperture, aperture, (count, 2, 2))
    chord[np.arange(count), 0, 1 - steep.astype(int)] = -aperture
    chord[np.arange(count), 1, 1 - steep.astype(int)] = aperture
    along, off = (
        part.reshape(-1) for part in np.meshgrid(np.arange(length), np.arange(across) - across // 2, indexing="ij")
    )
    half = 0.5 * length
    begin = rng.uniform(0.0, side - length, count)
    start = rng.uniform(half + across, max(side - half - across, half + across + 1e-3), count)
    middle = start[:, None] + slope[:, None] * (along - half)
    other = np.rint(middle).astype(np.int32) + off.astype(np.int32)
    main = begin.astype(np.int32)[:, None] + along.astype(np.int32)
    away = (other - middle) / np.sqrt(1.0 + slope[:, None] ** 2)
    profile = standard_profile(away, settings.width, settings.profile)
    share = (along / (length - 1.0))[None, :, None]
    u = chord[:, None, 0] + share * (chord[:, None, 1] - chord[:, None, 0])
    x = np.where(steep[:, None], other, main)
    y = np.where(steep[:, None], main, other)
    keep = (profile > 1e-6) & (other >= 0) & (other < side)
    streak = np.broadcast_to(np.arange(count)[:, None], keep.shape)[keep]
    renumbered = np.unique(streak, return_inverse=True)[1] if len(streak) else streak
    number = number[streak]
    hkl = np.stack([1 + number % 100, number // 100 % 100, number // 10_000], axis=1).astype(np.int32)
    return Rows(
        frame[streak], renumbered.reshape(-1).astype(np.int64), x[keep], y[keep], profile[keep], u[keep], hkl
    ), number


def _observed(
    settings: CBCSettings, rows: Rows, hkl: NDArray[np.int32], family: NDArray[Any], q2: Floats
) -> CBCSimulation:
    """Maps, intercepts, expectations and counts of the rows; `family` [n] and `q2` go with `hkl` [families, 3]."""

    def random(stream: int) -> np.random.Generator:
        return np.random.default_rng([settings.seed, stream])

    nodes = settings.numerical_aperture * np.linspace(-1.1, 1.1, settings.nodes)
    maps: Maps = make_maps(settings, nodes, nodes, random(_MAPS))
    chi = maps.at(rows.frame, rows.u)
    signal = q2[family] * chi * rows.profile
    last = np.flatnonzero(np.diff(rows.streak, append=-1))
    intercept = random(_INTERCEPT).exponential(1.0, size=len(last)) * settings.intercept
    slow, fast = settings.shape
    code = (rows.frame * slow + rows.y) * fast + rows.x
    once, pixel = np.unique(code, return_inverse=True)
    pixel = pixel.reshape(-1)
    line, x = np.divmod(once, fast)
    background = background_at(settings, x, line % slow)
    expected = background + np.bincount(pixel, signal + intercept[rows.streak], len(once))
    counts = random(_COUNTS).poisson(expected).astype(np.float64) if settings.noise else expected
    table = CBCTable(
        frame=rows.frame, streak=rows.streak, x=rows.x, y=rows.y, counts=counts[pixel], background=background[pixel],
        profile=rows.profile, hkl=rows.hkl, u=rows.u,
    )  # fmt: skip
    truth = CBCTruth(
        hkl=hkl, q2=q2, family=np.asarray(family[last], np.int64), intercept=intercept,
        maps=maps.on(nodes, nodes), x=nodes, y=nodes, chi=chi, signal=signal, expected=expected[pixel],
        pixel=pixel.astype(np.int64),
    )  # fmt: skip
    return CBCSimulation(settings, table, truth)
