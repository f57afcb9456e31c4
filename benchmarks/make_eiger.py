"""Make a file of frames as an Eiger 4M writes them: 2162 x 2068 uint16, bitshuffle-LZ4, one frame per chunk.

    python benchmarks/make_eiger.py FILE [--frames 1000] [--seed 0] [--overwrite]

A rotating crystal in front of air and water. Every pixel of a frame holds a Poisson number, and no frame equals another
one. The sum of two Poisson numbers is a Poisson number of the sum of their means; so the background of a frame is the
sum of two images of half its mean, and 46 images make 1035 different pairs. The Bragg peaks are fresh in every frame.
Geometry, pixel mask and saturation are in the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations, count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.io.hdf5.provenance import provenance
from crystint.io.sparse.dense_file import DenseWriter
from crystint.model.geometry import Geometry
from crystint.simulate import Lattice, Scene
from crystint.simulate.sample import gaussian_shares

SHAPE = (2162, 2068)
MODULE, GAP = (512, 1028), (38, 12)
SATURATION = 58000
_DEAD, _NOISY = 2, 16  # bits of the NXmx pixel mask


def background(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts per pixel at q (1/angstrom): air, water's ring, the rest of the solvent, and a beam stop's shadow."""
    air = 30.0 * np.exp(-q / 0.35)
    water = 9.0 * np.exp(-0.5 * ((q - 1.95) / 0.3) ** 2)
    rest = 6.0 / (1.0 + (q / 2.0) ** 2)
    return np.asarray(np.where(q > 0.04, air + water + rest, 0.02))


def scene(seed: int = 0, shape: tuple[int, int] = SHAPE) -> Scene:
    """The detector, the crystal and what surrounds it."""
    geometry = Geometry(
        shape=shape,
        pixel_size=(75e-6, 75e-6),
        distance=0.14,
        beam_center=(0.497 * shape[0], 0.508 * shape[1]),
        wavelength=0.9795,
        polarization=0.99,
    )
    crystal = Lattice(cell=(58.0, 58.0, 150.0), mosaicity=0.0012, rotation=np.radians(0.1), b_factor=20.0, d_min=1.7)
    return Scene(
        geometry,
        background=background,
        peaks=crystal,
        intensity=2500.0,
        width=0.85,
        modules=MODULE,
        gaps=GAP,
        dead=400,
        hot=60,
        saturation=SATURATION,
        dtype=np.uint16,
        seed=seed,
    )


def images_needed(frames: int) -> int:
    """The fewest images that make so many pairs."""
    return next(images for images in count(2) if images * (images - 1) // 2 >= frames)


@dataclass(frozen=True)
class Eiger:
    """The frames of a scene, each made when asked for."""

    scene: Scene
    frames: int

    @cached_property
    def halves(self) -> NDArray[np.uint8]:
        """uint8 [images, slow, fast]: Poisson numbers of half of the background's mean."""
        images = images_needed(self.frames)
        mean = 0.5 * self.scene.background_mean
        made = np.empty((images, *self.scene.shape), np.uint8)
        for number in range(images):
            made[number] = np.random.default_rng([self.scene.seed, 101, number]).poisson(mean)
        return made

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Two different images for every frame, in random order."""
        found = list(combinations(range(images_needed(self.frames)), 2))
        order = np.random.default_rng([self.scene.seed, 102]).permutation(len(found))
        return [found[place] for place in order[: self.frames]]

    def frame(self, number: int) -> NDArray[np.uint16]:
        """One frame, uint16 [slow, fast]."""
        rng = np.random.default_rng([self.scene.seed, 103, number])
        first, second = self.pairs[number]
        frame = np.add(self.halves[first], self.halves[second], dtype=np.uint16)
        self._add_peaks(frame, number, rng)
        np.minimum(frame, SATURATION, out=frame)
        mask = self.scene.mask
        frame[mask & _DEAD != 0] = 0
        noisy = np.flatnonzero(mask & _NOISY)
        level = 10 ** np.random.default_rng([self.scene.seed, 104]).uniform(1, 4.7, len(noisy))
        frame.flat[noisy] = np.minimum(rng.poisson(level), SATURATION)
        frame[mask & 1 != 0] = np.iinfo(np.uint16).max
        return frame

    def _add_peaks(self, frame: NDArray[np.uint16], number: int, rng: np.random.Generator) -> None:
        truth = self.scene.truth(number)
        rows, along_slow = gaussian_shares(truth["slow"], 5, self.scene.width)
        columns, along_fast = gaussian_shares(truth["fast"], 5, self.scene.width)
        photons = rng.poisson(truth["intensity"][:, None, None] * along_slow[:, :, None] * along_fast[:, None, :])
        at = np.broadcast_arrays(rows[:, :, None], columns[:, None, :])
        inside = (at[0] >= 0) & (at[0] < frame.shape[0]) & (at[1] >= 0) & (at[1] < frame.shape[1])
        np.add.at(frame, (at[0][inside], at[1][inside]), photons[inside].astype(np.uint16))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Frames as an Eiger 4M writes them.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--overwrite", action="store_true")
    given = parser.parse_args(arguments)
    write(given.file, Eiger(scene(given.seed), given.frames), given.processes, given.overwrite)


def write(path: Path, eiger: Eiger, processes: int = 1, overwrite: bool = False) -> None:
    """Write the frames in order; the processes share the images."""
    known = eiger.scene
    record: dict[str, Any] = provenance({"seed": known.seed, "frames": eiger.frames}, [], ["make_eiger"])
    _ = eiger.halves, eiger.pairs, known.mask  # before the processes start, so that they share them
    with (
        DenseWriter(
            path,
            known.shape,
            np.uint16,
            geometry=known.geometry,
            mask=known.mask,
            saturation=SATURATION,
            provenance=record,
            overwrite=overwrite,
            exposure=0.01,
            compression="bslz4",
            sensor_thickness=450e-6,
        ) as writer,
        get_context("fork").Pool(processes, initializer=partial(_adopt, eiger)) as pool,
    ):
        for frame in pool.imap(_frame, range(eiger.frames)):
            writer.write(frame)


_mine: list[Eiger] = []


def _adopt(eiger: Eiger) -> None:
    _mine.append(eiger)


def _frame(number: int) -> NDArray[np.uint16]:
    return _mine[0].frame(number)


if __name__ == "__main__":
    main()
