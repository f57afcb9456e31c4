"""online simulate, send and record: what is a detector, or stands in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from crystint.commands.process_command import process_command
from crystint.commands.program import EndedError
from crystint.commands.signals import Interruption
from crystint.errors import SettingError, warn
from crystint.online.detector_settings import CheckSettings, RecordSettings, SendSettings, SimulateSettings
from crystint.run.outcome import ExitCode, rate_text
from crystint.units import readable_size

if TYPE_CHECKING:
    from crystint.online.simulation import Simulator
    from crystint.online.truth import Truth

__all__ = ["check", "record", "send", "simulate"]

_LOOK_S = 0.2


def _simulate(settings: SimulateSettings, quiet: bool) -> None:
    from crystint.online.exposures import detector_shape, synthetic
    from crystint.online.simulation import Simulator

    _check_truth(settings.truth, settings.overwrite)
    shape = detector_shape(settings.size)
    say = _silent if quiet else _say
    different = min(settings.ring, settings.frames)
    say(f"making {different} frames of {shape[0]} x {shape[1]} px, {settings.dtype}")
    exposures = synthetic(
        shape,
        settings.channels or (("default",) if settings.dialect == "jungfraujoch" else ("threshold_1",)),
        dtype=settings.dtype,
        frames=different,
        hit_rate=settings.hit_rate,
        peaks=settings.peaks,
        seed=settings.seed,
        algorithm=settings.compression,
    )
    detector = Simulator(
        exposures, images=settings.frames, series=settings.series, stream=settings.stream, simplon=settings.simplon,
        **_common(settings),
    )  # fmt: skip
    with detector:
        _attend(detector, settings.truth, settings.overwrite, say)


def _send(settings: SendSettings, quiet: bool, files: tuple[str, ...]) -> None:
    import crystint
    from crystint.online.record import INDEX
    from crystint.online.simulation import Simulator

    say = _silent if quiet else _say
    if len(files) == 1 and (Path(files[0]) / INDEX).is_file():
        _send_record(Path(files[0]), settings, say)
        return
    _check_truth(settings.truth, settings.overwrite)
    with crystint.open_frames(list(files)) as frames:
        detector = Simulator(frames, series=10**9 if settings.repeat else 1, stream=settings.to, **_common(settings))
        with detector:
            _attend(detector, settings.truth, settings.overwrite, say)


def _send_record(folder: Path, settings: SendSettings, say: Callable[[str], None]) -> None:
    from crystint.online.replay import replay

    unused = [name for name in ("faults", "truth", "repeat") if getattr(settings, name)]
    unused += [
        name for name in ("channels", "header_detail", "dialect", "compression") if name in settings.model_fields_set
    ]
    if unused:
        raise SettingError(f"{', '.join(unused)}: a record is sent byte for byte as it came")
    rate = settings.fps if "fps" in settings.model_fields_set else None
    interruption = Interruption()
    with interruption.watched() as until:
        sent = replay(
            folder, settings.to, speed=None if rate == "max" else settings.speed,
            rate=rate if isinstance(rate, float) else None, wait=settings.wait, stop=_Watched(until),
            bound=lambda addresses: say(f"a record at {', '.join(addresses)}; waiting for somebody who pulls"),
        )  # fmt: skip
    say(f"sent {sent.messages} messages, {sent.images} of them images, in {sent.seconds:.1f} s")
    if sent.not_taken:
        warn(f"{sent.not_taken} messages were thrown away, since nobody fetched them in time")
    if interruption.number:
        raise EndedError(f"interrupted after {sent.messages} messages", 128 + interruption.number)


def _record(settings: RecordSettings, quiet: bool) -> None:
    from crystint.online.record import Recorder

    say = _silent if quiet else _say
    recorder = Recorder(settings.output)
    interruption = Interruption()
    try:
        with interruption.watched() as until:
            say(f"recording {', '.join(settings.stream)} into {settings.output}; nobody else gets these messages")
            recorder.pull(settings.stream, until, settings.series, settings.most)
    finally:
        recorder.close()
    click.echo(
        f"{recorder.messages} messages in {settings.output} ({readable_size(recorder.bytes)}): "
        f"{recorder.images} images, {recorder.ends} ends, {recorder.damaged} damaged"
    )
    if recorder.bytes >= settings.most:
        warn(f"stopped at {readable_size(settings.most)}, as --most says")


def _check(settings: CheckSettings, quiet: bool) -> None:
    from crystint.online.exposures import detector_shape
    from crystint.online.self_check import check as measured

    detector_shape(settings.size)
    rate = settings.fps if isinstance(settings.fps, float) else None
    report = measured(
        size=settings.size, dtype=settings.dtype, seconds=settings.seconds, fps=rate, device=settings.device,
        threads=settings.threads, say=_silent if quiet else _say,
    )  # fmt: skip
    click.echo(report.text)
    if rate is not None and report.steady is not None and (report.steady.skipped or report.steady.missing):
        raise EndedError(f"{rate:g} images/s are more than this machine sustains", ExitCode.REQUIREMENT_BROKEN)


class _Watched(Event):
    """An event that is set when a signal came."""

    def __init__(self, until: Callable[[], bool]) -> None:
        super().__init__()
        self._until = until

    def is_set(self) -> bool:
        """Whether a signal came."""
        return super().is_set() or self._until()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for so long, or for a signal."""
        left = timeout
        while not self.is_set() and (left is None or left > 0):
            step = _LOOK_S if left is None else min(_LOOK_S, left)
            super().wait(step)
            left = None if left is None else left - step
        return self.is_set()


