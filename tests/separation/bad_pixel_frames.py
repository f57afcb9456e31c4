"""Frames with known defects, drawn with NumPy alone: of no crystal, a still one, many, and one that turns.

A spot is a Gaussian integrated over pixels (the difference of two error functions), counts are Poisson's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

SHAPE = (241, 263)
GEOMETRY = {
    "shape": SHAPE,
    "pixel_size": (172e-6, 172e-6),
    "distance": 0.12,
    "beam_center": (120.4, 128.7),
    "wavelength": 1.0,
}


@dataclass
class Defects:
    """Where they were put: lists of (slow, fast)."""

    hot: list
    flickering: list
    dead: list
    clusters: list

    def pixels(self, *names):
        """All pixels of some kinds."""
        return [place for name in names for place in getattr(self, name)]

    @property
    def all(self):
        return self.pixels("hot", "flickering", "dead", "clusters")


def spot_image(places, width):
    """Counts expected of spots: float64 [slow, fast]; places [n, 3]: slow, fast, intensity."""
    image = np.zeros(SHAPE)
    edges = [np.arange(size + 1) for size in SHAPE]
    for slow, fast, intensity in places:
        share = [
            0.5 * np.diff(erf((edge - center) / (np.sqrt(2) * width)))
            for edge, center in zip(edges, (slow, fast), strict=True)
        ]
        image += intensity * np.outer(*share)
    return image


def random_spots(rng, number, low=1.3, high=4.0):
    return np.column_stack(
        [
            rng.uniform(6, SHAPE[0] - 6, number),
            rng.uniform(6, SHAPE[1] - 6, number),
            10 ** rng.uniform(low, high, number),
        ]
    )


def separate_places(rng, number, away=()):
    """Places that are 8 px apart, and so from `away` and the border."""
    taken, chosen = [tuple(place) for place in away], []
    while len(chosen) < number:
        place = tuple(int(value) for value in rng.integers(10, np.array(SHAPE) - 10))
        if all(max(abs(place[0] - slow), abs(place[1] - fast)) >= 8 for slow, fast in taken):
            taken.append(place)
            chosen.append(place)
    return chosen


def spoil(rng, frames, background, away=()):
    """Put defects into frames, in place: 12 hot, 12 flickering and 12 dead pixels, and two clusters of 3 x 3."""
    places = separate_places(rng, 38, away)
    hot, flickering, dead, middles = places[:12], places[12:24], places[24:36], places[36:]
    clusters = [(slow + i, fast + j) for slow, fast in middles for i in (-1, 0, 1) for j in (-1, 0, 1)]
    number = len(frames)
    for k, (slow, fast) in enumerate(hot):
        frames[:, slow, fast] = rng.poisson(max(8.0 * background, 10.0) * (1 + k / 4), number)
    for slow, fast in flickering:  # on half of the frames of every third of the run
        on = np.concatenate(
            [rng.permutation(np.arange(len(part)) % 2) for part in np.array_split(np.arange(number), 3)]
        )
        on = on == 1
        frames[on, slow, fast] = rng.poisson(max(25.0 * background, 40.0), int(on.sum()))
    for slow, fast in dead:
        frames[:, slow, fast] = 0
    for slow, fast in clusters:
        frames[:, slow, fast] = rng.poisson(max(6.0 * background, 15.0), number)
    return Defects(hot, flickering, dead, clusters)


def frames_of(rng, kind, number, background, dtype="uint16", width=0.7):
    """Frames, and the places of spots that a mask must leave: "blank", "still", "crystals" or "rotation"."""
    flat = np.full(SHAPE, float(background))
    spots = np.zeros((0, 3))
    if kind == "blank":
        expected = [flat] * number
    elif kind == "still":
        spots = random_spots(rng, 60)
        expected = [flat + spot_image(spots, width)] * number
    elif kind == "crystals":
        expected = [flat + spot_image(random_spots(rng, 30), width) for _ in range(number)]
    else:  # spots rise and fall over about three frames
        spots = random_spots(rng, 15 * number // 3, 1.8, 4.0)
        middle, breadth = rng.uniform(0, number, len(spots)), rng.uniform(0.7, 1.5, len(spots))
        expected = []
        for frame in range(number):
            shares = np.exp(-0.5 * ((frame + 0.5 - middle) / breadth) ** 2)
            now = shares > 1e-3
            scaled = np.column_stack([spots[now, :2], spots[now, 2] * shares[now]])
            expected.append(flat + spot_image(scaled, width))
    return np.stack([rng.poisson(image) for image in expected]).astype(dtype), spots
