"""One guard round every reader: what is wrong with a file is a FileError of the file, the place in it and the cause.

A damaged file makes its reader trip anywhere, in crystint or in a library: on a missing name, a negative count, bytes
that are no text, a shape that no array can have. What is raised says nothing of the file; the guard does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import ParamSpec, TypeVar

from crystint.errors import CrystintError, FileError, unreadable

__all__ = ["guarded", "reads_file"]

_OF_THE_PROGRAM = (Warning, ImportError, NameError)
"""What no file causes: a module that is not installed, a name that is not there, a warning that was made an error."""
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def guarded(file: object, place: str = "") -> Iterator[None]:
    """What is raised in the block, where only a file is read, becomes an error of that file.

    Errors of crystint stay what they are; those that do not name the file do so afterwards.

    Parameters
    ----------
    file : path or name
    place : str
        In the file: "frame 3", "/entry/data".

    Raises
    ------
    FileError
    """
    where = f"{file}, {place}" if place else f"{file}"
    try:
        yield
    except CrystintError as error:
        if Path(str(file)).name in str(error):
            raise
        raise type(error)(f"{where}: {error}") from error
    except _OF_THE_PROGRAM:
        raise
    except OSError as error:
        if error.filename is not None and error.strerror:
            raise unreadable(error.filename, error) from error
        raise FileError(f"{where}: {_cause(error)}") from error
    except Exception as error:  # libraries raise anything, from AssertionError to SystemError
        raise FileError(f"{where}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """What went wrong, in words."""
    text = str(error)
    if isinstance(error, MemoryError):
        return f"it needs more memory than there is ({text or 'no more is told'}); is it damaged?"
    if isinstance(error, RecursionError):
        return "it is damaged: what it holds is nested too deeply, or in itself"
    if isinstance(error, KeyError) and len(error.args) == 1:
        missing = str(error.args[0])
        return f"it is damaged, or lacks a part: {missing if ' ' in missing else f'{missing!r} is missing'}"
    links = ", or its links lead nowhere" if "link traversal" in text else ""
    return f"it is damaged{links}: {text or type(error).__name__}"


def reads_file(reader: Callable[P, R]) -> Callable[P, R]:
    """A reader, whose first argument is a path or an `OpenedFile`, with the guard round it.

    That of a class method is the one behind the class.
    """
    names = list(signature(reader).parameters)
    place = int(names[0] == "cls")
    first = names[place]

    @wraps(reader)
    def read(*arguments: P.args, **options: P.kwargs) -> R:
        file = arguments[place] if len(arguments) > place else options.get(first)
        with guarded(getattr(file, "path", file)):
            return reader(*arguments, **options)

    return read
