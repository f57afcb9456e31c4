"""The program around the commands: one line per failure, exit codes, no traceback without --debug."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

import click

from crystint.commands.signals import INTERRUPTED, noting_ctrl_c
from crystint.errors import CrystintError, CrystintNote, CrystintWarning, GeometryError, SettingError
from crystint.io.outputs import utf8

__all__ = ["Command", "EndedError", "Program"]


class _StoppedError(Exception):
    """Ctrl-C, by a name that click does not turn into an empty line."""


class EndedError(Exception):
    """A run that wrote its output, but not all of it, or whose result is not as it must be.

    Parameters
    ----------
    message : str
        A line for each reason.
    code : int
        To leave with.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _debug_option() -> click.Option:
    text = "show the traceback of an error, and the warnings of libraries"
    return click.Option(["--debug"], is_flag=True, expose_value=False, help=text)


class Command(click.Command):
    """A command that knows --debug and ends its help with an example."""

    def __init__(self, *args: Any, example: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.example = example
        self.params.append(_debug_option())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example, in the lines it was written in."""
        super().format_epilog(ctx, formatter)
        if self.example:
            with formatter.section("Example"):
                formatter.write("".join(f"  {line.strip()}\n" for line in self.example.strip().splitlines()))


class Program(click.Group):
    """Turns every failure into one line on stderr: exit 1, 2 for a wrong argument, 3 for frames that are missing.

    4 says that a result is not as it must be; each requirement that it breaks is a line.
    """

    command_class = Command

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params.append(_debug_option())

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with noting_ctrl_c():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _StoppedError from None

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> NoReturn:
        """Run, and leave through `sys.exit` with 0 to 4, or 128 + the number of the signal that interrupted it."""
        debug = "--debug" in (sys.argv[1:] if args is None else args)
        more["standalone_mode"] = False
        with _quiet(debug):
            try:
                with _terminable():
                    code = super().main(args, prog_name or "crystint", **more)
                    click.echo("", nl=False)  # flush
            except BrokenPipeError:  # whoever read our output has left
                for stream in (sys.stdout, sys.stderr):
                    _discard_if_broken(stream)
                sys.exit(1)
            except (Exception, KeyboardInterrupt) as error:
                if debug:
                    traceback.print_exc()
                message, code = _judge(error)
                lines = [line.strip() for line in message.splitlines() if line.strip()] or ["failed"]
                if not isinstance(error, EndedError):
                    rest = " (--debug shows the rest)" if len(lines) > 1 and not debug else ""
                    lines = [lines[0] + rest]
                for line in lines:
                    click.echo(utf8(f"crystint: error: {line}"), err=True)
                if args is None:
                    for stream in (sys.stdout, sys.stderr):
                        with suppress(OSError):  # a full disk, or nobody who reads any more
                            stream.flush()
                    os._exit(code)  # HDF5 may crash at exit when a full disk kept it from closing a file
            gc.collect()
            gc.freeze()  # there is no need to look again while the interpreter ends
        sys.exit(code if isinstance(code, int) else 0)


def _judge(error: BaseException) -> tuple[str, int]:
    """What to say about an error, and the exit code."""
    match error:
        case _StoppedError() | KeyboardInterrupt() | click.Abort():
            return INTERRUPTED, 130
        case EndedError():
            return str(error), error.code
        case click.UsageError():
            place = f" (see: {error.ctx.command_path} --help)" if error.ctx else ""
            return error.format_message() + place, 2
        case click.ClickException():
            return error.format_message(), error.exit_code
        case SettingError():
            return str(error), 2
        case GeometryError():
            return str(error).replace("beam_outside=True", "beam_outside=True (--beam-outside)"), 1
        case CrystintError():
            return str(error), 1
        case MemoryError():
            return f"out of memory: {error or 'the machine has too little for this'}", 1
        case OSError():
            return f"{error.filename or _nameless(error)}: {error.strerror or error}", 1
        case _:
            return f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1


def _nameless(error: OSError) -> str:
    """What an OSError is about that names no file."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    return "standard output cannot be written" if where and where[0].name == click.echo.__name__ else "file"


def _discard_if_broken(stream: TextIO) -> None:
    """Throw away what a stream holds when nobody reads it; the interpreter would try again at its end."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _quiet(debug: bool) -> Iterator[None]:
    """Warnings of crystint are lines on stderr, each said once. Without --debug libraries say nothing there."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CrystintWarning)
        warnings.showwarning = _Lines(debug, warnings.showwarning)
        if debug:
            yield
            return
        root = logging.getLogger()
        silent = logging.NullHandler()  # a handler, so that `logging` does not fall back on stderr
        root.addHandler(silent)
        before = sys.excepthook, sys.unraisablehook
        sys.excepthook = sys.unraisablehook = _nothing  # h5py prints there when a full disk keeps it from closing
        try:
            yield
        finally:
            sys.excepthook, sys.unraisablehook = before
            root.removeHandler(silent)


def _nothing(*_args: object) -> None:
    """A hook that says nothing."""


class _Lines:
    """In place of `warnings.showwarning`: a line for each text, once. Warnings for developers stay hidden."""

    def __init__(self, debug: bool, show: Any) -> None:
        self._debug, self._show = debug, show
        self._texts: set[str] = set()

    def __call__(self, message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, UserWarning):
            text = str(message).splitlines()[0]
            if text not in self._texts:
                self._texts.add(text)
                kind = "note" if issubclass(category, CrystintNote) else "warning"
                click.echo(utf8(f"crystint: {kind}: {text}"), err=True)
        elif self._debug:
            self._show(message, category, *rest, **more)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP leave like an error does, so that temporary files go."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    try:
        before = [(number, signal.signal(number, leave)) for number in (signal.SIGTERM, signal.SIGHUP)]
    except ValueError:  # not in the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
