"""``crystint plot``: a picture of a file of any kind."""

from __future__ import annotations

from crystint.errors import FileError, SettingError
from crystint.io.kinds import Recognised, kinds, kinds_read, opened_kind
from crystint.io.names import expand
from crystint.io.opened_file import OpenedFile
from crystint.plot.settings import PlotSettings
from crystint.plot.style import save_figure
from crystint.plot.view import Drawing, View
from crystint.references import resolve
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["plot"]


def plot(job: Job[PlotSettings]) -> Outcome:
    """Draw a file, or one of several files of frames, by what it is."""
    settings = job.settings
    files = tuple(expand(list(job.inputs["files"])))
    with OpenedFile(files[0], settings.dataset) as file:
        recognised = _recognised(file)
        if not recognised.kind.draw:
            raise FileError(f"{file.path} is {recognised.text}: there is nothing to draw")
        if len(files) > 1 and recognised.name != "frames":
            raise SettingError(f"{len(files)} files, the first of which is {recognised.text}: plot draws one at a time")
        drawing = resolve(recognised.kind.draw)(file, View(settings, files, job.execution.device))
    if not isinstance(drawing, Drawing):
        drawing = Drawing(drawing)
    job.write(drawing, lambda path: save_figure(drawing.figure, path, overwrite=job.overwrite))
    text = f"{files[0].name}: {recognised.name}" + (f" ({recognised.form})" if recognised.form else "")
    return Outcome(text + (f", {drawing.text}" if drawing.text else ""), drawing.figure)


def _recognised(file: OpenedFile) -> Recognised:
    """What a file is; frames, when a data set was named.

    Raises
    ------
    FileError
        When it is of no kind that is known.
    """
    if file.dataset is not None and file.hdf5 is not None:
        return Recognised(next(kind for kind in kinds() if kind.name == "frames"), "HDF5")
    recognised = opened_kind(file)
    if recognised is None:
        raise FileError(f"{file.path} is of no kind that crystint knows; it reads {kinds_read()}")
    return recognised
