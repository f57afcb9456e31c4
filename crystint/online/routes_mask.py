"""Routes of the user's mask and of the map of the regions: images in the formats of the field."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray
from pydantic import ValidationError

from crystint.errors import CrystintError, RefusedError, SettingError
from crystint.io.containers import is_hdf5
from crystint.io.frames.masks import read_mask, read_mask_bytes
from crystint.io.image_bytes import file_bytes, npy_bytes, tiff_bytes
from crystint.io.mask_file import write_mask
from crystint.io.roi_files import write_rois
from crystint.model.frame_table import empty_frame_table
from crystint.model.geometry import Geometry
from crystint.model.roi import Roi
from crystint.model.roi_members import RoiMembers, members_of
from crystint.model.rois import ROI_DTYPE, Rois
from crystint.online.answers import BYTES, JSON, NPY, TIFF, answer, preferred
from crystint.online.api_models import AppliedModel, MaskByPath, MaskByShapes, MaskSummary
from crystint.online.broker import Broker
from crystint.online.data_root import file_below
from crystint.online.requests import checked_query
from crystint.online.routes_control import applied_answer

__all__ = ["MASK", "mask_routes", "put_mask"]

MASK = "/api/v1/mask"
HDF5 = "application/x-hdf5"
_IMAGES: dict[int | str, dict[str, Any]] = {200: {"content": {NPY: {}, TIFF: {}, HDF5: {}}}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            TIFF: {"schema": {"type": "string", "format": "binary"}},
            NPY: {"schema": {"type": "string", "format": "binary"}},
            JSON: {
                "schema": {
                    "oneOf": [{"$ref": f"#/components/schemas/{each.__name__}"} for each in (MaskByPath, MaskByShapes)]
                }
            },
        },
    }
}
Layer = Literal["user", "detector", "total"]


def mask_routes(broker: Broker) -> APIRouter:
    """Routes round the mask of the control."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])

    @api.get("/mask", response_model=MaskSummary, responses=_IMAGES)
    async def mask(
        request: Request, layer: Annotated[Layer, Query(description="user, detector, or both")] = "total"
    ) -> Response:
        """A layer of the mask, 0 = good: as numbers, or with its bits as NumPy, TIFF or HDF5 by Accept."""
        kind = preferred(request.headers.get("accept"), (JSON, NPY, TIFF, HDF5, BYTES))
        bits = await broker.ask(broker.control.mask, layer)
        if kind == JSON:
            return answer(await broker.ask(_summary, layer, bits))
        return await broker.ask(_image, bits, kind)

    @api.put("/mask", response_model=AppliedModel, openapi_extra=_BODY)
    async def change_mask(request: Request) -> Response:
        """Replace the user's mask: TIFF of 8, 16 or 32 bits, NumPy, a file of the server, or shapes. 0 = good.

        Shapes can be added to it or taken out of it as well.

        It becomes bit 8 of the NXmx mask from the image on that the answer tells.
        """
        body = await request.body()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return applied_answer(await broker.change(put_mask, broker, body, kind))

    @api.delete("/mask", response_model=AppliedModel)
    async def remove_mask() -> Response:
        """Remove the user's mask."""
        return applied_answer(await broker.change(broker.control.change_mask, None))

    @api.get("/rois/map", response_class=Response, responses=_IMAGES)
    async def roi_map(request: Request) -> Response:
        """The regions as an image, bit i = region i, as NumPy, TIFF or HDF5 by Accept; X-Names has their names."""
        kind = preferred(request.headers.get("accept"), (NPY, TIFF, HDF5, BYTES))
        bits, names = await broker.ask(broker.control.roi_map)
        if kind == HDF5:
            document = (await broker.ask(broker.control.rois))["document"]
            content = await broker.ask(file_bytes, ".h5", partial(_write_regions, document, bits, names))
            response = Response(content, media_type=HDF5)
        else:
            response = await broker.ask(_image, bits, kind)
        response.headers["X-Names"] = ",".join(names)
        return response

    return api


def _summary(layer: str, bits: NDArray[np.uint32]) -> dict[str, Any]:
    counts = {str(bit): int(np.count_nonzero(bits & np.uint32(1 << bit))) for bit in range(32)}
    return {
        "layer": layer,
        "shape": list(bits.shape),
        "masked": int(np.count_nonzero(bits)),
        "bits": {bit: count for bit, count in counts.items() if count},
    }


