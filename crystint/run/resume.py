"""The files that a run is to write: checked before the work begins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crystint.errors import FileError, SettingError
from crystint.io.hdf5.provenance import differences, plain, read_provenance
from crystint.run.frames import Source
from crystint.run.journal import check_free, journal_of, records_in

__all__ = ["check_made", "check_outputs", "files_of", "is_finished"]

_WITH_NOTES = (".refl", ".xds")
"""Suffixes of peak lists that write a second file, <name>.json."""


def is_finished(outputs: Sequence[Source], *, resume: bool, overwrite: bool) -> bool:
    """Whether a run that is to be resumed has nothing left to do: its outputs are there and its journal is not.

    Raises
    ------
    FileError
        When there is a journal and the run is neither to be resumed nor to begin anew.
    """
    first = Path(outputs[0])
    begun = records_in(first)
    if begun and not (resume or overwrite):
        check_free(first)
        raise FileError(
            f"{journal_of(first)} holds {begun} frame{'s' if begun > 1 else ''} of a run that was interrupted: "
            "--resume goes on with it, --overwrite begins anew"
        )
    return resume and not overwrite and not begun and all(Path(output).is_file() for output in outputs)


def check_made(outputs: Sequence[Source], record: Mapping[str, Any]) -> None:
    """Raise unless finished outputs are what a run would make that has this provenance.

    Raises
    ------
    FileError
        When one was made from other inputs, with other settings, only in part, or not by crystint.
    """
    for path in map(Path, outputs):
        made = read_provenance(path)
        if "incomplete" in made:
            raise FileError(
                f"{path} holds {made['incomplete']['frames']} of {made['incomplete']['of']} frames, and its journal "
                f"{journal_of(path)} is gone: there is nothing to go on with; --overwrite begins anew"
            )
        found = differences(_what_matters(made), _what_matters(plain(record)))
        if found:
            raise FileError(f"{path} is no output of this run: {found}; --overwrite replaces it")


def _what_matters(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a result depends on, by name."""
    settings = {name: value for name, value in record.get("settings", {}).items() if name != "device"}
    inputs = [os.path.realpath(name) for name in record.get("inputs", ())]
    return {"version": record.get("version"), **settings, "inputs": inputs}


def check_outputs(outputs: Sequence[Source], sources: Sequence[Source], overwrite: bool) -> tuple[Path, ...]:
    """The outputs as paths, when each of them can be written; better now than after the work.

    Raises
    ------
    FileError
        When one exists and is not to be replaced, is one of the `sources`, or has no open folder.
    SettingError
        When one is given twice.
    """
    paths = tuple(Path(output) for output in outputs)
    read = {os.path.realpath(source) for source in sources}
    for path in (one for output in paths for one in files_of(output)):
        folder = path.parent
        if os.path.realpath(path) in read:
            raise FileError(f"{path} is also an input; give the output another name")
        if path.exists() and not path.is_file():
            raise FileError(f"{path} is not a file that could be replaced")
        if path.exists() and not overwrite:
            raise FileError(f"{path} exists; --overwrite replaces it")
        if not folder.is_dir():
            raise FileError(f"{path} cannot be written: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise FileError(f"{path} cannot be written: the folder {folder} is not writable")
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise SettingError(f"the same output twice: {', '.join(map(str, paths))}")
    return paths


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that an output is made of."""
    notes = path.with_name(path.name + ".json")
    return (path, notes) if path.suffix.lower() in _WITH_NOTES else (path,)
