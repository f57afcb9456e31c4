"""What the commands that ask a service print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crystint.online.control import Applied
from crystint.online.sink import Event
from crystint.units import readable_size

__all__ = ["applied_text", "event_text", "line_of", "status_rows", "status_text"]

_BOOKS = (
    "expected", "received", "analysed", "skipped", "failed", "in_flight", "missing", "duplicate", "late", "foreign",
    "damaged", "dropped",
)  # fmt: skip
_ALWAYS = ("received", "analysed", "skipped", "failed", "in_flight")


def _number(value: Any, unit: str = "") -> str:
    return "?" if value is None else f"{value:.4g}{unit}"


def status_rows(status: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Name and text of each line of a status."""
    stalled = ", stalled" if status["stalled"] else ""
    reason = f" ({status['reason']})" if status.get("reason") else ""
    yield "state", f"{status['state']}{stalled}{reason}"
    series = status["series"]
    if series is None:
        yield "series", "none yet"
    else:
        yield "series", " ".join(dict.fromkeys((series["series"], series["name"])))
        books = series["books"]
        yield (
            "images",
            ", ".join(
                f"{name.replace('_', ' ')} {books[name]}" for name in _BOOKS if books.get(name) or name in _ALWAYS
            ),
        )
        if series.get("error"):
            yield "not looked at", series["error"]
        if series["files"]:
            yield "files", f"{len(series['files'])}, the last one {series['files'][-1]}"
    rates = status["rates"]
    yield (
        "images/s",
        ", ".join(f"{name} {_number(each.get('1s'))} ({_number(each.get('10s'))})" for name, each in rates.items()),
    )
    latency = status["latency"]
    yield "latency", f"p50 {_number(latency.get('p50'), ' s')}, p99 {_number(latency.get('p99'), ' s')}"
    queue = status["queue"]
    yield "queue", f"{queue['images']} images, {readable_size(queue['bytes'])} of {readable_size(queue['budget'])}"
    for device in status["devices"]:
        yield "device", f"{device.get('name')} ({device.get('id')})"
    for name, sink in status["sinks"].items():
        told = ", ".join(f"{key} {value}" for key, value in sink.items() if value not in (None, "", [], {}))
        if told:
            yield name, told
    yield "viewers", str(status["viewers"])


def status_text(status: Mapping[str, Any]) -> str:
    """Lines."""
    rows = list(status_rows(status))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def line_of(status: Mapping[str, Any]) -> str:
    """A status in one line, for logs."""
    rows = dict(status_rows(status))
    return "; ".join(f"{name} {rows[name]}" for name in ("state", "series", "images", "images/s") if name in rows)


def applied_text(applied: Applied, what: str) -> str:
    """From which image on a change applies, and the pixels of regions."""
    where = f"image {applied.first_image}" if applied.first_image else "the next image"
    lines = [f"{what}: version {applied.version}, from {where} on"]
    for name, each in (applied.details or {}).items():
        notes = "".join(
            [", clipped" if each.get("clipped") else "", f", {each['problem']}" if each.get("problem") else ""]
        )
        lines.append(f"  {name}: {each.get('pixels')} px{notes}")
    return "\n".join(lines)


def event_text(event: Event) -> str:
    """An event in one line."""
    told = ", ".join(f"{name} {_short(value)}" for name, value in event.data.items())
    return f"{event.name}: {told}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} {_short(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{len(value)}]"
    return str(value)[:120]