def _image(image: NDArray[Any], kind: str) -> Response:
    if kind == TIFF:
        return Response(tiff_bytes(image), media_type=TIFF)
    if kind == HDF5:
        bits = image.astype(np.uint32)
        return Response(file_bytes(".h5", lambda path: write_mask(path, bits, provenance={})), media_type=HDF5)
    return Response(npy_bytes(image), media_type=NPY)


def _write_regions(document: dict[str, Any], bits: NDArray[Any], names: tuple[str, ...], path: Path) -> None:
    """Definitions and map, as in the files of ``crystint roi``, without frames."""
    flat = bits.reshape(-1)
    pixels = tuple(np.flatnonzero(flat & flat.dtype.type(1 << bit)).astype(np.uint32) for bit in range(len(names)))
    details = {name: {"pixels": len(each), "clipped": False} for name, each in zip(names, pixels, strict=True)}
    members = RoiMembers(names, (bits.shape[0], bits.shape[1]), pixels, details)
    write_rois(
        path, np.zeros((0, len(names)), ROI_DTYPE), Rois.from_dict(document), members,
        results=empty_frame_table(0), geometry=None, provenance={},
    )  # fmt: skip


def put_mask(broker: Broker, body: bytes, kind: str) -> Any:
    """Replace the user's mask by what was uploaded: an image, or JSON as its type says."""
    shape = _shape(broker)
    if kind == JSON or (not kind and body[:1] == b"{"):
        mask = _described(broker, body, shape)
    else:
        try:
            mask = read_mask_bytes(body, kind, shape)
        except CrystintError as error:
            raise RefusedError("bad_value", str(error)) from None
    if shape is not None and mask.shape != shape:
        hint = "; it looks transposed" if mask.shape == shape[::-1] else ""
        raise RefusedError("bad_value", f"the mask is {mask.shape}, expected {shape} (slow, fast){hint}")
    return broker.control.change_mask(mask)


def _shape(broker: Broker) -> tuple[int, int] | None:
    """Of the detector; None = no series told it yet."""
    try:
        shape = broker.control.mask("detector").shape
    except RefusedError as error:
        if error.reason == "busy":
            raise
        return None
    return shape[0], shape[1]


def _described(broker: Broker, body: bytes, shape: tuple[int, int] | None) -> NDArray[np.uint32]:
    """A mask that is described: a file of ours, or shapes."""
    try:
        if b'"path"' in body:
            return _of_file(broker, MaskByPath.model_validate_json(body), shape)
        shapes = MaskByShapes.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        text = f"{place}: {first['msg']}" if place else first["msg"]
        raise RefusedError("bad_value", f"{text}; expected {{path, dataset}} or {{shapes}}", place or None) from None
    if shape is None:
        raise RefusedError("wrong_state", "no series told the shape of the detector yet: send the mask as an image")
    mask = _of_shapes(broker, shapes.shapes, shape)
    if shapes.how == "replace":
        return mask
    before = broker.control.mask("user")
    if before.shape != shape:
        text = f"the user's mask is {before.shape}, the detector {shape} (slow, fast): replace it"
        raise RefusedError("wrong_state", text, "how")
    masked = (before != 0) | (mask != 0) if shapes.how == "add" else (before != 0) & (mask == 0)
    return np.asarray(masked, dtype=np.uint32)


def _of_file(broker: Broker, request: MaskByPath, shape: tuple[int, int] | None) -> NDArray[np.uint32]:
    path = file_below(broker.data_root, request.path)
    if not is_hdf5(path) and path.suffix.lower() not in (".npy", ".tif", ".tiff"):
        raise RefusedError("bad_value", f"{request.path[:200]!r} is no HDF5, TIFF or NumPy file", "path")
    try:
        return read_mask(path, dataset=request.dataset, shape=shape)
    except CrystintError as error:
        raise RefusedError("bad_value", str(error).replace(str(path), request.path), "path") from None


def _of_shapes(broker: Broker, shapes: list[dict[str, Any]], shape: tuple[int, int]) -> NDArray[np.uint32]:
    mask = np.zeros(shape, np.uint32)
    geometry = None
    if any(each.get("type") == "azimuthal" for each in shapes):
        told = (broker.control.status().get("series") or {}).get("geometry")
        geometry = None if told is None else Geometry.from_dict(told)
    for number, each in enumerate(shapes):
        try:
            region = Roi.from_dict({"name": f"shape{number}", **each})
            members = members_of((region,), geometry, shape, strict=True)
        except SettingError as error:
            place = f"shapes.{number}" + (f".{error.field}" if getattr(error, "field", None) else "")
            raise RefusedError("bad_value", f"shape {number}: {error}", place) from None
        mask.reshape(-1)[members.pixels[0]] = 1
    return mask
