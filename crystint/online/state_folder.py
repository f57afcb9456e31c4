"""What the web interface keeps for people from day to day: layouts and alarms, as small files of one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crystint.errors import CrystintError, RefusedError
from crystint.io.outputs import atomic_path

__all__ = ["StateFolder", "default_state"]


def default_state() -> Path | None:
    """Where it is for who names none: $XDG_STATE_HOME/crystint, ~/.local/state/crystint; None = there is no home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):  # the specification has relative ones ignored
        return Path(base) / "crystint"
    try:
        return Path.home() / ".local" / "state" / "crystint"
    except RuntimeError:
        return None


class StateFolder:
    """A folder of small files, each of which is whole or not there. It is made when the first one is written.

    Parameters
    ----------
    path : path, optional
        None = there is none: nothing is there, and nothing can be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from crystint.online.state_folder import StateFolder
    >>> folder = StateFolder(Path("state"))
    >>> with folder.changing():
    ...     folder.write("layouts/mine.json", b"{}")
    >>> folder.read("layouts/mine.json"), folder.names("layouts")
    (b'{}', ['mine.json'])
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def read(self, name: str) -> bytes | None:
        """A file; None = there is none.

        Raises
        ------
        RefusedError
            When it cannot be read.
        """
        if self.path is None:
            return None
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RefusedError("wrong_state", f"{self.path / name} cannot be read: {error.strerror or error}") from None

    def stamp(self, name: str) -> tuple[int, int, int]:
        """Another one when the file is another one; zeros = there is none."""
        try:
            status = os.stat("" if self.path is None else self.path / name)
        except OSError:
            return 0, 0, 0
        return status.st_ino, status.st_mtime_ns, status.st_size

    def names(self, folder: str) -> list[str]:
        """Of the files of a folder in it, in their order.

        Raises
        ------
        RefusedError
            When it cannot be read.
        """
        if self.path is None:
            return []
        try:
            return sorted(entry.name for entry in os.scandir(self.path / folder) if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            text = f"{self.path / folder} cannot be read: {error.strerror or error}"
            raise RefusedError("wrong_state", text) from None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Whoever else changes the folder, in this process or another one, waits meanwhile.

        Raises
        ------
        RefusedError
            When it cannot be written.
        """
        if self.path is None:
            text = "nothing can be kept: there is no home directory; start the service with --state-dir FOLDER"
            raise RefusedError("wrong_state", text)
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._refusal(error.strerror or str(error)) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise self._refusal(error.strerror or str(error)) from None
        finally:
            os.close(lock)

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, in place of that of its name; within `changing`.

        Raises
        ------
        RefusedError
            When it cannot be written.
        """
        assert self.path is not None
        path = self.path / name
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            with atomic_path(path, overwrite=True) as part, open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except (CrystintError, OSError) as error:
            raise self._refusal(str(error)) from None

    def remove(self, name: str) -> None:
        """Remove a file; within `changing`."""
        assert self.path is not None
        (self.path / name).unlink(missing_ok=True)

    def _refusal(self, reason: str) -> RefusedError:
        text = f"nothing can be kept in {self.path}: {reason}; start the service with --state-dir FOLDER"
        return RefusedError("wrong_state", text)
