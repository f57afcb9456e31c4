"""The process of the web interface: it asks the data process, and may end at any time without harm.

``python -m crystint.online.web_process FILE`` is how `crystint.online.serve` starts it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from crystint.online.control_messages import pack, unpack

__all__ = ["WebPlace", "main", "start_command"]

_PATIENCE = 10.0
"""s that a change may take: another separator is made for it"""
_LAST_WORDS = 2.0
"""s that requests have to end"""


@dataclass(frozen=True)
class WebPlace:
    """What the process needs to know, in a file that its user alone may read."""

    control: str
    """address of the control of the data process"""
    results: str
    """address of its publisher"""
    ring: str | None
    """`Ring.address`"""
    socket: int
    """descriptor of the socket that listens: it stays open when this process ends"""
    host: str
    control_token: str
    view_token: str
    certificate: str | None = None
    certificate_key: str | None = None
    data_root: str | None = None
    state_dir: str | None = None
    jungfraujoch_routes: bool = True
    channel: str | None = None
    device: str | None = None
    per_image_http: int | None = None
    """descriptor of the socket that it listens at, which stays open as well"""
    search: dict[str, Any] = field(default_factory=dict)
    """settings of `crystint peaks`, for the images of files"""

    @property
    def sockets(self) -> tuple[int, ...]:
        """Descriptors that the process needs."""
        return (self.socket,) if self.per_image_http is None else (self.socket, self.per_image_http)

    def write(self, path: Path) -> None:
        """Write it to a file."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pack(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The inverse of `write`."""
        return cls(**unpack(path.read_bytes()))


def start_command(path: Path) -> list[str]:
    """The command that runs it."""
    return [sys.executable, "-m", "crystint.online.web_process", str(path)]


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM, or until nobody has its standard input open any more."""
    os.nice(10)
    place = WebPlace.read(Path(arguments[0]))
    import uvicorn

    from crystint.online.history import History
    from crystint.online.history_feed import HistoryFeed
    from crystint.online.proxy import ControlProxy
    from crystint.online.ring import RingReader

    history = History()
    with ExitStack() as stack:
        proxy = ControlProxy(place.control)
        stack.callback(proxy.close)
        stack.enter_context(HistoryFeed(place.results, history, proxy.events))
        ring = None if place.ring is None else stack.enter_context(RingReader(place.ring))
        if place.per_image_http is not None and place.data_root is not None:
            from crystint.online.per_image_http import PerImageServer
            from crystint.separation.settings import Settings

            settings = Settings(**place.search)
            spots = socket.socket(fileno=place.per_image_http)
            stack.callback(PerImageServer(spots, place.data_root, settings, place.device).close)
        app = _app(place, proxy, history, ring)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # whoever asks is who connects
                ws_per_message_deflate=False,  # views are packed already: 5 to 8 ms for a tenth of the bytes
                timeout_graceful_shutdown=int(_LAST_WORDS),
                ssl_certfile=place.certificate,
                ssl_keyfile=place.certificate_key,
            )
        )

        def watch() -> None:
            sys.stdin.buffer.read()  # until the data process ends
            app.state.broker.close()
            server.should_exit = True

        end = server.handle_exit

        def handle_exit(number: int, frame: Any) -> None:
            app.state.broker.close()  # what streams ends by itself
            end(number, frame)

        server.handle_exit = handle_exit
        threading.Thread(target=watch, name="data process", daemon=True).start()
        server.run(sockets=[socket.socket(fileno=place.socket)])
    return 0


def _app(place: WebPlace, proxy: Any, history: Any, ring: Any) -> Any:
    from crystint.online.auth import Access, Tokens
    from crystint.online.routes_jungfraujoch import jungfraujoch
    from crystint.online.server import create_app
    from crystint.online.state_folder import default_state

    access = Access(Tokens(place.control_token, place.view_token), place.host, encrypted=place.certificate is not None)
    root = None if place.data_root is None else Path(place.data_root)
    extras = (jungfraujoch(),) if place.jungfraujoch_routes else ()
    state = default_state() if place.state_dir is None else Path(place.state_dir)
    return create_app(
        proxy,
        history,
        ring,
        access=access,
        data_root=root,
        state=state,
        extras=extras,
        patience=_PATIENCE,
        device=place.device,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
