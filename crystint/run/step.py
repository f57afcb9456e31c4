"""A step, and the one way in which every step runs.

A step is a settings model and a function ``(job) -> Outcome``. What surrounds the function is the same for all of them
and is here: outputs are checked against every file that is read before any work begins, outputs are written by their
suffix, all of them or none, and carry where they come from.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Generic, TypeVar

from crystint.arrays import FileName
from crystint.errors import SettingError, warn
from crystint.references import resolve
from crystint.run.execution import PLAIN, Execution
from crystint.run.outcome import Outcome
from crystint.run.part import PartFinished
from crystint.run.settings import StepSettings

__all__ = ["HDF5", "PICTURES", "Argument", "Job", "Outputs", "Progress", "Step", "carry_out", "silent"]

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""(items, how many, what is being done) -> the items"""
PICTURES = (".png", ".pdf", ".svg")
HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")
S = TypeVar("S", bound=StepSettings)


def silent(items: Iterable[Any], _total: int, _what: str) -> Iterable[Any]:
    """The items: progress that is not shown."""
    return items


@dataclass(frozen=True, slots=True)
class Argument:
    """What a step reads, as it is named on the command line."""

    name: str
    metavar: str
    many: bool = False
    required: bool = True
    files: bool = True
    """False = not the name of a file"""
    meaning: str = ""
    """in a few words"""
    kinds: tuple[str, ...] = ()
    """of files that it takes, by the names of `crystint.io.kinds`"""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a step writes."""

    help: str
    suffixes: tuple[str, ...] = ()
    """that say the format; none = any"""
    many: bool = False
    required: bool = True
    folder: str = ""
    """the output is a folder, by default of this name"""


@dataclass(frozen=True, eq=False)
class Step(Generic[S]):
    """One operation of crystint from files to files."""

    name: str
    """as on the command line, such as "stills merge" """
    settings: type[S]
    work: Callable[[Job[S]], Outcome] | str
    """the function, or "module:function", which is then imported when the step runs"""
    arguments: tuple[Argument, ...] = ()
    outputs: Outputs | None = None
    by_frame: bool = False
    """frames are processed in parallel, those that cannot be read are left out, and runs can be resumed"""
    device: str | None = None
    """why the OpenCL device matters in other words than usual; "" = it does not; None = it does"""
    joins: bool = False
    """the step writes the files of its parts itself, as outputs, and joins them"""
    hidden: tuple[str, ...] = ()
    """settings that are taken from TOML, but are no options of this step"""
    picture: str = ""
    """ "module:function" that draws a result, for outputs that are pictures"""
    json: bool = False
    """the outcome has data for --json"""

    def __call__(
        self,
        *inputs: FileName | Sequence[FileName] | None,
        outputs: FileName | Sequence[FileName] = (),
        settings: S | Mapping[str, Any] | None = None,
        overwrite: bool = False,
        progress: Progress = silent,
        command: Sequence[str] | None = None,
        execution: Execution = PLAIN,
        device: str | None = None,
    ) -> Outcome:
        """Run the step from Python: `inputs` in the order of `arguments`.

        Parameters
        ----------
        inputs
            One for each of `arguments`; of one that takes many files a sequence.
        outputs
            Files to write; the suffix is the format.
        settings : model or mapping of name to value, optional
        progress : callable
            ``(items, how many, what) -> items``, to watch how far it is.
        command : sequence of str, optional
            For the provenance; None = ``sys.argv``.
        execution : Execution
            Threads, strictness, resumption, cluster.
        device : str, optional
            As `crystint.Engine` takes it, in place of that of `execution`.

        Raises
        ------
        CrystintError
            As the step does. No output is left then.
        """
        if settings is None or isinstance(settings, Mapping):
            settings = self.settings.of(settings)
        named: dict[str, tuple[FileName, ...]] = {}
        for argument, values in zip(self.arguments, inputs, strict=True):
            if values is None:
                named[argument.name] = ()
            else:
                named[argument.name] = (values,) if isinstance(values, str | PathLike) else tuple(values)
        paths = (outputs,) if isinstance(outputs, str | PathLike) else tuple(outputs)
        if device is not None:
            execution = replace(execution, device=device)
        job = Job(
            self,
            settings,
            named,
            tuple(map(Path, paths)),
            execution,
            overwrite=overwrite,
            progress=progress,
            command=tuple(sys.argv if command is None else command),
        )
        return carry_out(job)


@dataclass(frozen=True, eq=False)
class Job(Generic[S]):
    """A step that is to be run: what it is given."""

    step: Step[S]
    settings: S
    inputs: Mapping[str, tuple[FileName, ...]]
    """files of each of ``step.arguments``, patterns among them"""
    outputs: tuple[Path, ...] = ()
    execution: Execution = PLAIN
    overwrite: bool = False
    progress: Progress = silent
    command: tuple[str, ...] = ()
    more_read: tuple[Path, ...] = ()
    """files that no output may replace, beside those that are named: the parts that are merged"""
    config: Path | None = None
    """file that settings came from"""
    part_file: Path | None = None
    """of a run that does a part"""
    apart: Progress | None = None
    """progress of a part that leaves the step when its records are there; None = all frames are done, or the step
    writes the file of its part itself"""
    finished_part: bool = False
    """the file of the part is there, and no journal is: there is nothing left to do"""
    finished: bool = False
    """the run is to be resumed, but its outputs are there and no journal is: there is nothing left to do"""

    @property
    def name(self) -> str:
        """Of the step."""
        return self.step.name

    def input(self, name: str) -> Path:
        """The one file of an argument."""
        (source,) = self.inputs[name]
        return Path(source)

    @property
    def begun(self) -> Path:
        """The output that the journal is of: the first, or the file of the part."""
        return self.outputs[0] if self.part_file is None else self.part_file

    @property
    def sources(self) -> tuple[FileName, ...]:
        """Everything that is read as far as it is named: arguments and settings that are files."""
        named = [source for argument in self.step.arguments if argument.files for source in self.inputs[argument.name]]
        return (*named, *self.settings.files(), *([] if self.config is None else [self.config]))

    @property
    def guarded(self) -> tuple[FileName, ...]:
        """Everything that no output may replace, as far as it is named."""
        return (*self.sources, *self.more_read)

    def reads(self, *files: FileName | Iterable[FileName]) -> None:
        """Refuse to write over `files`, which the step is about to read although no argument names them.

        Raises
        ------
        FileError
            When one of them is an output.
        """
        from crystint.io.outputs import check_outputs

        more = [one for group in files for one in ([group] if isinstance(group, str | PathLike) else group)]
        if self.outputs:
            check_outputs(self.outputs, more, overwrite=True)

    def provenance(
        self, inputs: Iterable[FileName] | None = None, command: Sequence[str] | None = None, **used: Any
    ) -> dict[str, Any]:
        """The record that the outputs carry: every setting and every input.

        Parameters
        ----------
        inputs
            Names of what was read, where it is known better than from the arguments, as of a pattern.
        command
            Of the run as it was begun, where it is resumed.
        used
            What was used where a setting leaves it open, such as the geometry of the frames.
        """
        from crystint.io.hdf5.provenance import provenance

        names = self.sources if inputs is None else inputs
        files = list(dict.fromkeys(fspath(name) for name in names))
        return provenance(self.settings.plain() | used, files, list(self.command if command is None else command))

    def nothing_to_do(self, inputs: Iterable[FileName] | None = None, **used: Any) -> Outcome:
        """The outcome of a run that is to be resumed though it has finished, when its outputs are of this run.

        Raises
        ------
        FileError
            When they are not.
        """
        from crystint.run.resume import check_made

        numbers = check_made(self.outputs, self.provenance(inputs, **used))
        names = ", ".join(shlex.quote(str(path)) for path in self.outputs)
        missing = dict.fromkeys(numbers, f"recorded as missing in {names}")
        return Outcome(f"nothing left to do: {names} finished before", missing=missing, unchanged=True)

    def write(self, result: Any, writers: Mapping[str, Callable[[Path], None]] | Callable[[Path], None]) -> None:
        """Write all of the outputs, each in the format of its suffix, or none.

        Parameters
        ----------
        result
            What is drawn where the suffix is that of a picture, the step has one, and no writer is for that suffix.
        writers : function of a path, or mapping of suffix to such functions
        """
        from crystint.io.outputs import files_of

        if self.apart is not None:
            raise SettingError(f"--part is of frames, and {self.name} has none to go through here")
        made: list[Path] = []
        try:
            for path in self.outputs:
                made += [file for file in files_of(path) if not file.exists()]
                suffix = path.suffix.lower()
                own = not callable(writers) and suffix in writers
                if suffix in PICTURES and self.step.picture and not own:
                    resolve("crystint.plot.style:save_figure")(
                        resolve(self.step.picture)(result), path, overwrite=self.overwrite
                    )
                elif callable(writers):
                    writers(path)
                else:
                    writers[suffix](path)
        except BaseException:
            for file in made:
                file.unlink(missing_ok=True)
            raise


def _there(output: Path) -> bool:
    """Whether something is there that an output would replace; else inputs need not be opened to see what they show."""
    from crystint.io.outputs import files_of

    return any(os.path.lexists(path) for path in files_of(output))


def carry_out(job: Job[Any]) -> Outcome:
    """Run a step.

    Raises
    ------
    SettingError
        When an output has a suffix that the step does not write, or is given twice.
    FileError
        When an output exists and is not to be replaced, is one of the files that the step reads, or cannot be written.
    CrystintError
        As the step does. No output is left then.
    """
    step, how = job.step, job.execution
    job = _checked(job if how.part is None else _of_part(job))
    if step.device == "" and how.device is not None:
        from crystint.engine import find_device

        find_device(how.device)  # one that is not there is an error for all steps alike
        warn(f"{step.name} computes without an OpenCL device: --device {how.device} has no effect")
    start = time.monotonic()
    work = resolve(step.work) if isinstance(step.work, str) else step.work
    try:
        outcome: Outcome = work(job)
    except PartFinished as finished:
        return replace(_part_outcome(job, finished), seconds=time.monotonic() - start)
    return replace(outcome, outputs=outcome.outputs or job.outputs, seconds=time.monotonic() - start)


def _of_part(job: Job[Any]) -> Job[Any]:
    """The job of a part: what it writes has names of its own, in the folder of the outputs."""
    part = job.execution.part
    assert part is not None
    if not job.step.by_frame:
        raise SettingError(f"{job.name} does not go frame by frame: it has no parts")
    if not job.outputs:
        raise SettingError("a part is written beside the output: name it with -o")
    if job.execution.dask is not None:
        raise SettingError("--part is for machines that work alone, --dask for such that work together: give one")
    file = part.path(job.outputs[0])
    if job.step.joins:
        return replace(job, outputs=(file,), part_file=file)
    outputs = tuple(part.path(path, path.suffix) for path in job.outputs)
    return replace(job, outputs=outputs, part_file=file, apart=job.progress, progress=silent)


def _checked(job: Job[Any]) -> Job[Any]:
    """The job, when its outputs can be written; with what there is already of them."""
    from crystint.io.linked_files import files_read
    from crystint.io.outputs import check_outputs
    from crystint.run.journal import records_in
    from crystint.run.resume import is_finished

    step, how = job.step, job.execution
    if not job.outputs or step.outputs is None or step.outputs.folder:
        return job
    overwrite, written = job.overwrite, job.outputs if job.part_file is None else (job.part_file,)
    finished = False
    if step.by_frame:
        finished = is_finished(written, resume=how.resume, overwrite=job.overwrite)
        overwrite = overwrite or (how.resume and records_in(job.begun) > 0)
        part = job.part_file is not None
        job = replace(job, overwrite=overwrite, finished=finished and not part, finished_part=finished and part)
    inputs = files_read(job.guarded) if any(_there(path) for path in written) else job.guarded
    check_outputs(job.outputs, inputs, overwrite or finished or job.apart is not None, step.outputs.suffixes)
    check_outputs(written, inputs, overwrite or finished)
    return job


def _part_outcome(job: Job[Any], finished: PartFinished) -> Outcome:
    """Of a part: the step itself has not come to its end."""
    part, file = job.execution.part, job.begun
    if job.finished_part:
        done = f"nothing left to do: {shlex.quote(str(file))} finished before"
        return Outcome(done, missing=finished.missing, unchanged=True, outputs=(file,))
    text = f"{part}: {finished.done} frame{'' if finished.done == 1 else 's'}"
    return Outcome(
        text, frames=finished.done, of=finished.of, missing=finished.missing, resumable=True,
        outputs=() if finished.done < finished.of else (file,),
    )  # fmt: skip
