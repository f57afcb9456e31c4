"""Routes of what people add to the log, and of the alarms that are watched for them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from crystint.errors import RefusedError
from crystint.online.alarm_watch import AlarmWatch
from crystint.online.alarms import AlarmFile, Alarms
from crystint.online.answers import ApiError, answer
from crystint.online.api_models import AlarmDocument, AlarmsModel, NoteModel, NoteRequest
from crystint.online.broker import Broker
from crystint.online.quantities import WATCHABLE
from crystint.online.requests import checked_query, revision_of

__all__ = ["alarms_of", "note_routes"]

IfMatch = Annotated[str | None, Header(description="revision that the change is made of; 412 when it is another one")]


def alarms_of(broker: Broker) -> AlarmWatch:
    """What watches the results."""
    if broker.alarms is None:
        record = broker.control.record if broker.control is not None else _nobody
        broker.alarms = AlarmWatch(broker.history, AlarmFile(broker.state), record)
    return broker.alarms


def _nobody(*_event: Any) -> None:
    raise RefusedError("wrong_state", "there is no service that takes events")


def note_routes(broker: Broker) -> APIRouter:
    """Notes and alarms."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])

    @api.post("/notes", response_model=NoteModel, status_code=201)
    async def note(body: NoteRequest) -> Response:
        """Put a note into the log: an event "note", which the files of the series get, too."""
        data = {**body.model_dump(exclude_none=True), "text": _text(body.text)}
        return answer(await broker.change(broker.control.record, "note", data), status=201)

    def told(alarms: Alarms, accept: str | None = None) -> Response:
        watch = alarms_of(broker)
        content = {"document": alarms.to_dict(), "revision": alarms.revision, "states": watch.states()}
        content |= {"columns": WATCHABLE, "trouble": watch.trouble}
        return answer(content, accept, headers={"ETag": f'"{alarms.revision}"'})

    @api.get("/alarms", response_model=AlarmsModel)
    async def alarms(request: Request) -> Response:
        """The alarms, and how each of them is."""
        return told(await broker.ask(alarms_of(broker).file.read), request.headers.get("accept"))

    @api.put("/alarms", response_model=AlarmsModel)
    async def change(document: AlarmDocument, if_match: IfMatch = None) -> Response:
        """Replace all of them. Those that stay as they are are watched on."""
        watch = alarms_of(broker)
        try:
            alarms = await broker.change(watch.file.write, document.model_dump(), revision_of(if_match))
        except RefusedError as error:
            if error.reason != "conflict":
                raise
            raise ApiError(412, "conflict", str(error), error.field) from None
        watch.wake()
        return told(alarms)

    return api


def _text(text: str) -> str:
    """Without blanks at its ends.

    Raises
    ------
    RefusedError
        When it has codes that a terminal obeys, or nothing else.
    """
    plain = text.strip()
    wrong = next((letter for letter in plain if not letter.isprintable() and letter not in "\n\t" + _MARKS), None)
    if wrong is not None:
        raise RefusedError("bad_value", f"the text has the character U+{ord(wrong):04X}, which is not printed", "text")
    if not plain:
        raise RefusedError("bad_value", "the text is empty", "text")
    return plain


_MARKS = "\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u202f\u3000"
"""Blanks, joiners and marks of direction, which texts of some languages need."""
