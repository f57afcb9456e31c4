"""Runs that are resumed: whether there is anything left to do, and whether what is there is of this run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crystint.errors import FileError
from crystint.io.hdf5.provenance import differences, plain, read_provenance
from crystint.run.journal import check_free, journal_of, records_in

__all__ = ["check_made", "is_finished"]


def is_finished(outputs: Sequence[Path], *, resume: bool, overwrite: bool) -> bool:
    """Whether a run that is to be resumed has nothing left to do: its outputs are there and its journal is not.

    Raises
    ------
    FileError
        When there is a journal and the run is neither to be resumed nor to begin anew.
    """
    first = outputs[0]
    begun = records_in(first)
    if begun and not (resume or overwrite):
        check_free(first)
        raise FileError(
            f"{journal_of(first)} holds {begun} frame{'s' if begun > 1 else ''} of a run that was interrupted: "
            "--resume goes on with it, --overwrite begins anew"
        )
    return resume and not overwrite and not begun and all(output.is_file() for output in outputs)


def check_made(outputs: Sequence[Path], record: Mapping[str, Any]) -> list[int]:
    """The frames that finished outputs lack, which must be what a run would make that has this provenance.

    Raises
    ------
    FileError
        When one was made from other inputs, with other settings, only in part, or not by crystint.
    """
    missing: set[int] = set()
    for path in outputs:
        made = read_provenance(path)
        if "incomplete" in made:
            raise FileError(
                f"{path} holds {made['incomplete']['frames']} of {made['incomplete']['of']} frames, and its journal "
                f"{journal_of(path)} is gone: there is nothing to go on with; --overwrite begins anew"
            )
        changes = differences(_what_matters(made), _what_matters(plain(record)))
        if changes:
            raise FileError(f"{path} is no output of this run: {changes}; --overwrite replaces it")
        missing.update(made.get("missing", ()))
    return sorted(missing)


def _what_matters(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a result depends on, by name."""
    settings = {name: value for name, value in record.get("settings", {}).items() if name != "device"}
    inputs = [os.path.realpath(name) for name in record.get("inputs", ())]
    return {"version": record.get("version"), **settings, "inputs": inputs}
