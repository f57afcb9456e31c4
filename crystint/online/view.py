"""``crystint view``: the page of the online service on finished files, in one process."""

from __future__ import annotations

import os
import re
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crystint.engine import Engine
from crystint.errors import CrystintError, FileError, SettingError
from crystint.io.kinds import kind_of
from crystint.io.linked_files import linked_by
from crystint.io.names import Source, each_once, expand
from crystint.online.serve import Stop
from crystint.online.settings import AnalysisSettings, ViewSettings
from crystint.online.web_address import WebAddress, checked_address
from crystint.run.outcome import ExitCode
from crystint.run.settings import DetectorSettings

__all__ = ["series_of_files", "view"]

_NEEDED = ("fastapi", "uvicorn", "websockets")
_LAST_WORDS = 2
"""s that requests have to end"""
_DATA = re.compile(r"(.+_data_)\d+(\.\w+)")
"""Names of the data files of a master, which are one series where it is not there"""


def view(
    settings: ViewSettings,
    files: Sequence[Source],
    stop: Stop,
    say: Callable[[str], None],
    tell: Callable[[str], None],
) -> int:
    """Show files until it is stopped.

    Parameters
    ----------
    settings : ViewSettings
    files : sequence of path or pattern
    stop : Stop
    say, tell : callable
        Take lines: what the user needs, and what happens.

    Returns
    -------
    int
        The exit code: 0; 1 when some of the files could not be shown.

    Raises
    ------
    CrystintError
        When it cannot begin, or none of the files can be shown.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SettingError(f"{', '.join(missing)} is not installed: pip install 'crystint[online]'")
    paths = each_once(path for each in files for path in expand(each))
    root = _root(settings.data_root, paths)
    host, tokens = checked_address(settings, tell)
    engine = Engine(settings.device)

    from crystint.online.auth import Access
    from crystint.online.file_control import FileControl
    from crystint.online.history import History
    from crystint.online.opened_files import OpenedFiles
    from crystint.online.server import create_app
    from crystint.online.state_folder import default_state

    history = History()
    control = FileControl(engine, _part(AnalysisSettings, settings), history)
    opened = OpenedFiles(root, history, lambda: engine, _part(DetectorSettings, settings))
    failed = _open_all(opened, paths, tell)
    control.look_at(opened.series())
    opened.opened = control.look_at
    address = WebAddress.bound(settings, host, tokens)
    try:
        app = create_app(
            control,
            history,
            access=Access(tokens, host, encrypted=settings.certificate is not None),
            data_root=root,
            state=default_state(),
            source="files",
        )
        broker = app.state.broker
        broker.files, broker.engine = opened, lambda: engine
        with _Serving(app, address, settings):
            say(address.url)
            if address.forward:
                say(f"from another machine: {address.forward}")
            if _has_screen() if settings.open is None else settings.open:
                threading.Thread(target=webbrowser.open, args=(address.url,), name="browser", daemon=True).start()
            stop.wait()
    finally:
        address.listening.close()
        opened.close()
    return int(ExitCode.FAILED if failed else ExitCode.DONE)


def _open_all(opened: Any, paths: Sequence[Path], tell: Callable[[str], None]) -> int:
    """Open them, frames first; how many could not be."""
    groups = series_of_files(paths)
    failed: list[str] = []
    shown: list[str] = []
    for group in groups:
        try:
            opening = opened.open_named(group)
        except CrystintError as error:
            failed.append(str(error))
            continue
        series, name = opening.series, opened.name_of(group)
        if str(series.key) in shown:
            tell(f"{name}: over {series.key}")
        else:
            tell(f"{name}: {series.kind}, {len(series.frames)} images")
            shown.append(str(series.key))
        for text in opening.notes:
            tell(text)
    if len(failed) == len(groups):
        raise FileError("; ".join(dict.fromkeys(failed)))
    if len(shown) > 1:
        opened.to_front(shown[0])
    for text in failed:
        tell(f"not shown: {text}")
    return len(failed)


def series_of_files(paths: Sequence[Path]) -> list[list[Path]]:
    """Which files are one series: frames that have an image each and names that differ in their last number alone.

    Series of frames come first, so that peak lists find them; files whose frames another one of them shows are left
    out, and so are those that cannot be recognised put last, each by itself.
    """
    from crystint.online.opened_files import numbered

    shown = {os.path.realpath(other) for path in paths for other in linked_by(path)}
    groups: dict[str, list[Path]] = {}
    others: list[list[Path]] = []
    for path in paths:
        if os.path.realpath(path) in shown and any(
            os.path.realpath(path) in map(os.path.realpath, linked_by(other)) and _is_frames(other) for other in paths
        ):
            continue
        if not _is_frames(path):
            others.append([path])
            continue
        data = _DATA.fullmatch(path.name)
        name = path.name
        if data is not None:
            name = f"{data[1]}*{data[2]}"
        elif path.suffix.lower() not in (".h5", ".hdf5", ".hdf", ".nxs", ".cxi"):
            name = numbered(path.name)
        groups.setdefault(str(path.with_name(name)), []).append(path)
    return [*groups.values(), *others]


def _is_frames(path: Path) -> bool:
    try:
        return kind_of(path).name == "frames"
    except CrystintError:
        return False  # whoever opens it says why


def _root(root: Path | None, paths: Sequence[Path]) -> Path:
    """The data root: that which was asked for, or the folder that holds the files."""
    if not paths:
        raise SettingError("no file given; name at least one")
    folders = [Path(os.path.abspath(path)).parent for path in paths]
    if root is None:
        return Path(os.path.commonpath(folders))
    whole = Path(os.path.abspath(root))
    if not whole.is_dir():
        raise SettingError(f"data_root is {root}, expected a folder that is there")
    outside = [path for path, folder in zip(paths, folders) if not folder.is_relative_to(whole)]
    if outside:
        raise SettingError(f"{outside[0]} lies outside of the data root {root}: choose another --data-root")
    return whole


def _part(model: Any, settings: ViewSettings) -> Any:
    """The settings of a model that they have, too."""
    return model(**{name: getattr(settings, name) for name in model.model_fields})


def _has_screen() -> bool:
    """Whether a browser can show something."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


class _Serving:
    """The application, served in a thread."""

    def __init__(self, app: Any, address: WebAddress, settings: ViewSettings) -> None:
        import uvicorn

        self._app, self._address = app, address
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # whoever asks is who connects
                ws_per_message_deflate=False,  # views are packed already
                timeout_graceful_shutdown=_LAST_WORDS,
                ssl_certfile=settings.certificate,
                ssl_keyfile=None if settings.certificate_key is None else str(settings.certificate_key),
            )
        )
        self._thread = threading.Thread(target=self._run, name="web")

    def _run(self) -> None:
        self._server.run(sockets=[self._address.listening])

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._app.state.broker.close()
        self._server.should_exit = True
        self._thread.join()
