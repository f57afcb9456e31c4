"""Settings of the commands that ask a service: where it is, and how one proves who one is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from crystint.errors import SettingError
from crystint.run.settings import NotNegative, Positive, StepSettings, setting

if TYPE_CHECKING:
    from crystint.online.client import Client

__all__ = ["ClientSettings", "WatchSettings"]

URL = "http://127.0.0.1:5232"


class ClientSettings(StepSettings):
    """Where the service is."""

    url: str | None = setting(
        None, f"address of the service, with its token or without; CRYSTINT_URL, else {URL}, where it is not given",
        metavar="URL",
    )  # fmt: skip
    token_file: Path | None = setting(
        None, "file with the token, as serve --token-file makes it; else CRYSTINT_TOKEN", metavar="FILE"
    )
    certificate: Path | None = setting(
        None, "TLS certificate of the service, when it is no public one", metavar="FILE.pem"
    )
    timeout: Positive = setting(65.0, "s that an answer is waited for")

    def client(self) -> Client:
        """Made of these settings and the environment.

        Raises
        ------
        SettingError, FileError
            When there is no token.
        """
        from crystint.online.auth import read_token
        from crystint.online.client import connect

        url = self.url or os.environ.get("CRYSTINT_URL") or URL
        token = read_token(self.token_file) if self.token_file is not None else os.environ.get("CRYSTINT_TOKEN")
        if not token and "#token=" not in url:
            raise SettingError(
                "no token: give --token-file, or set CRYSTINT_TOKEN to what `crystint online serve` prints"
            )
        token = None if "#token=" in url and self.token_file is None else token
        return connect(url, token, certificate=self.certificate, timeout=self.timeout)


class WatchSettings(ClientSettings):
    """Those of ``crystint online watch`` besides."""

    every: Positive = setting(0.5, "s from one look to the next; 2 s where lines are printed", ge=0.2)
    seconds: NotNegative = setting(0.0, "end after so many s; 0 = with Ctrl-C")
