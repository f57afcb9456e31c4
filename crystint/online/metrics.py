"""Counts and times of the service as text that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from crystint.online.api_models import BooksModel

if TYPE_CHECKING:
    from crystint.online.broker import Broker

__all__ = ["metrics_text"]

_STATES = ("idle", "arming", "measuring", "finishing", "error")
_BOOKS = tuple(name for name, field in BooksModel.model_fields.items() if field.annotation is not bool)

_MESSAGES = ("received", "bytes", "damaged", "orphans", "stray_ends", "others")

Sample = tuple[Mapping[str, str], Any]


def metrics_text(status: Mapping[str, Any], broker: Broker) -> str:
    """The text.

    Parameters
    ----------
    status : mapping
        `crystint.online.control.Control.status`.
    broker : Broker

    Returns
    -------
    str
    """
    series = status.get("series") or {}
    books = series.get("books") or {}
    labels = {"series": str(series.get("series", ""))}
    history, traffic = broker.history, broker.traffic
    families: list[tuple[str, str, str, Iterable[Sample]]] = [
        ("info", "gauge", "version of the service", [({"version": str(status.get("version", ""))}, 1)]),
        (
            "state", "gauge", "1 for the state that the service is in",
            [({"state": state}, int(status.get("state") == state)) for state in _STATES],
        ),
        ("stalled", "gauge", "1 = no message comes, and images are expected", [({}, int(bool(status.get("stalled"))))]),
        (
            "series_images", "gauge", "images of the series by what became of them",
            [({**labels, "book": name}, books.get(name)) for name in _BOOKS if series],
        ),
        (
            "images_per_second", "gauge", "images in, out and analysed, over 1 s and 10 s",
            [
                ({"where": where, "window": window}, value)
                for where, rates in (status.get("rates") or {}).items()
                for window, value in rates.items()
            ],
        ),
        (
            "latency_seconds", "gauge", "from a message to its result",
            [({"quantile": name}, value) for name, value in (status.get("latency") or {}).items()],
        ),
        (
            "queue", "gauge", "images and bytes that wait, and the bytes that may",
            [({"of": name}, value) for name, value in (status.get("queue") or {}).items()],
        ),
        (
            "messages_total", "counter", "messages by what they were",
            [({"kind": name}, value) for name, value in (status.get("messages") or {}).items() if name in _MESSAGES],
        ),
        ("silent_seconds", "gauge", "since the last message", [({}, (status.get("messages") or {}).get("silent"))]),
        (
            "sink", "gauge", "numbers that publishers and writers tell",
            [
                ({"sink": sink, "of": name}, value)
                for sink, numbers in (status.get("sinks") or {}).items()
                for name, value in numbers.items()
            ],
        ),
        ("results_total", "counter", "results that the web process has seen", [({}, history.results)]),
        ("result_messages_lost_total", "counter", "messages of results that it has not", [({}, history.lost)]),
        ("viewers", "gauge", "readers of events and images", [({}, traffic.viewers)]),
        ("refused_tokens_total", "counter", "requests with a wrong token", [({}, broker.access.failures)]),
        (
            "http_requests_total", "counter", "requests by method and status",
            [({"method": method, "status": str(code)}, n) for (method, code), n in sorted(traffic.requests.items())],
        ),
    ]  # fmt: skip
    lines: list[str] = []
    for name, kind, meaning, samples in families:
        rows = [(each, _number(value)) for each, value in samples]
        lines += [f"# HELP crystint_{name} {meaning}", f"# TYPE crystint_{name} {kind}"]
        lines += [f"crystint_{name}{_labels(each)} {value}" for each, value in rows if value is not None]
    return "\n".join(lines) + "\n"


def _number(value: Any) -> str | None:
    """None where it is not known."""
    if not isinstance(value, int | float):
        return None
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    parts = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(parts) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"').encode("utf-8", "replace").decode()
