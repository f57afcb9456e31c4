"""Settings of the online commands: checked once, at the door, and the options of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from crystint.run.settings import PlacedSettings, Positive, SourceSettings, StepSettings, Whole, setting
from crystint.separation.settings import SearchSettings

__all__ = [
    "CHANGEABLE",
    "NOT_OF_A_HEAD",
    "NOT_OF_FILES",
    "AnalysisSettings",
    "HeadSettings",
    "NodeSettings",
    "OutputSettings",
    "ReceiveSettings",
    "ServeSettings",
    "ViewSettings",
    "WebSettings",
]

_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def _size(value: Any) -> Any:
    """ "4GB", "512 MiB" or a number to bytes."""
    if not isinstance(value, str) or value == "auto":
        return value
    text = value.strip()
    unit = next((unit for unit in _UNITS if text.lower().endswith(unit.lower())), None)
    digits = text if unit is None else text[: -len(unit)]
    try:
        return int(float(digits) * (1 if unit is None else _UNITS[unit]))
    except (ValueError, OverflowError):
        raise ValueError(f"is {value!r}, expected bytes, or a number with MB, GB, MiB or GiB") from None


Size = Annotated[int, BeforeValidator(_size), Field(ge=1)]
"""bytes; text may have kB, MB, GB, TB, KiB, MiB, GiB, TiB"""


class AnalysisSettings(SearchSettings, PlacedSettings):
    """What is looked for in an image of a stream: as `crystint peaks` does, without what is about files.

    "file" means the start message.

    Examples
    --------
    >>> from crystint.online import AnalysisSettings
    >>> AnalysisSettings(snr=6.0, rings=200).connected
    3
    """

    snr: Positive = setting(5.0, "significance of a peak")
    sampling: Whole = setting(1, "look at every N-th image; the others are counted as skipped", ge=1, metavar="N")

    @model_validator(mode="after")
    def _picked(self) -> Self:
        if self.snr_pick > self.snr:
            raise ValueError(f"snr_pick is {self.snr_pick:g}, above snr = {self.snr:g}; expected at most snr")
        return self


CHANGEABLE = (
    *(name for name, field in SearchSettings.model_fields.items() if "Path" not in str(field.annotation)),
    "sampling",
    "polarization",
)
"""Settings that may change while images come: all that name no file and do not move the detector."""


class ReceiveSettings(AnalysisSettings):
    """How the images of a stream are taken, and what looks at them."""

    stream: tuple[str, ...] = setting(
        (), "where the detector binds, such as tcp://DCU:31001", metavar="ADDRESS"
    )  # fmt: skip
    dialect: Literal["auto", "stream2", "jungfraujoch", "legacy"] = setting("auto", "of the stream")
    channel: str | None = setting(
        None, "threshold that is looked at, such as threshold_1; the first one where it is not given", metavar="NAME"
    )
    device: str | None = setting(None, "gpu, cpu, an id such as 0:1, or a part of a name", metavar="NAME")
    threads: Whole | None = setting(
        None, "images looked at at a time; two less than there are cores where it is not given, at least 1", ge=1,
        metavar="N",
    )  # fmt: skip
    when_full: Literal["skip", "wait"] = setting(
        "skip", "when --memory is spent: skip images evenly, or let the detector keep them"
    )
    memory: Literal["auto"] | Size = setting(
        "auto", "for images that wait, 4GB for instance; auto = a quarter of the machine's, at most 4 GB",
        metavar="SIZE|auto",
    )  # fmt: skip
    grace: Positive = setting(2.0, "s that a series waits for images after its end, or when another one has begun")


class OutputSettings(ReceiveSettings):
    """What becomes of the images of a stream and of their results."""

    simplon: str | None = setting(
        None, "address of the detector's SIMPLON interface, which tells how many images it dropped", metavar="URL"
    )
    state_dir: Path | None = setting(
        None, "folder that keeps layouts, alarms, and what a restart in the middle of a series needs", metavar="FOLDER"
    )
    strict: bool = setting(False, "exit code 3 when images were missing or failed")

    out: Path | None = setting(None, "folder of the outputs; none are written where it is not given", metavar="FOLDER")
    raw: bool = setting(True, "write the raw images, too, where --out is given")
    images_per_file: Whole | None = setting(
        None, "raw images of a file; 1000 where it is not given, and all of a rotation of up to 20 000 images", ge=1,
        metavar="N",
    )  # fmt: skip
    peak_formats: tuple[Literal["cxi", "refl", "h5", "json"], ...] = setting(
        (), "write lists of peaks, too, in these formats", metavar="cxi|refl|h5|json"
    )  # fmt: skip
    sparse: bool = setting(False, "write a sparse file, too, as crystint sparsify does")
    snr_sparse: Positive = setting(3.0, "significance of a pixel that is kept in the sparse file")
    overwrite: bool = setting(False, "replace files that are there, instead of taking another name")

    results: str | None = setting(None, "publish results there, tcp://127.0.0.1:5602 for instance", metavar="ADDRESS")
    preview: str | None = setting(
        None, "publish some images there as Jungfraujoch does, tcp://127.0.0.1:5601 for instance", metavar="ADDRESS"
    )
    metadata: str | None = setting(
        None, "publish results there as Jungfraujoch does, without images", metavar="ADDRESS"
    )  # fmt: skip
    json_lines: str | None = setting(
        None, "write a line of JSON for each image: a file, a named pipe, - for standard output, fd:N",
        metavar="FILE|-|fd:N",
    )  # fmt: skip
    crystfel: str | None = setting(
        None, "answer CrystFEL's --zmq-request=next there, tcp://127.0.0.1:5603 for instance", metavar="ADDRESS"
    )
    crystfel_share: Literal["all", "each"] = setting(
        "all", "all: an image goes to one of the programs that ask; each: to every one"
    )
    crystfel_images: bool = setting(True, "send CrystFEL the pixels, too, which it integrates")
    image_tcp: str | None = setting(
        None, "send raw images to writers there, 127.0.0.1:5604 for instance; see crystint online write",
        metavar="ADDRESS",
    )  # fmt: skip
    image_tcp_writers: Whole = setting(1, "writers that must be there when a series is asked for", ge=1, le=32)
    per_image_http: Whole | None = setting(
        None, "port of 127.0.0.1 that finds spots in files as a DIALS server does", ge=0, le=65535, metavar="PORT"
    )


class WebSettings(StepSettings):
    """Where the web interface is, and who may use it."""

    data_root: Path | None = setting(
        None,
        "folder whose files may be named in requests (default: --out, or the folder of the files)",
        metavar="FOLDER",
    )
    bind: str = setting("127.0.0.1:5232", "address and port of the web interface", metavar="HOST:PORT")
    allow_remote: bool = setting(False, "addresses that are bound may be such that other machines reach")
    certificate: Path | None = setting(None, "TLS certificate of the web interface", metavar="FILE.pem")
    certificate_key: Path | None = setting(None, "its private key", metavar="FILE.pem")
    token_file: Path | None = setting(
        None, "file with the token, made where there is none; another one at every start where it is not given",
        metavar="FILE",
    )  # fmt: skip


class ServeSettings(WebSettings, OutputSettings):
    """Settings of ``crystint online serve``."""

    open: bool = setting(False, "open the page in the browser")
    jungfraujoch_routes: bool = setting(True, "answer the requests of Jungfraujoch's clients, too")
    ring: Size = setting(2 * 2**30, "bytes of the last images that are kept for viewers", metavar="SIZE")


class HeadSettings(ServeSettings):
    """Settings of ``crystint online head``."""

    nodes: str = setting(
        "tcp://127.0.0.1:5610", "where nodes reach the head; other machines need --allow-remote and --token-file",
        metavar="ADDRESS",
    )  # fmt: skip
    raw: bool = setting(False, "raw images do not come to a head")


NOT_OF_A_HEAD = (
    "stream", "dialect", "channel", "threads", "when_full", "memory", "raw", "images_per_file", "ring", "image_tcp",
    "sparse", "snr_sparse",
)  # fmt: skip
"""Settings that a head has no use for: images do not come to it."""


class NodeSettings(ReceiveSettings):
    """Settings of ``crystint online node``."""

    broker: str = setting("tcp://127.0.0.1:5610", "where the head is", metavar="ADDRESS")
    name: str | None = setting(
        None, "of the node; the name of the machine and a number where it is not given", metavar="NAME"
    )  # fmt: skip
    token_file: Path | None = setting(None, "file with the token of the head, which has the same", metavar="FILE")


class ViewSettings(WebSettings, AnalysisSettings, SourceSettings):
    """Settings of ``crystint view``."""

    bind: str = setting("127.0.0.1:0", "address and port of the page; port 0 = one that is free", metavar="HOST:PORT")
    open: bool | None = setting(None, "open the page in the browser (default: where there is a screen)")
    device: str | None = setting(None, "gpu, cpu, an id such as 0:1, or a part of a name", metavar="NAME")


NOT_OF_FILES = ("sampling", "hits_only")
"""Settings that mean nothing where every image is looked at alone"""
