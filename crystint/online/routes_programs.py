"""What other programs need to take part."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from crystint.errors import GeometryError, RefusedError
from crystint.model.geometry import Geometry
from crystint.online.answers import answer
from crystint.online.api_models import CrystfelModel
from crystint.online.broker import Broker
from crystint.online.crystfel import crystfel_setup
from crystint.online.requests import checked_query

__all__ = ["program_routes"]


def program_routes(broker: Broker) -> APIRouter:
    """Of CrystFEL."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])

    @api.get("/crystfel", response_model=CrystfelModel)
    async def crystfel() -> Response:
        """How indexamajig takes images of this service: a geometry file, and a command line."""
        status = await broker.ask(broker.control.status)
        address = status["sinks"].get("crystfel", {}).get("address")
        if address is None:
            raise RefusedError("not_found", "nobody answers CrystFEL here: the service was started without --crystfel")
        series = broker.history.series(None)
        geometry = None if series is None else series.info.get("geometry")
        if geometry is None:
            raise RefusedError("not_found", "the geometry is not known before a series has begun that tells it")
        try:
            setup = await broker.ask(lambda: crystfel_setup(address, Geometry.from_dict(geometry)))
        except GeometryError as error:
            raise RefusedError("not_found", str(error)) from None
        return answer(setup)

    return api
