"""Pictures of series of frames: their results over frame, angle, time or a raster, and sums over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.frame_table import COLUMNS, FrameStatus, is_known
from crystint.plot.style import ACCENT, BLUE, GREY, finish, frame_colours, style, titled_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crystint.series.summary import Series
    from crystint.series.sums import SumImages

__all__ = ["plot_series", "plot_sums"]

_UNIT = {column.name: column.unit for column in COLUMNS}
_LOWEST_IS_BEST = ("d_min", "background", "expected_false_spots")


def plot_series(series: Series) -> Figure:
    """A panel per column, over the frames or as a map of the raster; hits stand out, and missing frames are marked.

    Raises
    ------
    SettingError
        When angles or times are asked for that are not known.
    """
    rows = series.rows
    missing = int(np.count_nonzero(rows["status"] == FrameStatus.MISSING))
    about = [f"{len(rows)} frames"]
    about += [f"{np.count_nonzero(rows['hit'] == 1)} hits"] if (rows["hit"] >= 0).any() else []
    about += [f"{missing} missing"] if missing else []
    if series.raster is not None:
        about.append(f"{series.raster.fast} x {series.raster.slow} cells" + ", zigzag" * series.raster.zigzag)
    with style():
        figure, panels = titled_panels(series.title or "Frames", about, len(series.columns), columns=2)
        for axes, name in zip(panels, series.columns, strict=True):
            values = np.where(is_known(rows[name]), rows[name].astype(np.float64), np.nan)
            label = f"{name} ({_UNIT[name]})" if _UNIT[name] else name
            if series.raster is None:
                _curve(axes, series, values, name, label)
            else:
                _map(figure, axes, series, values, name, label)
    return figure


def _places(series: Series) -> tuple[NDArray[np.float64], str]:
    rows = series.rows
    if series.x == "frame":
        return rows["frame"].astype(np.float64), "frame"
    x = rows[series.x]
    if not np.isfinite(x).any():
        others = ["frame", *(name for name in ("angle", "time") if np.isfinite(rows[name]).any())]
        raise SettingError(f"the {series.x} of these frames is not known: x can be {' or '.join(others)}")
    if series.x == "time":
        return np.asarray(x - np.nanmin(x)), "time from the first frame (s)"
    return x, "angle (degrees)"


def _curve(axes: Axes, series: Series, values: NDArray[np.float64], name: str, label: str) -> None:
    x, x_label = _places(series)
    hit = series.rows["hit"] == 1
    for some, colour, text in ((~hit, GREY, "no hit"), (hit, BLUE, "hit")):
        if some.any():
            axes.plot(x[some], values[some], "o", color=colour, markersize=3, markeredgewidth=0, label=text)
    absent = series.rows["status"] == FrameStatus.MISSING
    if absent.any():
        places = x[absent & np.isfinite(x)]
        axes.plot(places, np.zeros(len(places)), "|", color=ACCENT, markersize=6, label="missing",
                  transform=axes.get_xaxis_transform(), clip_on=False)  # fmt: skip
    if not np.isfinite(values).any():
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=GREY)
    elif hit.any() or absent.any():
        axes.legend(loc="best", handletextpad=0.2)
    finish(axes, name, x_label, label)


def _map(figure: Figure, axes: Axes, series: Series, values: NDArray[np.float64], name: str, label: str) -> None:
    raster = series.raster
    assert raster is not None
    cells = raster.map(values)
    image = axes.imshow(np.ma.masked_invalid(cells), cmap="viridis", origin="upper", interpolation="nearest",
                        aspect="equal", extent=(-0.5, raster.fast - 0.5, raster.slow - 0.5, -0.5))  # fmt: skip
    axes.set_facecolor("#e7e9ed")
    absent = raster.map(series.rows["status"] == FrameStatus.MISSING) > 0
    slow, fast = np.nonzero(absent)
    axes.plot(fast, slow, "x", color=ACCENT, markersize=4)
    best = raster.best(values, lowest=name in _LOWEST_IS_BEST)
    title = label
    if best is not None:
        axes.plot([best.fast], [best.slow], "s", markerfacecolor="none", markeredgecolor=ACCENT, markersize=9)
        title = f"{label}: best {best.value:.4g} at {best.fast}, {best.slow} (frame {best.frame})"
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.03)
    axes.locator_params(integer=True)
    finish(axes, title, "fast (cells)", "slow (cells)", grid=False)


def plot_sums(sums: SumImages) -> Figure:
    """A panel per image, with a scale from the darkest to the brightest per cent."""
    about = [f"{sums.frames} frames"] + (["peaks"] if sums.peaks else [])
    with style():
        figure, panels = titled_panels(sums.title or "Sum", about, len(sums.images), columns=2)
        for axes, (name, image) in zip(panels, sums.images.items(), strict=True):
            _image(figure, axes, image, sums, name)
    return figure


def _image(figure: Figure, axes: Axes, image: NDArray[Any], sums: SumImages, name: str) -> None:
    from matplotlib.colors import PowerNorm

    shown = image.astype(np.float64)
    if sums.mask is not None:
        shown[sums.mask != 0] = np.nan
    finite = shown[np.isfinite(shown)]
    low, high = (float(finite.min()), float(np.percentile(finite, 99.8))) if len(finite) else (0.0, 1.0)
    norm = PowerNorm(0.5, low, high if high > low else low + 1.0, clip=True)
    drawn = axes.imshow(np.ma.masked_invalid(shown), cmap=frame_colours(), norm=norm, interpolation="nearest")
    unit = sums.units[name]
    figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.03)
    finish(axes, f"{sums.meaning[name]} ({unit})" if unit else sums.meaning[name], "fast (px)", "slow (px)", grid=False)
