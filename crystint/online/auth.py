"""Who may ask what: tokens, the cookie of the page, and the names that a request may call this machine."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from threading import Lock
from typing import Self
from urllib.parse import urlsplit

from crystint.errors import FileError, SettingError, unreadable

__all__ = ["Access", "Role", "Tokens", "check_binding", "is_loopback", "read_token"]

BYTES = 32
"""of a token: 256 bit"""
FAILURES_PER_SECOND = 10
SESSION_SECONDS = 30 * 86400
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,256}")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Role(IntEnum):
    """What a token allows; the higher one allows all that the lower one does."""

    VIEW = 1
    """to look"""
    CONTROL = 2
    """to change settings, to start and to stop"""


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """The secrets of a service, one for each role.

    Examples
    --------
    >>> from crystint.online.auth import Tokens
    >>> tokens = Tokens.new()
    >>> len(tokens.control), tokens.control == tokens.view
    (43, False)
    """

    control: str
    view: str

    @classmethod
    def new(cls) -> Self:
        """Random ones of 256 bit."""
        return cls(secrets.token_urlsafe(BYTES), secrets.token_urlsafe(BYTES))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Those of a file; where there is none it is made, for its owner alone.

        Lines "control TOKEN" and "view TOKEN"; a token by itself is that of control, and the one of view is made of it.

        Raises
        ------
        FileError
            When others may read it, or it holds no token.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            roles = _roles(path)
            control = roles["control"]
            return cls(control, roles.get("view") or _derived(control))
        except OSError as error:
            raise FileError(f"{path} cannot be written: {error.strerror or error}") from None
        tokens = cls.new()
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"control {tokens.control}\nview {tokens.view}\n")
        return tokens


def read_token(path: Path) -> str:
    """The token of a file that a client has: that of control, else that of view.

    Raises
    ------
    FileError
        When others may read the file, or it holds no token.
    """
    roles = _roles(path, any_role=True)
    return roles.get("control") or roles["view"]


def _roles(path: Path, any_role: bool = False) -> dict[str, str]:
    try:
        mode = path.stat().st_mode
        words = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        words, mode = [["?"]], 0
    except OSError as error:
        raise unreadable(path, error) from None
    if mode & 0o077:
        raise FileError(f"{path} can be read by others; a token is a secret: chmod 600 {path}")
    roles = {("control" if len(line) == 1 else line[0]): line[-1] for line in words if len(line) <= 2}
    wanted = {"control", "view"} & set(roles) if any_role else {"control"} & set(roles)
    if not wanted or not set(roles) <= {"control", "view"} or not all(map(_TOKEN.fullmatch, roles.values())):
        raise FileError(
            f"{path} holds no token; expected lines such as 'control TOKEN', a token of 22 or more of A-Z a-z 0-9 _ -"
        )
    return roles


def _derived(control: str) -> str:
    return hmac.new(control.encode(), b"crystint view", hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether an address or a name is that of the machine itself, which no other machine reaches."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def check_binding(host: str, allow_remote: bool, encrypted: bool) -> list[str]:
    """What must be told of an address that the web interface binds.

    Raises
    ------
    SettingError
        When other machines reach it, and that was not allowed.
    """
    if is_loopback(host):
        return []
    if not allow_remote:
        raise SettingError(
            f"{host} can be reached from other machines; --allow-remote allows that, or bind 127.0.0.1 and use ssh -L"
        )
    if encrypted:
        return []
    return [f"{host} is served without TLS: tokens can be read on the way; give --certificate and --certificate-key"]


@dataclass
class Access:
    """Judges requests by what their headers say.

    Parameters
    ----------
    tokens : Tokens
    host : str
        That is bound.
    hosts : collection of str
        Further names that the machine is called by.
    encrypted : bool
        Whether it is served by TLS.
    clock : callable
        Seconds; for tests.
    """

    tokens: Tokens
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    encrypted: bool = False
    clock: Callable[[], float] = time.monotonic
    failures: int = field(default=0, init=False)
    """tokens that were refused"""

    def __post_init__(self) -> None:
        self._digests = {Role.CONTROL: [_digest(self.tokens.control)], Role.VIEW: [_digest(self.tokens.view)]}
        self._of_series: list[bytes] = []
        self._recent: deque[float] = deque(maxlen=FAILURES_PER_SECOND)
        self._lock = Lock()
        self.loopback = is_loopback(self.host)
        names = {*_LOOPBACK_NAMES, self.host.strip("[]").lower(), *(name.lower() for name in self.hosts)}
        if not self.loopback:
            names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._names = names

    @property
    def cookie_name(self) -> str:
        """One of its own for each service, since browsers give cookies to all ports of a machine."""
        return "crystint_" + hashlib.sha256(b"name " + self.tokens.control.encode()).hexdigest()[:12]

    def role_of(self, token: str) -> Role | None:
        """What a token allows; None = it is none of ours. Takes as long for every token."""
        digest, role = _digest(token), None
        for each, digests in self._digests.items():
            for own in digests:
                role = each if hmac.compare_digest(digest, own) else role
        for own in self._of_series:
            role = Role.VIEW if role is None and hmac.compare_digest(digest, own) else role
        return role

    def allow_viewers(self, tokens: Iterable[str]) -> None:
        """Further tokens that may look, until the next call: those of a data set."""
        self._of_series = [_digest(token) for token in tokens]

    def failed(self) -> bool:
        """Count a token that was refused; True = there were too many within a second."""
        with self._lock:
            now = self.clock()
            many = len(self._recent) == FAILURES_PER_SECOND and now - self._recent[0] < 1.0
            self._recent.append(now)
            self.failures += 1
            return many

    def cookie(self, role: Role) -> str:
        """Value of the cookie for a role: signed, and without the token."""
        text = f"{role.value}.{int(time.time()) + SESSION_SECONDS}"
        return f"{text}.{self._signature(text)}"

    def role_of_cookie(self, value: str) -> Role | None:
        """What a cookie allows; None = it is not ours, or too old."""
        text, _, signature = value.rpartition(".")
        if not hmac.compare_digest(_digest(signature), _digest(self._signature(text))):
            return None
        role, _, until = text.partition(".")
        return Role(int(role)) if int(until) > time.time() else None

    def _signature(self, text: str) -> str:
        key = f"{self.tokens.control} {self.tokens.view}".encode()
        return hmac.new(key, b"session " + text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def may_be_called(self, host: str) -> bool:
        """Whether the header Host names this machine. A page elsewhere whose name was turned to our address
        (DNS rebinding) does not."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names or is_loopback(name):
            return True
        if self.loopback:
            return False
        try:
            ipaddress.ip_address(name)  # an address cannot be turned
        except ValueError:
            return False
        return True

    def is_own_page(self, host: str, origin: str | None, fetch_site: str | None) -> bool:
        """Whether a request comes from our page, or from a program that is no browser."""
        if fetch_site is not None and fetch_site not in ("same-origin", "none"):
            return False
        return origin is None or origin in (f"http://{host}", f"https://{host}")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
