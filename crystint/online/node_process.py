"""``crystint online node``: runs until it is told to stop."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from crystint.errors import RefusedError, SettingError
from crystint.online.auth import Tokens
from crystint.online.node import Node
from crystint.online.serve import Stop, wait_for_stop
from crystint.online.settings import NodeSettings, ReceiveSettings, ServeSettings
from crystint.run.outcome import ExitCode

__all__ = ["run_node"]


def run_node(settings: NodeSettings, stop: Stop, say: Callable[[str], None], tell: Callable[[str], None]) -> int:
    """Look at images until it is stopped.

    Parameters
    ----------
    settings : NodeSettings
    stop : Stop
        One request = finish the series that runs; two = end it now.
    say, tell : callable
        Take lines: what the user needs, and what happens.

    Returns
    -------
    int
        The exit code: 0; 1 when it was stopped twice.

    Raises
    ------
    CrystintError
        When it cannot begin.
    """
    if not settings.stream:
        raise SettingError("no stream: give --stream with the address of the detector, such as tcp://DCU:31001")
    if settings.token_file is not None and not settings.token_file.exists():
        raise SettingError(f"token_file: {settings.token_file} does not exist; expected a copy of that of the head")
    token = "" if settings.token_file is None else Tokens.of_file(settings.token_file).control
    name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
    service = ServeSettings.of({each: getattr(settings, each) for each in ReceiveSettings.model_fields})
    with Node(settings.broker, settings.stream, name=name, token=token, settings=service) as node:
        say(f"node {name} of {settings.broker}")

        def finish() -> None:
            node.stop()
            while not node.wait("idle", 1.0):
                pass

        hasty = wait_for_stop(stop, finish, tell)
        if hasty:
            with suppress(RefusedError):
                node.abort()
        node.close(finish=not hasty)
        totals = node.reception.totals
    tell(f"node {name}: {totals['received']} images received, {totals['analysed']} analysed")
    return int(ExitCode.FAILED if hasty else ExitCode.DONE)
