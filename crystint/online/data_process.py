"""The data process: a service, its sinks, and what joins it with the process of the web interface."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from crystint.errors import SettingError
from crystint.online.control_server import ControlServer
from crystint.online.head import Head
from crystint.online.outputs import check_folder
from crystint.online.publish import ResultsPublisher
from crystint.online.ring import Ring
from crystint.online.service import Service
from crystint.online.settings import HeadSettings, ServeSettings
from crystint.online.sink import Sink
from crystint.online.sinks import sinks_of
from crystint.online.web_address import WebAddress, checked_address
from crystint.online.web_keeper import WebKeeper
from crystint.online.web_process import WebPlace
from crystint.online.zmq_sink import is_local
from crystint.separation.settings import Settings

__all__ = ["DataProcess"]

_NEEDED = ("zmq", "fastapi", "uvicorn", "websockets")


class DataProcess:
    """Everything that `crystint online serve` runs, in this process and in the one of the web interface.

    Parameters
    ----------
    settings : ServeSettings
    warn : callable
        Called with sentences about the settings.
    sinks : sequence of Sink
        Besides those that the settings ask for.

    Raises
    ------
    CrystintError
        When something does not fit; nothing is left open then.
    """

    def __init__(self, settings: ServeSettings, warn: Callable[[str], None], *sinks: Sink) -> None:
        head = settings if isinstance(settings, HeadSettings) else None
        if head is not None:
            _check_head(head)
        elif not settings.stream:
            raise SettingError("no stream: give --stream with the address of the detector, such as tcp://DCU:31001")
        if settings.per_image_http is not None and settings.data_root is None:
            raise SettingError("per_image_http looks at files, but data_root is not given: which folder they are in")
        missing = [name for name in _NEEDED if find_spec(name) is None]
        if missing:
            raise SettingError(f"{', '.join(missing)} is not installed: pip install 'crystint[online]'")
        if settings.out is not None:
            check_folder(settings.out)
        host, tokens = checked_address(settings, warn)
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="crystint-"))  # of this user alone
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            address = WebAddress.bound(settings, host, tokens)
            stack.callback(address.listening.close)
            spots = None
            if settings.per_image_http is not None:
                from crystint.online.per_image_http import bound_socket

                spots = stack.enter_context(bound_socket(settings.per_image_http)).fileno()
            ring = Ring(settings.ring)
            stack.callback(ring.close)
            self.url, self.forward = address.url, address.forward
            control, internal = (f"ipc://{self.folder}/{name}" for name in ("control", "results"))
            place = WebPlace(
                control, internal, ring.address, address.listening.fileno(), host, tokens.control, tokens.view,
                _text(settings.certificate), _text(settings.certificate_key), _text(settings.data_root or settings.out),
                _text(settings.state_dir), settings.jungfraujoch_routes, settings.channel, settings.device, spots,
                {name: value for name, value in settings.absolute().plain().items() if name in Settings.model_fields},
            )  # fmt: skip
            self.hasty = False
            self.web = WebKeeper(place, self.folder, self._web_ended)  # it takes as long to begin as all the rest
            stack.callback(self.web.close)
            self.nodes = ""
            """address for nodes, of a head"""
            if head is None:
                self.service = service = Service(settings=settings)
            else:
                token = "" if settings.token_file is None else tokens.control
                self.service = service = Head(head.nodes, token=token, settings=settings)
                self.nodes = service.link.address
            stack.callback(lambda: service.close(finish=not self.hasty))
            for sink in sinks:
                service.add(sink)
            for sink in (*sinks_of(settings, service.tell), ring):
                service.add(sink)
            service.add(ResultsPublisher(internal, service.tell, name="web", exact=True))
            service.open()
            stack.callback(ControlServer(service, control).close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self, *, hasty: bool = False) -> None:
        """End everything.

        Parameters
        ----------
        hasty : bool
            What waits is not looked at.
        """
        self.hasty = self.hasty or hasty
        self._stack.close()

    def _web_ended(self, text: str) -> None:
        service = getattr(self, "service", None)
        if service is not None:
            service.log.warn(text)

    def finish(self, timeout: float | None = None) -> bool:
        """Finish the series that runs, and wait until it is; whether it is."""
        self.service.stop()
        until = None if timeout is None else time.monotonic() + timeout
        while not self.service.intake.quiet:  # after an error it does not come to be idle
            self.service.wait("idle", 0.2)
            if until is not None and time.monotonic() > until:
                return False
        return True


def _check_head(settings: HeadSettings) -> None:
    if settings.stream:
        raise SettingError("stream: the head of nodes takes no images: give --stream to `crystint online node`")
    if not is_local(settings.nodes) and not (settings.allow_remote and settings.token_file):
        raise SettingError(
            f"nodes is {settings.nodes!r}, which other machines reach: give --allow-remote, and a --token-file that "
            "the nodes have, too"
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())
