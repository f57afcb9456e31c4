"""Where the web interface listens, and what people are told of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from crystint.errors import SettingError
from crystint.online.auth import Tokens, check_binding, is_loopback
from crystint.online.settings import WebSettings

__all__ = ["WebAddress", "checked_address"]


def checked_address(settings: WebSettings, warn: Callable[[str], None]) -> tuple[str, Tokens]:
    """The host that is bound, and the tokens of the interface.

    Parameters
    ----------
    settings : WebSettings
    warn : callable
        Called with sentences about the settings.

    Raises
    ------
    FileError, SettingError
        When it may not be bound, or there is no token in the file.
    """
    host, _ = _place(settings.bind)
    for text in check_binding(host, settings.allow_remote, settings.certificate is not None):
        warn(text)
    return host, Tokens.new() if settings.token_file is None else Tokens.of_file(settings.token_file)


@dataclass(frozen=True, eq=False)
class WebAddress:
    """A socket that listens, and how people reach it."""

    listening: socket.socket
    url: str
    """with the token"""
    forward: str
    """the command that makes it reachable from another machine; empty = it is"""

    @classmethod
    def bound(cls, settings: WebSettings, host: str, tokens: Tokens) -> Self:
        """Bind it.

        Raises
        ------
        SettingError
            When nothing can be bound there.
        """
        listening = _bound(host, _place(settings.bind)[1])
        port = listening.getsockname()[1]
        scheme = "https" if settings.certificate is not None else "http"
        shown = host if host not in ("0.0.0.0", "::", "") else socket.gethostname()
        url = f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}/#token={tokens.control}"
        forward = f"ssh -L {port}:{host}:{port} {socket.gethostname()}" if is_loopback(host) else ""
        return cls(listening, url, forward)


def _place(bind: str) -> tuple[str, int]:
    """Host and port."""
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise SettingError(f"bind: is {bind!r}, expected HOST:PORT, such as 127.0.0.1:5232")
    return host.strip("[]"), int(port)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens: it outlives the process that serves it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise SettingError(
            f"bind: nothing can be bound at {host}:{port}: {error.strerror or error}; another port is chosen with "
            "--bind"
        ) from None
    return listening