def _common(settings: SimulateSettings | SendSettings) -> dict[str, Any]:
    return {
        "fps": None if settings.fps == "max" else settings.fps,
        "faults": settings.faults,
        "dialect": settings.dialect,
        "channels": settings.channels or None,
        "header_detail": settings.header_detail,
        "compression": settings.compression,
        "seed": settings.seed,
        "queue": settings.queue,
        "wait": settings.wait,
        "images_per_file": settings.images_per_file,
    }


def _check_truth(path: Path | None, overwrite: bool) -> None:
    from crystint.io.outputs import check_outputs

    if path is not None:
        check_outputs([path], overwrite=overwrite)


def _attend(detector: Simulator, path: Path | None, overwrite: bool, say: Callable[[str], None]) -> None:
    """Wait until a detector has sent all, or a signal comes; then tell, and write the truth."""
    interruption = Interruption()
    where = ", ".join(detector.addresses)
    if detector.simplon is not None:
        say(f"detector at {where}; http://{detector.simplon.address} arms and triggers it")
    else:
        say(f"detector at {where}; waiting for somebody who pulls")
    with interruption.watched() as until:
        while not until() and not detector.finished(_LOOK_S):
            pass
        if interruption.number:
            detector.stop()
        truth = detector.wait()
    if path is not None:
        truth.write(path, overwrite)
        click.echo(f"wrote {path}")
    say(_told(truth))
    lost = sum(len(series.not_taken) for series in truth.series)
    if lost:
        warn(f"{lost} images were thrown away, since nobody fetched them in time")
    if interruption.number:
        raise EndedError(f"interrupted after {_sent(truth)} images", 128 + interruption.number)


def _sent(truth: Truth) -> int:
    return sum(len(series.sent) for series in truth.series)


def _told(truth: Truth) -> str:
    taken = sum(series.images for series in truth.series)
    rate = "" if truth.rate is None else f", {rate_text(truth.rate, 'image')}"
    return f"sent {_sent(truth)} of {taken} images in {len(truth.series)} series{rate}"


def _say(text: str) -> None:
    click.echo(text, err=True)


def _silent(_text: str) -> None:
    pass


simulate = process_command(
    "simulate",
    SimulateSettings,
    _simulate,
    """Be a detector: send series of made frames, whose peaks are known, at an exact rate.

    It waits for somebody who pulls, and says at the end what was sent. Faults are a script in YAML: drop: 0.01 leaves
    out one image of a hundred, wrong_shape: [7] spoils image 7; the truth tells what a receiver must come to.
    """,
    """
    crystint online simulate --fps 100
    crystint online simulate --size 64x64 --frames 100000 --fps max --truth truth.json
    crystint online simulate --faults faults.yaml --header-detail all --simplon 127.0.0.1:8081""",
)
send = process_command(
    "send",
    SendSettings,
    _send,
    """Be a detector that sends the frames of FILEs, or the messages of a folder that `record` made.

    Packed frames of DECTRIS files go out as they are. A record is sent with its own times.
    """,
    """
    crystint online send run_master.h5 --fps 100
    crystint online send dump --speed 2""",
    [click.Argument(["files"], nargs=-1, required=True, metavar="FILE...")],
)
record = process_command(
    "record",
    RecordSettings,
    _record,
    """Write the messages of a detector as they come: a file each, and an index with their times.

    Of a detector's messages each goes to one program only: what is recorded does not reach the service.
    """,
    """
    crystint online record --stream tcp://DCU:31001 -o dump --series 1
    crystint online send dump""",
)
check = process_command(
    "check",
    CheckSettings,
    _check,
    """Measure what this machine sustains: a simulated detector in a process of its own, and the service in this one.

    It tells the processor time of each step of an image, measured by itself, the rate that is sustained, what part that
    is of what the steps allow, what limits it, and the latency at half that rate, or at --fps. Exit code 4: images were
    skipped at --fps.
    """,
    """
    crystint online check
    crystint online check --fps 250 --size 4M --seconds 60 --device gpu""",
)
