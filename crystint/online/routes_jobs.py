"""Routes of jobs on finished files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from crystint.errors import CrystintError, RefusedError
from crystint.io.peaks.files import read_peaks
from crystint.online.answers import answer
from crystint.online.api_models import JobModel, JobRequest
from crystint.online.broker import Broker
from crystint.online.jobs import Jobs
from crystint.online.requests import checked_query
from crystint.online.routes_images import spot_columns

__all__ = ["job_routes"]


def job_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.jobs.Jobs`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])

    def jobs() -> Jobs:
        if broker.jobs is None:
            broker.jobs = Jobs(broker.data_root)
        one: Jobs = broker.jobs
        return one

    @api.post("/jobs", response_model=JobModel, status_code=201)
    async def add(body: JobRequest) -> Response:
        """Run `crystint peaks` or `crystint sparsify` on a file below the data root; the result goes beside it."""
        job = await broker.change(jobs().add, body.command, body.run, body.settings)
        return answer(job.described(), status=201)

    @api.get("/jobs", response_model=list[JobModel])
    async def all_jobs(request: Request) -> Response:
        """The newest first."""
        return answer([job.described() for job in jobs().all()], request.headers.get("accept"))

    @api.get("/jobs/{id}", response_model=JobModel)
    async def one(id: int, request: Request) -> Response:
        """How a job is."""
        return answer(jobs().get(id).described(), request.headers.get("accept"))

    @api.delete("/jobs/{id}", response_model=JobModel)
    async def cancel(id: int) -> Response:
        """End a job that waits or runs."""
        return answer(jobs().cancel(id).described())

    @api.get("/jobs/{id}/peaks")
    async def peaks(
        id: int,
        request: Request,
        image: Annotated[int | None, Query(ge=0, le=2**62, description="of one image")] = None,
    ) -> Response:
        """Peaks that a job on peaks has written, as columns."""
        content = await broker.change(_peaks, jobs(), id, image)
        return answer(content, request.headers.get("accept"))

    return api


def _peaks(jobs: Jobs, number: int, image: int | None) -> dict[str, Any]:
    job = jobs.get(number)
    if job.command != "peaks" or job.state != "done":
        raise RefusedError("wrong_state", f"job {number} is {job.command}, {job.state}: it has no list of peaks")
    try:
        peaks = read_peaks(job.output)
    except CrystintError as error:
        raise RefusedError("not_found", str(error)) from None
    if image is not None:
        peaks = peaks[peaks["frame"] == image]
    return {"job": number, "image": image, "frame": peaks["frame"], "spots": spot_columns(peaks)}
