"""One frame of a file as a picture: the work behind ``crystint plot``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from crystint.errors import GeometryError, SettingError
from crystint.io.frames.sequence import open_frames
from crystint.io.peaks.files import read_peaks
from crystint.plot import plot_frame, save_figure
from crystint.run.frames import Source
from crystint.separation.prepared import opened
from crystint.separation.settings import Settings

__all__ = ["draw"]


def draw(
    sources: Sequence[Source],
    path: Path,
    settings: Settings,
    *,
    number: int = 0,
    peak_file: str | None = None,
    find: bool = False,
    device: str | None = None,
    overwrite: bool = False,
    warn: Callable[[str], None] = lambda _text: None,
) -> int | None:
    """Draw frame `number` and save it to `path`; returns the number of peaks drawn, None without peaks.

    `warn` is told when the geometry is missing and the rings with it.

    Raises
    ------
    SettingError
        When there is no such frame.
    CrystintError
        As the parts do; a missing geometry is an error only where peaks are to be found.
    """
    with open_frames(*sources, dataset=settings.dataset) as frames:
        total = len(frames)
        if not -total <= number < total:
            raise SettingError(f"frame is {number}, but there are {total}, numbered from 0")
        number %= total
        frame, mask = frames[number], frames.mask
    name = Path(sources[0]).name
    title = f"{name}, frame {number}" if total > 1 else name
    peaks = None
    if peak_file is not None:
        peaks = read_peaks(peak_file)
        peaks = peaks[peaks["frame"] == number]
    try:
        with opened(sources, settings, device) as run:
            if find:
                peaks = run.peaks(frame, number, settings.snr if settings.snr is not None else 5.0)
            figure = plot_frame(
                frame,
                background=run.separator.background(frame),
                peaks=peaks,
                geometry=run.geometry,
                mask=run.separator.rings.mask,
                title=title,
            )
    except GeometryError as error:
        if find or settings.geometry or settings.distance or settings.beam or settings.pixel_size:
            raise
        warn(f"drawn without rings: {error}")
        figure = plot_frame(frame, peaks=peaks, mask=mask, title=title)
    save_figure(figure, path, overwrite=overwrite)
    return None if peaks is None else len(peaks)
