"""The sinks that the settings of serve ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crystint.errors import SettingError
from crystint.online.crystfel import CrystfelServer
from crystint.online.image_tcp import ImageTcp
from crystint.online.json_lines import JsonLines
from crystint.online.preview import MetadataPublisher, PreviewPublisher
from crystint.online.publish import ResultsPublisher
from crystint.online.queued_sink import Tell
from crystint.online.settings import ServeSettings
from crystint.online.sink import Sink
from crystint.online.zmq_sink import is_local

__all__ = ["sinks_of"]


def sinks_of(settings: ServeSettings, tell: Tell) -> list[Sink]:
    """Sinks that are ready: their sockets are bound, their files open.

    Parameters
    ----------
    settings : ServeSettings
    tell : callable
        Takes warnings, as events.

    Raises
    ------
    SettingError
        When one of them cannot be made, or is for other machines without `allow_remote`; then none is left.
    """
    for name in ("results", "preview", "metadata", "crystfel", "image_tcp"):
        address = getattr(settings, name)
        if name == "image_tcp" and address is not None and "://" not in address:
            address = f"tcp://{address}"
        if address is not None and not settings.allow_remote and not is_local(address):
            raise SettingError(
                f"{name} is {address!r}, which other machines reach: nothing there asks for a token; use "
                "tcp://127.0.0.1:PORT, or allow it with --allow-remote"
            )
    channel = settings.channel
    how: dict[str, Any]
    makers: list[Callable[[], Sink]] = []
    if (results := settings.results) is not None:
        makers.append(lambda: ResultsPublisher(results, tell))
    if (preview := settings.preview) is not None:
        makers.append(lambda: PreviewPublisher(preview, tell, channel=channel))
    if (metadata := settings.metadata) is not None:
        makers.append(lambda: MetadataPublisher(metadata, tell, channel=channel))
    if (lines := settings.json_lines) is not None:
        makers.append(lambda: JsonLines(lines, tell))
    if (crystfel := settings.crystfel) is not None:
        how = {"share": settings.crystfel_share, "images": settings.crystfel_images, "lowest": settings.lowest}
        makers.append(lambda: CrystfelServer(crystfel, tell, channel=channel, **how))
    if (image_tcp := settings.image_tcp) is not None:
        writers, when_full = settings.image_tcp_writers, settings.when_full
        makers.append(lambda: ImageTcp(image_tcp, writers=writers, when_full=when_full, tell=tell))
    sinks: list[Sink] = []
    try:
        sinks.extend(make() for make in makers)
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks
