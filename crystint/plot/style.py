"""How crystint's figures look, and how they are saved. Matplotlib is imported when a figure is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystint.errors import SettingError
from crystint.io.outputs import atomic_path, utf8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = [
    "ACCENT",
    "BLUE",
    "GREY",
    "INK",
    "MASKED",
    "RING",
    "RING_TEXT",
    "TITLE",
    "figure_of",
    "finish",
    "frame_colours",
    "new_figure",
    "one_panel",
    "save_figure",
    "save_pages",
    "style",
    "titled_panels",
]

INK, GREY, ACCENT, BLUE = "#1d2430", "#7a8391", "#c8102e", "#1f6fb4"
MASKED = "#c9dcec"
RING, RING_TEXT = "#d9822b", "#a85a10"

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "grid.color": "#e3e7ec",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.usetex": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.bbox": None,
    "svg.hashsalt": "crystint",
    "svg.fonttype": "path",
}

TITLE: dict[str, Any] = {"fontsize": 13, "fontweight": "bold", "parse_math": False}

_PANEL = (4.4, 3.6)
"""Width and height of a picture of one panel, inches."""
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": "crystint"},
    "pdf": {"Creator": "crystint", "Producer": "crystint", "CreationDate": None},
    "svg": {"Creator": "crystint", "Date": None},
}


@contextmanager
def style() -> Iterator[None]:
    """The settings under which figures are made and saved, whatever the user's own are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches, known to no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150)
    FigureCanvasAgg(figure)
    return figure


def titled_panels(title: str, about: Sequence[str], count: int, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with a title, a line of facts below it, and panels of one size in rows."""
    columns = min(columns, count)
    rows = -(-count // columns)
    height = 1.35 + 3.6 * rows
    figure = new_figure(1.2 + 4.0 * columns, height)
    grid = figure.add_gridspec(
        rows, columns, left=0.8 / (1.2 + 4.0 * columns), right=0.975, top=1.0 - 1.05 / height, bottom=0.55 / height,
        hspace=0.36, wspace=0.28,
    )  # fmt: skip
    figure.text(0.8 / (1.2 + 4.0 * columns), 1.0 - 0.4 / height, title, **TITLE)
    figure.text(0.8 / (1.2 + 4.0 * columns), 1.0 - 0.66 / height, "   ·   ".join(about), fontsize=9, color=GREY)
    return figure, [figure.add_subplot(grid[number // columns, number % columns]) for number in range(count)]


def finish(axes: Axes, title: str, x: str, y: str, *, grid: bool = True) -> None:
    """Title, labels, grid and spines of a panel."""
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title)
    axes.grid(visible=grid)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def figure_of(axes: Axes, title: str | None = None, pad: float | None = None) -> Figure:
    """The figure that given axes belong to, and a title `pad` points above them."""
    if title:
        axes.set_title(title, pad=pad)
    figure: Any = axes.get_figure()
    return figure  # type: ignore[no-any-return]


def one_panel(
    draws: Mapping[str, Callable[[Axes], None]],
    panel: str,
    *,
    title: str | None = None,
    ax: Axes | None = None,
    pad: float | None = None,
) -> Figure:
    """One of the panels of a picture, by its name, in axes of the user's or on a figure of its own.

    A title of the user's is `pad` points above the panel.

    Raises
    ------
    SettingError
        For a panel that is not there.
    """
    if panel not in draws:
        raise SettingError(f"panel is {panel!r}, but this run has {', '.join(draws)}")
    with style():
        axes = new_figure(*_PANEL).add_subplot() if ax is None else ax
        draws[panel](axes)
        return figure_of(axes, title, pad)


def frame_colours() -> Colormap:
    """White through slate to near black for counts, a pale blue for pixels without a measurement."""
    from matplotlib.colors import LinearSegmentedColormap

    steps = ["#ffffff", "#dfe4ea", "#9aa5b4", "#4a566a", "#161b26", "#000000"]
    colours = LinearSegmentedColormap.from_list("crystint", steps, N=512)
    return colours.with_extremes(bad=MASKED)


def save_figure(figure: Figure, path: str | PathLike[str], *, overwrite: bool = False, dpi: float = 150) -> None:
    """Write a figure as PNG, PDF or SVG, by the suffix of `path`. Equal figures give equal bytes: no dates.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        Ends with .png, .pdf or .svg.
    overwrite : bool
        Replace an existing file.
    dpi : float
        Of PNG.

    Raises
    ------
    SettingError
        For another suffix.
    FileError
        When the file exists and `overwrite` is False, or cannot be written.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from crystint.plot import save_figure
    >>> save_figure(Figure(figsize=(2, 2)), "empty.png", dpi=72)
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in _METADATA:
        suffixes = ", ".join(f".{name}" for name in _METADATA)
        raise SettingError(f"figure {Path(path).name!r} has the suffix {kind!r}, expected one of {suffixes}")
    _writable(figure)
    with style(), atomic_path(Path(path), overwrite=overwrite) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=_METADATA[kind])


def save_pages(figures: Sequence[Figure], path: Path, *, overwrite: bool = False) -> None:
    """Write figures as the pages of a PDF; equal figures give equal bytes, as of `save_figure`."""
    from matplotlib.backends.backend_pdf import PdfPages

    with (
        style(),
        atomic_path(path, overwrite=overwrite) as temporary,
        PdfPages(temporary, metadata=_METADATA["pdf"]) as pages,
    ):
        for figure in figures:
            _writable(figure)
            pages.savefig(figure)


def _writable(figure: Figure) -> None:
    """Make of all texts what can be written: names of files may be in it."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_text(utf8(text.get_text()))
