"""The tables by which polar images are looked up: which pixels each cell takes, made once per grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer, Engine
from crystint.errors import GeometryError, SettingError
from crystint.model.polar_grid import PolarGrid

__all__ = ["GROUP", "AreaTable", "area_table", "bilinear_table", "groups", "nearest_table"]

GROUP = 256
"""work-items of a group"""
_CHUNK = 1 << 18
"""points worked on at a time, so that they stay in cache"""
_UNIT = 65536.0
"""parts of a pixel, as the kernels count them"""
_REACH = 16383
"""px from the frame's corner within which the kernels can count"""
_SAG = 1e-3
"""px by which a chord may miss its arc"""


def groups(cells: int) -> int:
    """Work-groups for a work-item per cell."""
    return -(-cells // GROUP)


def _chunks(grid: PolarGrid) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Rows, and the (slow, fast) of their points in px from the centre of the first pixel."""
    rows, columns = grid.shape
    angles, step = grid.angles, max(1, _CHUNK // columns)
    for begin in range(0, rows, step):
        part = slice(begin, min(rows, begin + step))
        yield part, *grid.positions(grid.radii[part], angles)


def _check(grid: PolarGrid, shape: tuple[int, int], any_inside: bool, some: Callable[[float, float], bool]) -> None:
    if any_inside:
        return
    center = grid.center
    hint = ""
    if not (some(*center)) and some(*center[::-1]):
        hint = " Swapped, the centre would lie inside: is it given as (fast, slow)?"
    raise GeometryError(
        f"no point of the polar grid lies in the frame of {shape[0]} x {shape[1]} pixels: centre (slow, fast) = "
        f"({center[0]:.2f}, {center[1]:.2f}), radii {grid.radii[0]:.6g} to {grid.radii[-1]:.6g} px.{hint}"
    )


def _holds(shape: tuple[int, int]) -> Callable[[float, float], bool]:
    return lambda slow, fast: 0.0 <= slow <= shape[0] and 0.0 <= fast <= shape[1]


def nearest_table(grid: PolarGrid, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """uint32 [rows, azimuths]: the pixel that holds each point, in a frame with a border of 1; 0 = outside the frame.

    A point between two pixels goes to the lower one, as in LOKI: floor(x) + 1 where the fraction is above a half.

    Raises
    ------
    GeometryError
        When no point lies in the frame.
    """
    table = np.zeros(grid.shape, np.uint32)
    for rows, *position in _chunks(grid):
        pixel = []
        inside = np.ones(position[0].shape, bool)
        for x, size in zip(position, shape):
            with np.errstate(invalid="ignore"):
                inside &= (x > -0.5) & (x <= size - 0.5)  # so NaN is outside
            x[~inside] = 0.0
            whole = np.floor(x)
            x -= whole
            whole += x > 0.5
            inside &= whole >= 0.0  # -0.5 + epsilon has the fraction 0.5
            pixel.append(whole.astype(np.int64))
        index = (pixel[0] + 1) * (shape[1] + 2) + (pixel[1] + 1)
        table[rows] = np.where(inside, index, 0)
    _check(grid, shape, bool(table.any()), _holds(shape))
    return table


def bilinear_table(grid: PolarGrid, shape: tuple[int, int]) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """The first of four pixels, uint32 [rows, azimuths], and the part of a pixel from there, uint16 [..., 2].

    (fast, slow), as kernels/polar_bilinear.cl has them. A point within half a pixel of the frame's edge has fewer than
    four pixels.

    Raises
    ------
    GeometryError
        When no point lies in the frame.
    """
    table, part = np.zeros(grid.shape, np.uint32), np.zeros((*grid.shape, 2), np.uint16)
    for rows, *position in _chunks(grid):
        fixed = []
        inside = np.ones(position[0].shape, bool)
        for x, size in zip(position, shape):
            with np.errstate(invalid="ignore"):
                inside &= (x >= -0.5) & (x <= size - 0.5)
            x[~inside] = 0.0
            fixed.append(np.rint(x * _UNIT).astype(np.int64))
        slow, fast = fixed
        index = ((slow >> 16) + 1) * (shape[1] + 2) + ((fast >> 16) + 1)
        table[rows] = np.where(inside, index, 0)
        part[rows, :, 0] = np.where(inside, fast & 0xFFFF, 0)
        part[rows, :, 1] = np.where(inside, slow & 0xFFFF, 0)
    _check(grid, shape, bool(table.any() or part.any()), _holds(shape))
    return table, part


@dataclass(frozen=True, slots=True, eq=False)
class AreaTable:
    """The areas that cells share with pixels, on the device: see kernels/polar_area.cl for each buffer."""

    start: Buffer
    pixel: Buffer
    area: Buffer
    entries: int
    cell_area: NDArray[np.float64]
    """float64 [rows, 1] or [rows, azimuths]: area of the cells, px^2"""


def area_table(engine: Engine, grid: PolarGrid, shape: tuple[int, int]) -> AreaTable:
    """Share the pixels of a frame out among the cells of a grid, by area.

    A cell reaches halfway to its neighbours (`PolarGrid.borders`). Its arcs are broken into chords that miss them by at
    most 0.001 px; cells share their chords, so that nothing is lost or counted twice.

    Raises
    ------
    GeometryError
        When no cell meets the frame.
    SettingError
        When the grid reaches further than 16383 px from the frame's corner. On tilted detectors, where some
        directions reach any distance, the cells beyond are left out instead.
    """
    rows, columns = grid.shape
    borders = grid.borders()
    turn = 2.0 * math.pi / columns
    steps = max(1, math.ceil(turn * math.sqrt(borders[-1] / (8.0 * _SAG))), math.ceil(turn / 1.0))
    angles = grid.angles_at(np.arange(columns * steps + 1) / steps - 0.5)
    node = np.empty((rows + 1, len(angles), 2), np.int32)
    for row, radius in enumerate(borders):
        slow, fast = (x[0] + 0.5 for x in grid.positions(borders[row : row + 1], angles))
        slow[-1], fast[-1] = slow[0], fast[0]  # the circle is closed, to the last bit
        nowhere = np.isnan(slow) | np.isnan(fast)
        if grid.geometry is not None:
            nowhere |= np.maximum(np.abs(slow), np.abs(fast)) > _REACH
        slow[nowhere] = fast[nowhere] = 0.0
        reach = float(max(np.abs(slow).max(), np.abs(fast).max()))
        if reach > _REACH:
            raise SettingError(
                f"the grid's radius {radius:g} reaches {reach:.0f} px from the frame's corner; areas are for "
                f"{_REACH} px at most: use fewer rows, or another method"
            )
        node[row, :, 0], node[row, :, 1] = np.rint(fast * _UNIT), np.rint(slow * _UNIT)
        node[row, nowhere] = np.iinfo(np.int32).min
    cells = rows * columns
    geometry: dict[str, Any] = {
        "node": engine.send(node),
        "columns": columns,
        "steps": steps,
        "cells": cells,
        "slow": shape[0],
        "fast": shape[1],
    }
    count, unused, no_area = engine.empty(cells, np.uint32), engine.empty(1, np.uint32), engine.empty(1, np.float32)
    kernel = engine.kernel("polar_overlap.cl", FILL=0, LOCAL_SIZE=GROUP)
    engine.launch(kernel, groups(cells), GROUP, **geometry, start=unused, count=count, place=unused, area=no_area)
    counts = engine.receive(count, cells)
    total = int(counts.sum(dtype=np.int64))
    _check(grid, shape, total > 0, _holds(shape))
    if total >= 2**32:
        raise SettingError(f"the cells share {total} areas with pixels, expected fewer than 2^32: use a smaller grid")
    start = np.zeros(cells + 1, np.uint32)
    np.cumsum(counts, dtype=np.uint32, out=start[1:])
    begin, pixel, area = engine.send(start), engine.empty(total, np.uint32), engine.empty(total, np.float32)
    kernel = engine.kernel("polar_overlap.cl", FILL=1, LOCAL_SIZE=GROUP)
    engine.launch(kernel, groups(cells), GROUP, **geometry, start=begin, count=unused, place=pixel, area=area)
    engine.finish()
    if grid.geometry is None:
        ring = 0.5 * np.diff(borders**2) * math.sin(turn / steps) * steps
        return AreaTable(begin, pixel, area, total, ring[:, None])
    return AreaTable(begin, pixel, area, total, _polygon_areas(node, columns, steps))


def _polygon_areas(node: NDArray[np.int32], columns: int, steps: int) -> NDArray[np.float64]:
    """Areas of the cells, px^2: half the cross product of node and next node, summed along both arcs and the sides."""
    areas = np.empty((len(node) - 1, columns))
    for row in range(len(areas)):
        inner, outer = node[row].astype(np.float64) / _UNIT, node[row + 1].astype(np.float64) / _UNIT
        one = _cross(outer[:-1], outer[1:]) - _cross(inner[:-1], inner[1:])
        side = _cross(inner, outer)[::steps]
        areas[row] = np.abs(0.5 * (one.reshape(columns, steps).sum(axis=1) + side[:-1] - side[1:]))
        nowhere = (
            (node[row : row + 2, :-1] == np.iinfo(np.int32).min).any(axis=(0, 2)).reshape(columns, steps).any(axis=1)
        )
        areas[row, nowhere | np.append(nowhere[1:], nowhere[0])] = np.nan
    return areas


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product
