"""Routes of jobs on finished files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from crystint.errors import RefusedError
from crystint.online.answers import BYTES, answer
from crystint.online.api_models import (
    JobModel,
    JobPeaksModel,
    JobReportModel,
    JobRequest,
    JobTableModel,
    OfferModel,
)
from crystint.online.broker import Broker
from crystint.online.image_details import spot_columns
from crystint.online.job_offers import OFFERS, offers_described
from crystint.online.job_results import JobResults
from crystint.online.jobs import Jobs
from crystint.online.requests import checked_query, columns_of

__all__ = ["job_routes"]

Number = Annotated[int, Path(ge=1, le=2**53, description="of the job")]
Columns = Annotated[str | None, Query(max_length=2000, description="names with commas between them; all without it")]
_ARRAYS: dict[int | str, dict[str, Any]] = {200: {"content": {BYTES: {}}}}


def job_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.jobs.Jobs`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])
    looked_at: list[JobResults] = []

    def jobs() -> Jobs:
        if broker.jobs is None:
            broker.jobs = Jobs(broker.data_root)
            looked_at[:] = [JobResults(broker.jobs)]
        one: Jobs = broker.jobs
        return one

    def results() -> JobResults:
        jobs()
        return looked_at[0]

    @api.get("/jobs/commands", response_model=list[OfferModel])
    async def commands(request: Request) -> Response:
        """Commands that may be asked for, with the forms of their settings."""
        return answer(offers_described(), request.headers.get("accept"))

    @api.post("/jobs", response_model=JobModel, status_code=201)
    async def add(body: JobRequest) -> Response:
        """Run a command on files below the data root; what it writes lies in the folder ``jobs`` there."""
        job = await broker.change(jobs().add, body.command, _inputs(body), body.settings, body.name)
        return answer(jobs().described(job), status=201)

    @api.get("/jobs", response_model=list[JobModel])
    async def all_jobs(request: Request) -> Response:
        """The newest first."""
        desk = jobs()
        content = await broker.ask(lambda: [desk.described(job) for job in desk.all()])
        return answer(content, request.headers.get("accept"))

    @api.get("/jobs/{id}", response_model=JobModel)
    async def one(id: Number, request: Request) -> Response:
        """How a job is, and how far."""
        desk = jobs()
        return answer(await broker.ask(lambda: desk.described(desk.get(id))), request.headers.get("accept"))

    @api.delete("/jobs/{id}", response_model=JobModel)
    async def cancel(id: Number) -> Response:
        """End a job that waits or runs; nothing that it has written stays."""
        desk = jobs()
        return answer(await broker.ask(lambda: desk.described(desk.cancel(id))))

    @api.get("/jobs/{id}/log", response_class=PlainTextResponse)
    async def log(id: Number) -> Response:
        """All that a job has printed."""
        return PlainTextResponse(await broker.ask(jobs().log, id), headers={"Cache-Control": "no-store"})

    @api.get("/jobs/{id}/peaks", response_model=JobPeaksModel, responses=_ARRAYS)
    async def peaks(
        id: Number,
        request: Request,
        image: Annotated[int | None, Query(ge=0, le=2**62, description="of one image; of all without it")] = None,
        columns: Columns = None,
    ) -> Response:
        """Peaks that a job has written, as columns; ``frame`` is the number of the image of each."""
        numbers, peaks = await broker.change(results().peaks, id, image)
        every = spot_columns(peaks)
        spots = {name: every[name] for name in columns_of(columns, every)}
        content = {"job": id, "image": image, "frame": numbers, "spots": spots}
        return answer(content, request.headers.get("accept"), columns={"frame": numbers, **spots})

    @api.get("/jobs/{id}/table", response_model=JobTableModel, responses=_ARRAYS)
    async def table(id: Number, request: Request, columns: Columns = None) -> Response:
        """What a job tells of each image, as columns; ``frame`` is the number of the image."""
        every = await broker.change(results().table, id)
        values = {name: every[name] for name in dict.fromkeys(("frame", *columns_of(columns, every)))}
        return answer(
            {"job": id, "names": list(every), "columns": values}, request.headers.get("accept"), columns=values
        )

    @api.get("/jobs/{id}/report", response_model=JobReportModel)
    async def report(id: Number, request: Request) -> Response:
        """What a job has to say, as text, and as numbers where it has them."""
        return answer(await broker.change(results().report, id), request.headers.get("accept"))

    return api


def _inputs(body: JobRequest) -> dict[str, list[str]]:
    """Files of each argument of the command."""
    if (body.run is None) == (body.inputs is None):
        raise RefusedError("bad_value", "expected either run or inputs", "run")
    if body.inputs is not None:
        return {name: [files] if isinstance(files, str) else files for name, files in body.inputs.items()}
    arguments = OFFERS[body.command].step.arguments
    if len(arguments) > 1:
        names = ", ".join(argument.name for argument in arguments)
        raise RefusedError("bad_value", f"{body.command} reads several files: give inputs with {names}", "run")
    return {arguments[0].name: [str(body.run)]}
