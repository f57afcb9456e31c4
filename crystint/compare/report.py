"""A comparison as text, and as JSON-able values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from crystint.compare.comparison import Comparison

__all__ = ["comparison_dict", "comparison_table", "readable_size", "sizes"]

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


def comparison_table(comparison: Comparison) -> str:
    """See `Comparison.table`."""
    if not len(comparison.sums):
        return "no frames were compared"
    found, total = comparison, comparison.total
    by_d = found.unit == "q"
    edges, total_edges = (found.d, total.d) if by_d else (1e3 * found.edges, 1e3 * total.edges)
    titles = ("d", "angstrom") if by_d else ("radius", "mm")
    lines = [
        _joined(f"{titles[0]:>18s}", [top for top, _, _ in _TABLE]),
        _joined(f"{titles[1]:>18s}", [name for _, name, _ in _TABLE]),
    ]
    lines += [_line(edges[i : i + 2], found, i) for i in range(len(found.sums))]
    lines += [_line(total_edges, total, 0), "", _LEGEND, ""]
    return "\n".join(lines + [f"{label:<34s}{value}" for label, value in _summary(found)])


def _joined(label: str, cells: Sequence[str]) -> str:
    return "  ".join([label, *(f"{cell:>{row[2]}s}" for cell, row in zip(cells, _TABLE))])


def _line(edges: NDArray[np.float64], found: Comparison, i: int) -> str:
    sums = found.sums[i]
    cells = (
        f"{sums['pixels']}",
        f"{found.mean[i]:.4g}",
        f"{found.bias_clean[i]:.2g}",
        f"{found.bias_noisy[i]:.2g}",
        f"({found.bias_error[i]:.1g})",
        f"{found.variance_raw[i]:.4g}",
        f"{found.variance_noisy[i]:.4g}",
        f"{100 * found.zeros_raw[i]:.2f}",
        f"{100 * found.zeros_noisy[i]:.2f}",
        f"{100 * found.picked_share[i]:.3f}",
        f"{100 * found.signal_kept[i]:.2f}",
        f"{sums['missed']}",
        f"{sums['strongest']:.2f}",
    )
    return _joined(f"{edges[0]:8.2f} -{edges[1]:8.2f}", cells)


def _summary(found: Comparison) -> list[tuple[str, str]]:
    def verdict(wrong: int) -> str:
        return "exact" if wrong == 0 else f"{wrong} WRONG"

    total = found.total.sums[0]
    lines = [
        ("frames", str(found.frames)),
        ("picked pixels", f"{total['picked']}, {verdict(found.wrong_picked)}"),
        ("unusable pixels", verdict(found.wrong_unusable)),
        ("missed pixels", f"{total['missed']}, together {total['missed_signal']:.6g} counts"),
    ]
    for label, (size, ratio) in sizes(found).items():
        share = "" if ratio is None else f" = {ratio:.3g} x the sparse form"
        lines.append((label, f"{readable_size(size)}{share}"))
    return lines


def sizes(found: Comparison) -> dict[str, tuple[int, float | None]]:
    """Size in bytes of each form the frames have, and how many times the sparse form it is.

    The sparse form is the file, or without one the picked pixels as plain arrays.
    """
    forms: dict[str, int | None] = {
        "plain frames": found.dense_bytes,
        "frames under bitshuffle-LZ4": found.packed_bytes,
        "raw files": found.raw_bytes,
        "picked pixels (index and value)": found.payload_bytes,
        "sparse file": found.sparse_bytes,
    }
    base = found.sparse_bytes or found.payload_bytes
    own = "sparse file" if found.sparse_bytes else "picked pixels (index and value)"
    return {
        label: (size, None if label == own or not base else size / base)
        for label, size in forms.items()
        if size is not None
    }


def readable_size(size: int) -> str:
    """Bytes as text, in the largest unit that fits."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size} B"


def comparison_dict(comparison: Comparison) -> dict[str, Any]:
    """See `Comparison.to_dict`."""
    total = comparison.total
    plain = ("frames", "wrong_picked", "wrong_unusable", "exact")
    size = ("dense_bytes", "packed_bytes", "payload_bytes", "raw_bytes", "sparse_bytes")
    return {
        **{name: getattr(comparison, name) for name in (*plain, *size)},
        "unit": comparison.unit,
        "edges": [_plain(value) for value in comparison.edges],
        "d": [_plain(value) for value in comparison.d],
        "shells": [_row(comparison, i) for i in range(len(comparison.sums))],
        "total": _row(total, 0) if len(total.sums) else None,
    }


def _row(found: Comparison, i: int) -> dict[str, Any]:
    ratios = {name: _plain(getattr(found, name)[i]) for name in _COLUMNS}
    sums = {name: _plain(found.sums[name][i]) for name in found.sums.dtype.names or ()}
    return ratios | {"sums": sums}


def _plain(value: Any) -> int | float | None:
    number = np.asarray(value).item()
    return number if isinstance(number, int) or np.isfinite(number) else None
