"""What a table of frames tells of a run, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.frame_table import FrameStatus, FrameTable, is_known
from crystint.model.peaks import HIT
from crystint.model.raster import BestCell, Raster
from crystint.text_table import text_table

__all__ = ["Series", "expected_false_hits", "rows_text", "summary_of", "summary_text"]

LOWEST_IS_BEST = ("d_min", "background", "expected_false_spots")
_ROWS = 20
"""that are printed"""
_PRINTED = ("frame", "n_no_ice", "n_ice", "d_min", "background", "total_intensity", "maximum", "saturated", "score")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A table, and how it is to be drawn."""

    rows: FrameTable
    columns: tuple[str, ...]
    x: str = "frame"
    raster: Raster | None = None
    title: str = ""

    def best(self) -> BestCell | None:
        """The best cell of the raster, for the first of the columns; None = there is no raster, or nothing in it."""
        if self.raster is None:
            return None
        name = self.columns[0]
        return self.raster.best(known(self.rows, name), lowest=name in LOWEST_IS_BEST)


def known(rows: FrameTable, name: str) -> NDArray[np.float64]:
    """float64 [frames]: a column, NaN where nothing is known."""
    return np.where(is_known(rows[name]), rows[name].astype(np.float64), np.nan)


def expected_false_hits(rows: FrameTable, hit_peaks: int = HIT) -> float:
    """How many frames noise would make hits if all were blank: Poisson's law, from the false spots expected."""
    from scipy.special import gammainc

    spots = rows["expected_false_spots"]
    spots = spots[np.isfinite(spots)]
    return float(gammainc(hit_peaks, spots).sum()) if len(spots) else np.nan


def summary_of(series: Series, hit_peaks: int | None = None) -> dict[str, Any]:
    """What is printed, JSON-able."""
    rows = series.rows
    there, judged = rows[rows["status"] != FrameStatus.MISSING], rows[rows["hit"] >= 0]
    hits = judged[judged["hit"] == 1]
    about: dict[str, Any] = {
        "frames": len(rows),
        "missing": len(rows) - len(there),
        "vetoed": int(np.count_nonzero(rows["status"] == FrameStatus.VETOED)),
        "hits": len(hits) if len(judged) else None,
        "judged": len(judged),
        "n_no_ice": _spread(hits, "n_no_ice"),
        "d_min": _spread(hits, "d_min"),
        "background": _spread(there, "background"),
        "expected_false_spots": _spread(there, "expected_false_spots"),
        "expected_false_hits": _number(expected_false_hits(there, hit_peaks or HIT)),
        "frames_with_ice": int(np.count_nonzero(there["ice_score"] > 1.0)),
        "frames_with_saturated_pixels": int(np.count_nonzero(there["saturated"] > 0)),
        "best_frame": _best(judged),
    }
    cell = series.best()
    if series.raster is not None:
        about["grid"] = {
            "fast": series.raster.fast,
            "slow": series.raster.slow,
            "zigzag": series.raster.zigzag,
            "column": series.columns[0],
            "values": [list(map(_number, row)) for row in series.raster.map(known(rows, series.columns[0]))],
            "best": None if cell is None else {
                "fast": cell.fast, "slow": cell.slow, "frame": cell.frame, "value": cell.value, "center": cell.center,
            },
        }  # fmt: skip
    return about


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _spread(rows: FrameTable, name: str) -> dict[str, float] | None:
    values = known(rows, name)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return {"lowest": float(values.min()), "median": float(np.median(values)), "highest": float(values.max())}


def _best(judged: FrameTable) -> int | None:
    """Number of the frame of the highest score."""
    score = known(judged, "score")
    return int(judged["frame"][int(np.nanargmax(score))]) if np.isfinite(score).any() else None


def summary_text(about: dict[str, Any], series: Series) -> str:
    """The summary in lines."""
    first = f"{about['frames']} frame{'s' * (about['frames'] != 1)}"
    for name in ("missing", "vetoed"):
        first += f", {about[name]} {name}" * (about[name] > 0)
    lines = [("frames", first)]
    if about["hits"] is None:
        lines.append(("hits", "not known: no spots were looked for"))
    else:
        share = 100.0 * about["hits"] / max(about["judged"], 1)
        lines.append(("hits", f"{about['hits']} of {about['judged']} ({share:.3g} %), {_false(about)}"))
        best = "" if about["best_frame"] is None else f"; best frame {about['best_frame']}, by its score"
        if about["n_no_ice"] is not None:
            lines.append(("spots of hits", f"{_three(about['n_no_ice'])} without ice{best}"))
    for name, unit in (("d_min", " angstrom, of hits"), ("background", " counts per pixel from 3 to 5 angstrom")):
        if about[name] is not None:
            lines.append((name, _three(about[name]) + unit))
    for name, label in (("frames_with_ice", "ice"), ("frames_with_saturated_pixels", "saturated")):
        if about[name]:
            lines.append((label, f"{about[name]} frames"))
    if series.raster is not None:
        cell = series.best()
        where = f"{series.raster.fast} x {series.raster.slow} (fast x slow)" + ", zigzag" * series.raster.zigzag
        if cell is not None:
            where += (
                f"; best {series.columns[0]} {cell.value:.4g} at fast {cell.fast}, slow {cell.slow} (frame "
                f"{cell.frame}), centre of mass at {cell.center[0]:.2f}, {cell.center[1]:.2f}"
            )
        lines.append(("grid", where))
    return "\n".join(text_table(lines))


def _false(about: dict[str, Any]) -> str:
    expected = about["expected_false_hits"]
    return "false ones not known" if expected is None else f"{expected:.2g} false ones expected of noise"


def _three(spread: dict[str, float]) -> str:
    return f"{spread['lowest']:.3g} to {spread['highest']:.3g}, median {spread['median']:.3g}"


def rows_text(rows: FrameTable) -> str:
    """The first rows, in the columns that tell most."""
    shown = rows[:_ROWS]
    table = [["", *_PRINTED]]
    for row in shown:
        state = "missing" if row["status"] == FrameStatus.MISSING else "hit" if row["hit"] == 1 else ""
        cells = [f"{row[name]:.4g}" if is_known(np.asarray(row[name])) else "-" for name in _PRINTED]
        table.append([state, *cells])
    lines = text_table(table, right=range(1, len(_PRINTED) + 1))
    if len(rows) > _ROWS:
        lines.append(f"... and {len(rows) - _ROWS} more: --csv prints all, -o frames.csv writes them")
    return "\n".join(lines)
