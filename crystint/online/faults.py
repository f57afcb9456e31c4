"""What goes wrong with the stream of a simulated detector: a script, and what comes of it, action by action."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from crystint.errors import FileError, SettingError, unreadable
from crystint.run.settings import NotNegative, Positive, StepSettings, Whole, setting

__all__ = ["DAMAGES", "FAILURES", "Action", "Faults", "Way", "actions"]

Damage = Literal["corrupt_cbor", "truncated"]
Failure = Literal["wrong_shape", "corrupt_lz4", "huge_total", "unknown_algorithm"]
Way = Literal["", "other_bytes", "lz4", "raw", "corrupt_cbor", "truncated", "wrong_shape", "corrupt_lz4", "huge_total",
              "unknown_algorithm"]  # fmt: skip
"""How an image is sent: "" = as it is; "other_bytes" = not those of the first time."""
DAMAGES: tuple[str, ...] = get_args(Damage)
"""Of which no image can be made: not even its number is known."""
FAILURES: tuple[str, ...] = get_args(Failure)
"""Images with a number that cannot be unpacked, or do not fit."""
_ENCODINGS = ("lz4", "raw")
_CHUNK = 4096
"""Images whose fate is drawn at a time."""
_REPEATED_WITHIN = 8
"""Images after which a repeated one has come again."""


def _share(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and value > 1):
        raise ValueError(f"is {value!r}, expected a share from 0 to 1, or a list of image numbers such as [{value:d}]")
    return value


def _numbers(value: Any) -> Any:
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else value


Share = Annotated[
    Annotated[float, Field(ge=0, le=1)] | tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_share)
]
"""probability per image, or the numbers of the images"""
Numbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_numbers)]


class Faults(StepSettings):
    """A script of faults. A fault of images is a probability from 0 to 1, or the list of their numbers.

    Examples
    --------
    >>> from crystint.online.faults import Faults
    >>> Faults.of({"drop": 0.01, "truncated": [3, 8], "end": "twice"}).drop
    0.01
    """

    drop: Share = setting(0.0, "images that are never sent")
    duplicate: Share = setting(0.0, "images that are sent twice")
    differing: Share = setting(0.0, "images that are sent twice, the second time with other bytes")
    reorder: Whole = setting(0, "images are shuffled among so many that follow each other; 0 = none", ge=0)
    late: Share = setting(0.0, "images that are sent later than their turn")
    late_by: Whole | None = setting(None, "images by which they are later; none = they come after the end", ge=1)
    late_s: NotNegative = setting(0.2, "s from the end to the images that come after it")
    burst_at: Numbers = setting((), "images from which on all is held back for burst_s, and then sent at once")
    burst_s: Positive = setting(0.5, "s")
    silence_at: Numbers = setting((), "images before which the detector pauses for silence_s")
    silence_s: Positive = setting(1.0, "s")
    start: Literal["once", "none", "twice"] = setting("once", "start messages")
    end: Literal["once", "none", "twice"] = setting("once", "end messages")
    restart_at: Whole | None = setting(
        None, "image at which the first series breaks off without an end, and a new one starts", ge=0
    )
    abort_at: Whole | None = setting(None, "image at which the series ends early, with an end message", ge=0)
    announced: Whole | None = setting(
        None, "number of images that the start tells; none = the true one", ge=0, le=2**53
    )
    same_id: bool = setting(False, "every series has the number 1")
    same_unique_id: bool = setting(False, "every series has the same unique text")
    wrong_shape: Share = setting(0.0, "images with a row more than the start says")
    corrupt_cbor: Share = setting(0.0, "images with a wrong byte in their message, at corrupt_byte")
    corrupt_byte: Whole = setting(3, "byte that becomes 255, from 3, the head of the map, to 24", ge=3, le=24)
    corrupt_lz4: Share = setting(0.0, "images whose packed bytes are damaged")
    truncated: Share = setting(0.0, "images of whose message only the first half is sent")
    huge_total: Share = setting(0.0, "images that pretend to unpack to 2^63 bytes")
    unknown_algorithm: Share = setting(0.0, "images packed in a way that nobody knows")
    lz4: Share = setting(0.0, "images packed with LZ4 alone")
    raw: Share = setting(0.0, "images that are not packed")
    vanish_at: Whole | None = setting(None, "image at which the detector is killed; what it had queued is lost", ge=0)
    vanish_s: Positive = setting(0.5, "s until it is back, and goes on with the next image")

    @classmethod
    def read(cls, script: Faults | Mapping[str, Any] | str | Path | None) -> Faults:
        """From a mapping or a YAML file.

        Raises
        ------
        FileError
            If the file cannot be read.
        SettingError
            For an unknown fault, with the one that is named alike, or an impossible value.
        """
        if isinstance(script, Faults):
            return script
        if script is None or isinstance(script, Mapping):
            return cls.of(script)
        return cls.of(_yaml(Path(script)))

    def numbers(self, name: str) -> tuple[int, ...]:
        """Images that a fault names; empty where it is a probability."""
        value = getattr(self, name)
        return value if isinstance(value, tuple) else ()


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError:
        raise SettingError("faults in YAML need PyYAML: pip install 'crystint[online]'") from None
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if table is None:
        return {}
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
        raise FileError(f"{path} holds no faults: expected lines such as drop: 0.01")
    return {name.replace("-", "_"): value for name, value in table.items()}


@dataclass(frozen=True, slots=True)
class Action:
    """What the detector does next."""

    kind: Literal["start", "image", "drop", "hold", "end", "pause", "vanish"]
    """an image is sent, never sent, or not yet sent at its turn"""
    number: int = 0
    """of the image; of a pause the one before which it is"""
    way: Way = ""
    again: bool = False
    """the image was sent before"""
    late: bool = False
    """the image is sent after its turn"""
    seconds: float = 0.0
    """of a pause"""
    exposing: bool = True
    """of a pause: images are taken meanwhile, and sent at once when it is over"""


def actions(faults: Faults, images: int, seed: int = 0, first: bool = True) -> Iterator[Action]:
    """What a detector does in a series.

    Parameters
    ----------
    faults : Faults
    images : int
        How many are taken.
    seed : int
    first : bool
        This is the first series: `restart_at` and `vanish_at` are for it.
    """
    random = np.random.default_rng(seed)
    for _ in range({"none": 0, "once": 1, "twice": 2}[faults.start]):
        yield Action("start")
    taken = images
    if faults.abort_at is not None:
        taken = min(taken, faults.abort_at)
    broken = first and faults.restart_at is not None and faults.restart_at < taken
    if broken and faults.restart_at is not None:
        taken = faults.restart_at
    after: list[int] = []
    yield from _images(faults, taken, random, after, first)
    if broken:
        return
    for _ in range({"none": 0, "once": 1, "twice": 2}[faults.end]):
        yield Action("end")
    if after:
        yield Action("pause", taken, seconds=faults.late_s)
    for number in after:
        yield Action("image", number, late=True)


def _images(
    faults: Faults, images: int, random: np.random.Generator, after: list[int], first: bool
) -> Iterator[Action]:
    """The images in their turn; those that are to come after the end go to `after`."""
    due: dict[int, list[Action]] = {}
    chunk = _CHUNK // max(faults.reorder, 1) * max(faults.reorder, 1) or faults.reorder
    for start in range(0, images, chunk):
        numbers = np.arange(start, min(start + chunk, images))
        fates = _fates(faults, numbers, random)
        again = random.integers(0, _REPEATED_WITHIN, len(numbers))
        for place, turn in enumerate(_shuffled(len(numbers), faults.reorder, random)):
            now, number = start + place, start + int(turn)
            yield from _interruptions(faults, now, first)
            fate = fates[turn]
            if fate == "drop":
                yield Action("drop", number)
            elif fate == "late":
                yield Action("hold", number)
                if faults.late_by is None or now + faults.late_by >= images:
                    after.append(number)
                else:
                    due.setdefault(now + faults.late_by, []).append(Action("image", number, late=True))
            elif fate in ("duplicate", "differing"):
                second = Action("image", number, "other_bytes" if fate == "differing" else "", again=True)
                due.setdefault(min(now + int(again[turn]), images - 1), []).append(second)
                yield Action("image", number)
            else:
                yield Action("image", number, fate)
            yield from due.pop(now, ())


def _interruptions(faults: Faults, number: int, first: bool) -> Iterator[Action]:
    """What happens before an image."""
    if number in faults.silence_at:
        yield Action("pause", number, seconds=faults.silence_s, exposing=False)
    if number in faults.burst_at:
        yield Action("pause", number, seconds=faults.burst_s)
    if first and number == faults.vanish_at:
        yield Action("vanish", number, seconds=faults.vanish_s)


def _fates(faults: Faults, numbers: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.object_]:
    """One fault of each image, "" = none; where there are several, the first of the list."""
    names = ("drop", *DAMAGES, *FAILURES, "late", "differing", "duplicate", *_ENCODINGS)
    fates = np.full(len(numbers), "", object)
    for name in reversed(names):
        share = getattr(faults, name)
        if isinstance(share, tuple):
            chosen = np.isin(numbers, share)
        elif share > 0:
            chosen = random.random(len(numbers)) < share
        else:
            continue
        fates[chosen] = name
    return fates


def _shuffled(n: int, window: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Numbers from 0, shuffled among `window` that follow each other."""
    order = np.arange(n)
    for start in range(0, n if window > 1 else 0, max(window, 1)):
        random.shuffle(order[start : start + window])
    return order
