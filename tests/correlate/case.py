"""What the tests of `crystint correlate` share: running it, and small frames of rings that differ between exposures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from click.testing import CliRunner, Result

from crystint.cli import main

SHAPE, CENTER = (40, 44), (20.3, 21.6)
RADII, AZIMUTHS = np.arange(8.0, 15.0), 60
GRID = ("--beam", "20.3,21.6", "--radii", "8,15", "--azimuths", AZIMUTHS, "-q")
PLAIN = (*GRID, "--method", "nearest", "--outliers", 0)


def run(code: int, *arguments: Any) -> Result:
    """Run a command; a failure must be one line on stderr."""
    result = CliRunner().invoke(main, ["correlate", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code:
        assert len([line for line in result.stderr.splitlines() if "error" in line]) == 1, result.stderr
        assert result.stderr.splitlines()[-1].startswith("crystint: error: ")
    return result


def content(folder: Path) -> dict[Path, bytes]:
    """All files, hidden ones too."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path, code: int, *arguments: Any) -> str:
    """The error of a command that must fail and leave the folder as it was."""
    before = content(folder)
    message = run(code, *arguments).stderr.splitlines()[-1]
    assert content(folder) == before
    return message


def exposures(count: int, seed: int = 0) -> np.ndarray:
    """int32 [count, slow, fast]: a ring at 11 px, anisotropic in three ways, on a background."""
    rng = np.random.default_rng(seed)
    slow, fast = np.indices(SHAPE) + 0.5
    slow, fast = slow - CENTER[0], fast - CENTER[1]
    phi, radius = np.arctan2(slow, fast), np.hypot(slow, fast)
    frames = []
    for number in range(count):
        kind = number % 3
        around = 1.0 + 0.2 * np.cos(phi - 2.0 * kind) + 0.1 * np.cos(2.0 * phi + kind) + 0.05 * rng.normal()
        turned = 1.0 + 0.1 * np.cos(4.0 * phi + rng.uniform(0.0, 2.0 * np.pi))
        frames.append(
            rng.poisson(rng.uniform(0.8, 1.2) * (60 + 300 * np.exp(-(((radius - 11) / 2) ** 2))) * around * turned)
        )
    return np.array(frames, np.int32)


def gaps() -> np.ndarray:
    """uint8 [slow, fast]: a bar and some pixels are bad."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 25:27] = 1
    mask[np.random.default_rng(1).random(SHAPE) < 0.03] = 1
    return mask


def masked(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """float64, NaN where the mask is not 0."""
    return np.where(mask != 0, np.nan, frames.astype(np.float64))


def damaged(path: Path, frames: np.ndarray, bad: tuple[int, ...]) -> Path:
    """An HDF5 stack whose frames of some numbers do not unpack."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", data=frames, chunks=(1, *frames.shape[1:]), compression="gzip")
        for number in bad:
            data.id.write_direct_chunk((number, 0, 0), b"not what gzip expects")
    return path


class Counted:
    """Frames that count how many of them live, and remember in what order they were read."""

    saturation = None
    files = ("counted",)

    def __init__(self, frames: np.ndarray, fails: tuple[int, ...] = ()) -> None:
        self.frames, self.shape, self.fails = frames, frames.shape[1:], fails
        self.order: list[int] = []
        self.alive = self.most = 0

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> np.ndarray:
        import weakref

        self.order.append(number)
        if self.order.count(number) in self.fails:
            raise OSError(f"frame {number} is gone")
        frame = self.frames[number].copy()
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(frame, self.died)
        return frame

    def died(self) -> None:
        self.alive -= 1
