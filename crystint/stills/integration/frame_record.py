"""What a frame gave, as a record: the same bytes from a thread, a journal and another machine."""

from __future__ import annotations

from dataclasses import fields

from crystint.io.frame_record import FrameRecord
from crystint.model.observations import Observations
from crystint.stills.integration.frame_stream import FrameResult
from crystint.stills.integration.one_frame import FramePart
from crystint.stills.integration.spot_moments import SpotMoments

__all__ = ["record_of", "result_of"]

_OBSERVATIONS, _MOMENTS = Observations.columns(), tuple(item.name for item in fields(SpotMoments))
_ARRAYS = ("ring_pixels", "captured", "both", "away", "pixel", "fit")


def record_of(number: int, result: FrameResult) -> FrameRecord:
    """The record of frame `number`."""
    facts = {"notes": [[image, text] for image, text in result.notes.items()]}
    part = result.part
    if part is None:
        return FrameRecord(number, result.missing, facts)
    arrays = {f"observations/{name}": getattr(part.observations, name) for name in _OBSERVATIONS}
    arrays |= {f"moments/{name}": getattr(part.moments, name) for name in _MOMENTS}
    arrays |= {name: getattr(part, name) for name in _ARRAYS}
    arrays |= {f"rings/{which}": values for which, values in enumerate(part.rings)}
    return FrameRecord(number, None, {**facts, "guess": part.guess, "terms": list(part.terms.items())}, arrays)


def result_of(record: FrameRecord) -> FrameResult:
    """The inverse of `record_of`. Arrays are views of the record's."""
    notes = {int(image): str(text) for image, text in record.facts["notes"]}
    if "guess" not in record.facts:
        return FrameResult(None, notes, record.missing)
    arrays = record.arrays
    part = FramePart(
        observations=Observations(**{name: arrays[f"observations/{name}"] for name in _OBSERVATIONS}),
        moments=SpotMoments(**{name: arrays[f"moments/{name}"] for name in _MOMENTS}),
        guess=record.facts["guess"],
        terms={int(image): int(count) for image, count in record.facts["terms"]},
        rings=(arrays["rings/0"], arrays["rings/1"]),
        **{name: arrays[name] for name in _ARRAYS},
    )
    return FrameResult(part, notes)
