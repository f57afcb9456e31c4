"""Where convergent-beam streaks fall: Laue's condition inside a pupil, projected to the detector.

Written from the formulas alone. All vectors are in units of 1/wavelength: an incident direction u and a diffracted one
k are unit vectors, g = h a* + k b* + l c*, turned with the crystal. Diffraction wants |u + g| = |u|, that is

    e(u) = u g + g^2 / 2 = 0,

a circle on the sphere, of which a pupil shows an arc. The ray u crosses the crystal's plane at p = focus + defocus
u / u_z and leaves it along k = u + g. For a pixel at X, k(X) = (X - p) / |X - p| and u(X) = k - g, solved by repetition
since p depends on u; where e = k g - g^2 / 2 = 0 there is the middle of the streak, at a distance e / |grad e| across.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.simulation.simulated_settings import CBCSettings
from crystint.cbc.simulation.simulated_truth import standard_profile

__all__ = ["Rows", "basis", "lattice", "rotations", "streaks"]

_ROUNDS = 6
"""Of the repetition; each is nearer by defocus / distance."""
_SIDE = 16
"""Points on a side of the pupil's border."""
_MARGIN = 3
"""px about the ends of a streak in which its pixels are looked for, beside its width"""


@dataclass(frozen=True, eq=False)
class Rows:
    """Pixels of streaks: the columns of a table without counts."""

    frame: NDArray[np.int64]
    streak: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    profile: Floats
    u: Floats
    """float64 [n, 2]"""
    hkl: NDArray[np.int32]
    """int32 [n, 3]"""


def basis(settings: CBCSettings) -> Floats:
    """float64 [3, 3]: rows a*, b*, c* in units of 1/wavelength, in an orientation that the seed decides."""
    fractional = np.array(settings.unit_cell.frac.mat.tolist())
    turn, triangle = np.linalg.qr(np.random.default_rng([settings.seed, 0]).normal(size=(3, 3)))
    turn *= np.sign(np.diag(triangle))
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    return np.asarray(settings.wavelength * fractional @ turn.T)


def rotations(settings: CBCSettings) -> Floats:
    """float64 [frames, 3, 3]: R of each frame, g = R g_0; about the slow axis y."""
    angle = np.deg2rad(settings.rotation) * np.arange(settings.frames)
    turn = np.zeros((settings.frames, 3, 3))
    turn[:, 0, 0] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 0, 2], turn[:, 2, 0] = np.sin(angle), -np.sin(angle)
    turn[:, 1, 1] = 1.0
    return turn


def lattice(settings: CBCSettings) -> NDArray[np.int32]:
    """int32 [m, 3]: all reflections with d >= d_min, without 000 and those that are systematically absent."""
    cell, operations = settings.unit_cell, settings.group.operations()
    limits = [int(edge / settings.d_min) + 1 for edge in (cell.a, cell.b, cell.c)]
    hkl = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in limits), indexing="ij"), axis=-1).reshape(-1, 3)
    s = hkl @ np.array(cell.frac.mat.tolist())
    square = (s * s).sum(axis=1)
    near = hkl[(square > 0.0) & (square <= settings.d_min**-2.0)]
    absent = [operations.is_systematically_absent(row) for row in near.tolist()]
    return np.asarray(near[~np.array(absent, bool)], dtype=np.int32)


def _border(aperture: float) -> Floats:
    """float64 [points, 3]: unit vectors around the border of the pupil, the first one again at the end."""
    step = np.linspace(-1.0, 1.0, _SIDE, endpoint=False)
    one = np.ones(_SIDE)
    x = np.concatenate([step, one, -step, -one, [-1.0]])
    y = np.concatenate([-one, step, one, -step, [-1.0]])
    return np.stack([aperture * x, aperture * y, np.sqrt(1.0 - (aperture * x) ** 2 - (aperture * y) ** 2)], axis=1)


def _project(u: Floats, k: Floats, settings: CBCSettings) -> Floats:
    """Pixels (x, y) where diffracted rays k of incident rays u meet the detector."""
    middle = 0.5 * settings.pixel_size * np.array(settings.shape[::-1], np.float64)
    start = settings.defocus * u[..., :2] / u[..., 2:]
    reach = (settings.distance - settings.defocus) * k[..., :2] / k[..., 2:]
    return np.asarray((middle + start + reach) / settings.pixel_size)


