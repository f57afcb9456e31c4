"""A comparison as lines of text, and as values that JSON holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.compare.sums import ComparisonSums
from crystint.model.facts import counted
from crystint.summation.report import audit_dict, audit_table, verdict_lines
from crystint.units import ordinal, readable_size

__all__ = ["comparison_dict", "comparison_table", "sizes", "summary"]

_COLUMNS = (
    "mean",
    "bias_clean",
    "bias_noisy",
    "bias_error",
    "variance_raw",
    "variance_noisy",
    "zeros_raw",
    "zeros_noisy",
    "picked_share",
    "signal_kept",
)
_TABLE: tuple[tuple[str, str, int], ...] = (
    ("background", "pixels", 10),
    ("raw", "mean", 8),
    ("bias", "clean", 9),
    ("bias", "noisy", 9),
    ("", "(error)", 9),
    ("variance", "raw", 9),
    ("variance", "noisy", 9),
    ("zeros %", "raw", 7),
    ("zeros %", "noisy", 7),
    ("picked", "%", 7),
    ("signal", "kept %", 7),
    ("missed", "pixels", 7),
    ("highest", "left", 8),
)
_LEGEND = (
    "bias: mean of densified - raw over background pixels, counts; clean, noisy: densified without and with\n"
    "noise; highest left: the most significant of the pixels that were not picked, sigma"
)


def comparison_table(comparison: ComparisonSums, *, pixels: bool = True) -> str:
    """See `Comparison.table`."""
    if not len(comparison.sums):
        return "no frames were compared"
    lines = [f"{label:<34s}{value}" for label, value in summary(comparison)]
    if comparison.reflections is not None:
        audit = comparison.reflections
        lines = [audit_table(audit), "", "verdict", *(f"  {line}" for line in verdict_lines(audit)), "", *lines]
    return "\n".join([*_pixel_lines(comparison), "", *lines] if pixels else lines)


def _pixel_lines(comparison: ComparisonSums) -> list[str]:
    """A line for each resolution shell, and one for all."""
    total = comparison.total
    by_d = comparison.unit == "q"
    edges, total_edges = (comparison.d, total.d) if by_d else (1e3 * comparison.edges, 1e3 * total.edges)
    titles = ("d", "angstrom") if by_d else ("radius", "mm")
    lines = [
        _joined(f"{titles[0]:>18s}", [top for top, _, _ in _TABLE]),
        _joined(f"{titles[1]:>18s}", [name for _, name, _ in _TABLE]),
    ]
    lines += [_line(edges[i : i + 2], comparison, i) for i in range(len(comparison.sums))]
    return [*lines, _line(total_edges, total, 0), "", _LEGEND]


def _joined(label: str, cells: Sequence[str]) -> str:
    return "  ".join([label, *(f"{cell:>{row[2]}s}" for cell, row in zip(cells, _TABLE))])


def _line(edges: NDArray[np.float64], comparison: ComparisonSums, i: int) -> str:
    sums = comparison.sums[i]
    cells = (
        f"{sums['pixels']}",
        f"{comparison.mean[i]:.4g}",
        f"{comparison.bias_clean[i]:.2g}",
        f"{comparison.bias_noisy[i]:.2g}",
        f"({comparison.bias_error[i]:.1g})",
        f"{comparison.variance_raw[i]:.4g}",
        f"{comparison.variance_noisy[i]:.4g}",
        f"{100 * comparison.zeros_raw[i]:.2f}",
        f"{100 * comparison.zeros_noisy[i]:.2f}",
        f"{100 * comparison.picked_share[i]:.3f}",
        f"{100 * comparison.signal_kept[i]:.2f}",
        f"{sums['missed']}",
        f"{sums['strongest']:.2f}",
    )
    return _joined(f"{edges[0]:8.2f} -{edges[1]:8.2f}", cells)


def summary(comparison: ComparisonSums) -> list[tuple[str, str]]:
    """Label and value of what holds for all frames: whether it is exact, and sizes."""

    def verdict(wrong: int) -> str:
        return "exact" if wrong == 0 else f"{wrong} WRONG"

    total = comparison.total.sums[0]
    lines = [
        ("frames", str(comparison.frames) + (f" of {comparison.of}, a sample" if comparison.of else "")),
        ("picked pixels", f"{total['picked']}, {verdict(comparison.wrong_picked)}"),
        ("unusable pixels", verdict(comparison.wrong_unusable)),
        ("missed pixels", f"{total['missed']}, together {total['missed_signal']:.6g} counts"),
    ]
    if comparison.vetoed:
        left_out = "their signal was left out, no reflection is summed there and no pixel missed"
        lines.insert(1, ("vetoed", f"{counted(comparison.vetoed, 'frame')} vetoed: {left_out}"))
    if comparison.thin > 1:
        lines.append(("background and missed pixels", f"every {ordinal(comparison.thin)} pixel was looked at"))
    form = "sparse form" if comparison.sparse_bytes else "picked pixels, without the rest of a sparse file"
    for label, (size, ratio) in sizes(comparison).items():
        share = "" if ratio is None else f" = {ratio:.3g} x the {form}"
        lines.append((label, f"{readable_size(size)}{share}"))
    return lines


_PICKED = "picked pixels (index and value)"


def sizes(comparison: ComparisonSums) -> dict[str, tuple[int, float | None]]:
    """Size in bytes of each form the frames have, and how many times the sparse form it is.

    The sparse form is the file, or without one the picked pixels as plain arrays. Of a sample, the ratios are per
    frame: the files hold all frames.
    """
    forms: dict[str, int | None] = {
        "plain frames": comparison.dense_bytes,
        "frames under bitshuffle-LZ4": comparison.packed_bytes,
        "raw files": comparison.raw_bytes,
        _PICKED: comparison.payload_bytes,
        "sparse file": comparison.sparse_bytes,
    }
    base = comparison.sparse_bytes or comparison.payload_bytes
    own = "sparse file" if comparison.sparse_bytes else _PICKED
    part = comparison.frames / comparison.of if comparison.of else 1.0
    shares: dict[str, float] = {label: 1.0 if label in ("raw files", "sparse file") else part for label in forms}
    per_frame = base / shares[own]
    return {
        label: (size, None if label in (own, _PICKED) or not base else size / shares[label] / per_frame)
        for label, size in forms.items()
        if size is not None
    }


def comparison_dict(comparison: ComparisonSums) -> dict[str, Any]:
    """See `Comparison.to_dict`."""
    total = comparison.total
    plain = ("frames", "of", "vetoed", "thin", "wrong_picked", "wrong_unusable", "exact")
    size = ("dense_bytes", "packed_bytes", "payload_bytes", "raw_bytes", "sparse_bytes")
    return {
        **{name: getattr(comparison, name) for name in (*plain, *size)},
        "unit": comparison.unit,
        "edges": [_plain(value) for value in comparison.edges],
        "d": [_plain(value) for value in comparison.d],
        "shells": [_row(comparison, i) for i in range(len(comparison.sums))],
        "total": _row(total, 0) if len(total.sums) else None,
        "reflections": None if comparison.reflections is None else audit_dict(comparison.reflections),
    }


def _row(comparison: ComparisonSums, i: int) -> dict[str, Any]:
    ratios = {name: _plain(getattr(comparison, name)[i]) for name in _COLUMNS}
    sums = {name: _plain(comparison.sums[name][i]) for name in comparison.sums.dtype.names or ()}
    return ratios | {"sums": sums}


def _plain(value: Any) -> int | float | None:
    number = np.asarray(value).item()
    return number if isinstance(number, int) or np.isfinite(number) else None
