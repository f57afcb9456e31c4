"""A client of the web interface of ``crystint online serve``: settings, regions, results, events."""

from __future__ import annotations

import io
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.errors import RefusedError, SettingError
from crystint.model.rois import Roi, Rois
from crystint.online.control import Applied
from crystint.online.result import Result, ResultTable, empty_results
from crystint.online.sink import Event

__all__ = ["Client", "connect"]

_CBOR = "application/cbor"
_POLL_S = 0.1
_UNKNOWN_S = 5.0
"""after which a series whose results are not remembered counts as finished: the web process may have begun anew"""


def connect(
    url: str = "http://127.0.0.1:5232",
    token: str | None = None,
    *,
    certificate: FileName | None = None,
    timeout: float = 65.0,
) -> Client:
    """A client of a service.

    Parameters
    ----------
    url : str
        As ``crystint online serve`` prints it; the token in it is taken.
    token : str, optional
        That of control, or that of view, which can change nothing.
    certificate : path, optional
        Of the service, when it is no public one.
    timeout : float
        s that an answer is waited for.

    Returns
    -------
    Client

    Raises
    ------
    SettingError
        When the address cannot be one, or there is no token.

    Examples
    --------
    >>> from crystint.online import connect
    >>> client = connect("http://127.0.0.1:5232/#token=0123456789abcdefghijkl")
    >>> client.url
    'http://127.0.0.1:5232'
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"url is {url!r}, expected an address such as http://127.0.0.1:5232")
    if token is None and parts.fragment.startswith("token="):
        token = parts.fragment.removeprefix("token=")
    if not token:
        raise SettingError(f"no token for {parts.netloc}: `crystint online serve` prints it behind #token=")
    base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return Client(base, token, certificate, timeout)


class Client:
    """Asks a service; every method is one request. Made by `connect`.

    A refusal of the service is a `crystint.errors.RefusedError` with its reason, and so is its absence.
    """

    def __init__(self, url: str, token: str, certificate: FileName | None = None, timeout: float = 65.0) -> None:
        self.url, self._token, self._timeout = url, token, timeout
        context = ssl.create_default_context(cafile=None if certificate is None else str(certificate))
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context), _NoRedirect())

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        accept: str = "application/json",
        revision: int | None = None,
        timeout: float | None = None,
        **query: Any,
    ) -> Any:
        """One request; the others are made of it.

        Parameters
        ----------
        method, path : str
            Such as "GET", "/api/v1/status".
        body : bytes, or JSON-able
        accept : str
            Media type of the answer.
        revision : int, optional
            That the change was made for: conflict, when it is another one by now.
        timeout : float, optional
            s
        query
            Parameters; those of None are left out.

        Returns
        -------
        JSON or CBOR as Python has them, else bytes
        """
        with self._opened(method, path, body, accept, revision, timeout, query) as response:
            try:
                content = response.read()
            except (OSError, HTTPException) as error:
                raise self._no_answer(error) from None
            kind = response.headers.get_content_type()
        if kind == "application/json":
            return json.loads(content)
        if kind == _CBOR and accept == _CBOR:
            return _arrays(content)
        return content

    def _opened(
        self, method: str, path: str, body: Any, accept: str, revision: int | None, timeout: float | None,
        query: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        named = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in named.items()}
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        if revision is not None:
            headers["If-Match"] = f'"{revision}"'
        data = body
        if body is not None and not isinstance(body, bytes):
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif body is not None:
            headers["Content-Type"] = "application/octet-stream"
        url = self.url + path + (f"?{urlencode(texts)}" if texts else "")
        request = Request(url, data, headers, method=method)
        try:
            return self._opener.open(request, timeout=self._timeout if timeout is None else timeout)
        except HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, HTTPException, ValueError) as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> RefusedError:
        reason = getattr(error, "reason", None) or repr(error)
        return RefusedError("busy", f"no service answers at {self.url}: {reason}")

    def status(self) -> dict[str, Any]:
        """State, series with its books, rates, latency, queue, devices and sinks."""
        return self.ask("GET", "/api/v1/status")  # type: ignore[no-any-return]

    def series(self) -> list[dict[str, Any]]:
        """The last 100 series with their books and files, the newest first."""
        return self.ask("GET", "/api/v1/series")  # type: ignore[no-any-return]

    def wait(self, seconds: float = 3600.0) -> dict[str, Any]:
        """Wait until the series that runs, or the first one, is finished: its files are closed, its results are here.

        Parameters
        ----------
        seconds : float
            To wait at most.

        Returns
        -------
        dict
            The status, as `status`.

        Raises
        ------
        RefusedError
            ``wrong_state`` when the service is in an error, ``busy`` when it takes longer.
        """
        begin = idle = time.monotonic()
        while True:
            status, now = self.status(), time.monotonic()
            if status["state"] == "error":
                raise RefusedError("wrong_state", f"the service is in an error: {status['reason']}")
            if status["state"] != "idle" or status["series"] is None:
                idle = now
            elif self._has_results(status["series"]["series"], now - idle > _UNKNOWN_S):
                return status
            if now - begin > seconds:
                raise RefusedError("busy", f"after {seconds:g} s the state is still {status['state']}")
            time.sleep(_POLL_S)

    def _has_results(self, series: str, unknown: bool) -> bool:
        """Whether all results of a series are here; `unknown` where the service remembers none of it."""
        try:
            return bool(self.ask("GET", "/api/v1/results", series=series, columns="frame", limit=1)["ended"])
        except RefusedError as error:
            if error.reason != "not_found":
                raise
            return unknown

    def start(self, **options: Any) -> dict[str, Any]:
        """Tell of the next series: prefix, images, geometry, grid, user, tokens."""
        return self.ask("POST", "/api/v1/start", options)  # type: ignore[no-any-return]

    def stop(self) -> dict[str, Any]:
        """Finish the series after what has come."""
        return self.ask("POST", "/api/v1/stop")  # type: ignore[no-any-return]

    def abort(self) -> dict[str, Any]:
        """End the series now."""
        return self.ask("POST", "/api/v1/abort")  # type: ignore[no-any-return]

    def clear_error(self) -> dict[str, Any]:
        """From error to idle."""
        return self.ask("POST", "/api/v1/clear_error")  # type: ignore[no-any-return]

    @property
    def settings(self) -> dict[str, Any]:
        """What images are looked at with, by name."""
        return self.ask("GET", "/api/v1/settings")["values"]  # type: ignore[no-any-return]

    def set(self, *, revision: int | None = None, dry_run: bool = False, **changes: Any) -> Applied:
        """Change settings, such as ``snr=4.5``.

        Parameters
        ----------
        revision : int, optional
            That the change was made for.
        dry_run : bool
            Only check.
        changes
            By name.
        """
        answer = self.ask("PATCH", "/api/v1/settings", changes, revision=revision, dry_run=dry_run or None)
        return Applied(**answer)

    @property
    def rois(self) -> Rois:
        """The regions; assigning others replaces all of them."""
        return Rois.from_dict(self.ask("GET", "/api/v1/rois")["document"])

    @rois.setter
    def rois(self, regions: Rois | Sequence[Roi]) -> None:
        self.set_rois(regions)

    def set_rois(self, regions: Rois | Sequence[Roi] | Mapping[str, Any], revision: int | None = None) -> Applied:
        """Replace all regions.

        Parameters
        ----------
        regions : Rois, sequence of Roi, or a document of them
        revision : int, optional
            That the change was made for.
        """
        if isinstance(regions, Mapping):
            document = dict(regions)
        else:
            document = (regions if isinstance(regions, Rois) else Rois(tuple(regions))).to_dict()
        return Applied(**self.ask("PUT", "/api/v1/rois", document, revision=revision))

    def roi_map(self) -> NDArray[Any]:
        """uint8, 16, 32 or 64 [slow, fast]: bit i = region i."""
        return _npy(self.ask("GET", "/api/v1/rois/map", accept="application/x-npy"))

    def mask(self, layer: str = "total") -> NDArray[np.uint32]:
        """uint32 [slow, fast] of "user", "detector" or "total"; 0 = good."""
        return _npy(self.ask("GET", "/api/v1/mask", accept="application/x-npy", layer=layer))

    def set_mask(self, mask: NDArray[Any] | None) -> Applied:
        """Replace the user's mask.

        Parameters
        ----------
        mask : bool or integer [slow, fast] or None
            Nonzero = masked; None = there is none.
        """
        if mask is None:
            return Applied(**self.ask("DELETE", "/api/v1/mask"))
        stream = io.BytesIO()
        np.save(stream, np.asarray(mask), allow_pickle=False)
        return Applied(**self.ask("PUT", "/api/v1/mask", stream.getvalue()))

    def results(
        self, follow: bool = False, *, series: str | None = None, first: int = 0, last: int | None = None
    ) -> Any:
        """Results of images.

        Parameters
        ----------
        follow : bool
            From now on, one by one as they come, with peaks and regions; the service must publish them (--results).
        series : str, optional
            Key or number of a series; the newest one without it.
        first, last : int
            Numbers of images, half-open.

        Returns
        -------
        structured array of `crystint.online.result.RESULT_DTYPE`, or with `follow` iterator of Result
        """
        return self._followed() if follow else self._table(series, first, last)

    def _table(self, series: str | None, first: int, last: int | None) -> ResultTable:
        parts, begin = [empty_results(0)], first
        while True:
            query: dict[str, Any] = {"series": series, "from": begin, "to": last}
            answer = self.ask("GET", "/api/v1/results", accept=_CBOR, **query)
            columns = answer["columns"]
            rows = empty_results(len(columns["frame"]))
            for name in set(rows.dtype.names or ()) & set(columns):
                rows[name] = columns[name]
            parts.append(rows)
            if answer["next"] is None:
                return np.concatenate(parts)
            begin = answer["next"]

    def _followed(self) -> Iterator[Result]:
        """By the publisher, whose address the status tells."""
        from crystint.online.results_message import ResultsBatch
        from crystint.online.subscription import Subscription

        address = self.status()["sinks"].get("results", {}).get("address")
        if address is None:
            raise RefusedError("not_found", "the service publishes no results: it was started without --results")
        with Subscription(address) as messages:
            for message in messages:
                if isinstance(message, ResultsBatch):
                    yield from message.results()

    def image(self, number: int = -1) -> Any:
        """An image that is held: its number, -1 = the last, -2 = the last hit.

        Returns
        -------
        crystint.stream.Image
            `frame` decodes it.
        """
        from crystint.stream.read import read_message

        return read_message([self.ask("GET", f"/api/v1/images/{number}", accept="application/cbor, */*;q=0.1")])

    def plot(self, quantity: str, **query: Any) -> dict[str, Any]:
        """Curves of a quantity: x, bin, roi, series, and from_, the first image."""
        return self.ask("GET", f"/api/v1/plots/{quote(quantity, safe='')}", accept=_CBOR, **query)  # type: ignore[no-any-return]

    def grid(self, quantity: str, **query: Any) -> dict[str, Any]:
        """A quantity over the positions of a grid scan: roi, best, series."""
        return self.ask("GET", f"/api/v1/grid/{quote(quantity, safe='')}", accept=_CBOR, **query)  # type: ignore[no-any-return]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """Jobs on finished files."""
        return self.ask("GET", "/api/v1/jobs")  # type: ignore[no-any-return]

    def events(self, follow: bool = False, after: int = 0) -> Iterator[Event]:
        """What happened.

        Parameters
        ----------
        follow : bool
            Go on with what will happen; else the last ones that there are.
        after : int
            Number of the last event that is known already.
        """
        if not follow:
            for each in self.ask("GET", "/api/v1/events", after=after):
                yield Event(each["name"], each["data"], each["time"], each["number"])
            return
        query = {"after": after}
        with self._opened("GET", "/api/v1/events", None, "text/event-stream", None, 30.0, query) as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    each = json.loads(line[6:])
                    yield Event(each["name"], each["data"], each["time"], each["number"])


class _NoRedirect(HTTPRedirectHandler):
    """The token is for this service alone."""

    def redirect_request(self, *_: Any) -> None:
        """Go nowhere else."""


def _refusal(error: HTTPError) -> RefusedError:
    text: dict[str, Any] = {}
    with suppress(ValueError, OSError):
        content = json.loads(error.read())
        text = content if isinstance(content, dict) else {}
    reason, field = str(text.get("reason", "internal")), text.get("field")
    return RefusedError(reason, str(text.get("msg") or f"the service answers {error.code} {error.reason}"), field)


def _npy(content: bytes) -> NDArray[Any]:
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))


def _arrays(content: bytes) -> Any:
    """What CBOR holds, typed arrays as arrays of NumPy."""
    from crystint.stream.cbor import Tag, decode
    from crystint.stream.typed_arrays import plain_value

    def of(value: Any) -> Any:
        if isinstance(value, Tag) and value.number == 40:
            shape, flat = value.value
            return np.asarray(of(flat)).reshape(shape)
        if isinstance(value, dict):
            return {key: of(each) for key, each in value.items()}
        if isinstance(value, list):
            return [of(each) for each in value]
        return plain_value(value)

    return of(decode(content))