def _directions(x: Floats, y: Floats, g: Floats, settings: CBCSettings) -> tuple[Floats, Floats]:
    """u and k [n, 3] of pixels (x, y) [n] of streaks of g [n, 3]."""
    middle = 0.5 * settings.pixel_size * np.array(settings.shape[::-1], np.float64)
    position = np.stack([settings.pixel_size * x - middle[0], settings.pixel_size * y - middle[1]], axis=1)
    away = np.full((len(position), 1), settings.distance - settings.defocus)
    start = np.zeros_like(position)
    for _ in range(_ROUNDS):
        ray = np.concatenate([position - start, away], axis=1)
        k = ray / np.linalg.norm(ray, axis=1)[:, None]
        u = k - g
        start = settings.defocus * u[:, :2] / u[:, 2:]
    return u, k


def _boxes(g: Floats, settings: CBCSettings) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which g [m, 3] have an arc in the pupil, and the pixels about it: x0, x1, y0, y1 (ends not included) [n, 4]."""
    border = _border(settings.numerical_aperture)
    e = g @ border.T + 0.5 * (g * g).sum(axis=1)[:, None]
    crossing = (e[:, :-1] >= 0.0) != (e[:, 1:] >= 0.0)
    number = np.flatnonzero(crossing.any(axis=1))
    e, crossing, g = e[number], crossing[number], g[number]
    row = np.arange(len(number))
    last = crossing.shape[1] - 1 - crossing[:, ::-1].argmax(axis=1)
    ends = []
    for corner in (crossing.argmax(axis=1), last):
        share = (e[row, corner] / (e[row, corner] - e[row, corner + 1]))[:, None]
        u = border[corner] + share * (border[corner + 1] - border[corner])
        k = u + g
        ends.append(np.where(k[:, 2:] > 0.05, _project(u, k, settings), np.inf))
    margin = 0.5 * (settings.width + 1.0) + _MARGIN
    low, high = np.minimum(*ends) - margin, np.maximum(*ends) + margin
    limit = np.array(settings.shape[::-1], np.float64)
    low, high = np.clip(np.floor(low), 0.0, limit), np.clip(np.ceil(high) + 1.0, 0.0, limit)
    box = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1).astype(np.int64)
    seen = (box[:, 1] > box[:, 0]) & (box[:, 3] > box[:, 2])
    return number[seen], box[seen]


def _pixels(box: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """All pixels of the boxes, by rows: number of the box, x, y."""
    wide, high = box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]
    size = wide * high
    number = np.repeat(np.arange(len(box)), size)
    within = np.arange(len(number)) - np.repeat(np.cumsum(size) - size, size)
    return number, box[number, 0] + within % wide[number], box[number, 2] + within // wide[number]


def _of_frame(
    hkl: NDArray[np.int32], g: Floats, settings: CBCSettings
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """Reflection, x, y, profile and u [n, 2] of the rows of a frame, by reflection, y and x."""
    crossing, box = _boxes(g, settings)
    number, x, y = _pixels(box)
    reflection = crossing[number]
    u, k = _directions(x.astype(np.float64), y.astype(np.float64), g[reflection], settings)
    along = (k * g[reflection]).sum(axis=1)
    e = along - 0.5 * (g[reflection] ** 2).sum(axis=1)
    slope = (g[reflection] - along[:, None] * k)[:, :2] * (k[:, 2:] * settings.pixel_size / settings.distance)
    profile = standard_profile(e / np.linalg.norm(slope, axis=1), settings.width, settings.profile)
    unit = u / np.linalg.norm(u, axis=1)[:, None]
    inside = (np.abs(unit[:, :2]) <= settings.numerical_aperture).all(axis=1) & (profile > 1e-6)
    long = np.bincount(reflection[inside], minlength=len(g)) >= settings.min_pixels
    inside &= long[reflection]
    return reflection[inside], x[inside], y[inside], profile[inside], u[inside, :2]


def streaks(settings: CBCSettings) -> Rows:
    """Every streak of every frame: rows by frame, streak, y, x."""
    hkl = lattice(settings)
    start = hkl @ basis(settings)
    parts: list[Rows] = []
    count = 0
    for frame, g in _frames(start, settings):
        reflection, x, y, profile, u = _of_frame(hkl, g, settings)
        _, streak = np.unique(reflection, return_inverse=True)
        parts.append(
            Rows(
                np.full(len(x), frame, np.int64), count + streak.astype(np.int64),
                x.astype(np.int32), y.astype(np.int32), profile, u, hkl[reflection],
            )
        )  # fmt: skip
        count += int(streak.max(initial=-1)) + 1
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__dataclass_fields__))


def _frames(start: Floats, settings: CBCSettings) -> Iterator[tuple[int, Floats]]:
    for frame, turn in enumerate(rotations(settings)):
        yield frame, start @ turn.T
