"""online write: files of what is sent over TCP."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import click

from crystint.commands.process_command import process_command
from crystint.commands.signals import Interruption
from crystint.errors import SettingError, warn
from crystint.online.write_settings import WriteSettings

__all__ = ["write"]

_LOOK_S = 0.2


def _write(settings: WriteSettings, quiet: bool, address: str) -> None:
    from crystint.online.tcp_writer import TcpWriter

    if settings.part >= settings.parts:
        raise SettingError(f"part is {settings.part}, expected less than the number of parts, {settings.parts}")
    last = ""

    def tell(name: str, data: Mapping[str, Any]) -> None:
        nonlocal last
        if name == "warning":
            warn(str(data["text"]))
            return
        text = f"{data['path']}: {data['images']} images" if name == "file" else str(data["text"])
        if not quiet and text != last:
            last = text
            click.echo(text, err=True)

    writer = TcpWriter(
        address,
        settings.output,
        name=settings.name,
        index=settings.part,
        of=settings.parts,
        images_per_file=settings.images_per_file,
        overwrite=settings.overwrite,
        liveness=settings.liveness,
        series=settings.series,
        tell=tell,
    )
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            writer.run()
        except BaseException as error:  # raised again in the thread of the command
            trouble.append(error)

    thread = threading.Thread(target=work, name="crystint writer")
    thread.start()
    try:
        with Interruption().watched() as until:
            while thread.is_alive() and not until():
                thread.join(_LOOK_S)
    finally:
        writer.stop()
        thread.join()
    if trouble:
        raise trouble[0]
    if writer.left_out:
        warn(f"{writer.left_out} images are in no file, since they do not fit the others of their series")
    click.echo(f"{writer.written} images of {writer.series} series are in {settings.output}")


write = process_command(
    "write",
    WriteSettings,
    _write,
    """Write the images that `crystint online serve --image-tcp` sends: several writers share a stream.

    An image is acknowledged when its file has it. It goes on until Ctrl-C, which closes the files.
    """,
    """
    crystint online write tcp://127.0.0.1:5604 -o data
    crystint online write tcp://head:5604 -o /data/b --part 1 --parts 2""",
    arguments=[click.Argument(["address"], metavar="ADDRESS")],
)
