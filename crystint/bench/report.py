"""The figures as text and as JSON."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from crystint import __version__
from crystint.bench.kernels import KernelTime
from crystint.bench.machine import Others, cores, thread_gain
from crystint.bench.operations import CYCLES, RINGS
from crystint.bench.scaling import Point
from crystint.bench.timing import Timing
from crystint.engine import Engine

__all__ = ["Report", "about"]

_WIDTHS = {"wall ms": 9, "copies": 8, "least ms": 9, " copies": 8, "core-ms": 9, "  copies": 8, "frames/s": 9}
_HEAD = " ".join(f"{name:>{width}s}" for name, width in _WIDTHS.items())


def about(engine: Engine, peers: dict[str, str]) -> dict[str, Any]:
    """Device, versions, date and command of a measurement."""
    device = engine.device
    number = cores()
    versions = {"crystint": __version__, "Python": platform.python_version(), "numpy": np.__version__}
    versions |= {"pyopencl": version("pyopencl")} | peers
    return {
        "device": device.name,
        "platform": device.platform,
        "driver": device.driver,
        "cores": number,
        "thread_gain": round(thread_gain(number), 2),
        "versions": versions,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": ["crystint", *sys.argv[1:]],
    }


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of ``crystint bench`` found."""

    about: dict[str, Any]
    shape: tuple[int, ...]
    dtype: str
    times: list[Timing] = field(default_factory=list)
    kernels: list[KernelTime] = field(default_factory=list)
    axis: str | None = None
    """what `points` are over: pixels, rings, cores, threads"""
    points: list[Point] = field(default_factory=list)
    others: Others = field(default_factory=lambda: Others(None))
    """what else the machine did"""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        values = {**self.about, "others": self.others.to_dict(), "shape": list(self.shape), "dtype": self.dtype}
        values |= {"rings": RINGS, "cycles": CYCLES}
        values["times"] = [row.to_dict() for row in self.times]
        values["kernels"] = [row.to_dict() for row in self.kernels]
        if self.axis is not None:
            values["scale"] = {"over": self.axis, "points": [point.to_dict() for point in self.points]}
        return values

    def text(self) -> str:
        """Tables."""
        size = int(np.prod(self.shape))
        megabytes = size * np.dtype(self.dtype).itemsize / 1e6
        number, gain = self.about["cores"], self.about["thread_gain"]
        device = f"{self.about['device']} ({self.about['platform']} {self.about['driver']}), {number} cores"
        worth = f"{number} threads do {gain:.1f} times the work of one"
        if number > 1 and gain < 0.75 * number:
            worth += ": they share cores, or others use them"
        lines = [device, worth, str(self.others), f"{CYCLES} cycles, {RINGS} rings"]
        if self.axis is None:
            shape = " x ".join(map(str, self.shape))
            lines[-1] += f", frame {shape} {self.dtype} ({size / 1e6:.2f} Mpx, {megabytes:.1f} MB)"
        if self.times:
            lines += ["", *_times(self.times)]
        if self.kernels:
            lines += ["", *_kernels(self.kernels)]
        if self.axis is not None:
            lines += ["", *_points(self.axis, self.points)]
        return "\n".join(lines)


def _times(rows: Sequence[Timing]) -> list[str]:
    lines = [f"{'':46s} {_HEAD}  target"]
    for row in rows:
        verdict = "" if row.target is None else f"  {row.target:4.1f} {'met' if row.met else 'missed'}"
        lines.append(f"{row.name:46s} {_numbers(row)}{verdict}")
    return lines


def _numbers(row: Timing) -> str:
    """Median wall, least wall, least processor time, each in ms and copies; frames per second."""
    return (
        f"{row.wall_ms:9.2f} {row.copies:8.2f} {row.least_wall_ms:9.2f} {row.least_copies:8.2f} "
        f"{row.least_cpu_ms:9.2f} {row.core_copies:8.2f} {row.frames_per_s:9.1f}"
    )


def _kernels(rows: Sequence[KernelTime]) -> list[str]:
    lines = [f"{'kernels':24s} {'':20s} {'ms':>8s} {'MB least':>9s} {'MB moved':>9s} {'of copy bandwidth':>18s}"]
    for row in rows:
        line = f"{row.operation:24s} {row.kernel:20s} {row.ms:8.2f}"
        if row.share is not None:
            line += f" {row.floor_mb:9.1f} {row.moved_mb:9.1f} {100 * row.share:16.0f} %"
        lines.append(line)
    return lines


def _points(axis: str, points: Sequence[Point]) -> list[str]:
    unit = "Mpx" if axis == "pixels" else axis
    lines = [f"{unit:>8s} {'':46s} {_HEAD} {'Mpx/s':>8s}"]
    for point in points:
        for row in point.times:
            lines.append(f"{point.at:8g} {row.name:46s} {_numbers(row)} {point.megapixels * row.frames_per_s:8.1f}")
    return lines
