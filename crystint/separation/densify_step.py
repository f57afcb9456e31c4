"""``crystint densify``: whole frames again from a sparse file, streamed to an NXmx file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from crystint.engine import Engine
from crystint.errors import FileError, note, warn
from crystint.io.frame_record import FrameRecord
from crystint.io.linked_files import files_read
from crystint.io.sparse.dense_file import DenseWriter, pack_frame
from crystint.io.sparse.file import SparseFile
from crystint.io.sparse.open import open_sparse
from crystint.model.scan_checks import irregularities
from crystint.ops.densify import Densifier
from crystint.run.in_progress import in_progress
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.separation.results import Separated, outcome_of
from crystint.separation.settings import DensifySettings

__all__ = ["densify"]


@dataclass(eq=False)
class _Worker:
    """As `crystint.run.frame_work.FrameWorker`."""

    sparse: SparseFile
    source: str
    densifier: Densifier
    settings: DensifySettings

    @property
    def total(self) -> int:
        return len(self.sparse)

    @property
    def device(self) -> str:
        return self.densifier.engine.device.name

    def record(self, number: int, _first: Any) -> FrameRecord:
        """The whole frame, packed as it will stand in the file."""
        try:
            frame = self.sparse[number]
        except FileError as error:
            return FrameRecord(number, missing=str(error))
        if frame.missing:
            return FrameRecord(number, missing=f"frame {number} is missing in {self.source}")
        dense = self.densifier.run(frame, self.settings.noise, self.settings.seed)
        packed = pack_frame(dense, self.settings.compression)
        return FrameRecord(number, arrays={"frame": dense} if packed is None else {"packed": packed})


@dataclass(frozen=True, slots=True)
class _Work:
    """As `crystint.run.frame_work.FrameWork`."""

    source: str
    settings: DensifySettings

    @contextmanager
    def open(self, device: str | None) -> Iterator[_Worker]:
        with open_sparse(self.source) as sparse:
            yield _Worker(sparse, self.source, Densifier(Engine(device), sparse.rings), self.settings)


def densify(job: Job[DensifySettings]) -> Outcome:
    """Whole frames. Missing ones become frames of masked pixels, and are recorded as missing."""
    settings, how, source, (output,) = job.settings, job.execution, job.input("sparse"), job.outputs
    with open_sparse(source) as sparse:
        total = len(sparse)
        if sparse.vetoed:
            number = len(sparse.vetoed)
            warn(
                f"{number} frames of {source} were vetoed, as no hits: their signal is not in it, and they become "
                "frames of their background alone"
            )
        if not total:
            raise FileError(f"{source}: no frames in it")
        if settings.compression == "auto":
            settings = settings.model_copy(update={"compression": _compression(sparse.provenance)})
        if job.finished:
            return job.nothing_to_do(compression_used=settings.compression, sparse=sparse.provenance)
        _tell(sparse)
        worker = None
        if not how.elsewhere:
            worker = _Worker(sparse, str(source), Densifier(Engine(how.device), sparse.rings), settings)
        work = _Work(str(source.resolve()), settings)
        files = tuple(map(str, files_read([source])))
        with in_progress(job, work, worker, total, same={}, files=files) as progress:
            writer = DenseWriter(
                output,
                sparse.shape,
                sparse.dtype,
                geometry=sparse.geometry,
                mask=sparse.rings.mask,
                saturation=_saturation(sparse.provenance),
                provenance=job.provenance(
                    command=progress.command,
                    device=progress.device,
                    compression_used=settings.compression,
                    sparse=sparse.provenance,
                ),
                compression=settings.compression,
                overwrite=job.overwrite,
                valid=sparse.rings.valid,
                scan=sparse.scan,
                instrument=sparse.instrument,
                metadata=sparse.metadata(),
            )
            with writer, closing(progress.records()) as records:
                for record in job.progress(records, total, "densify"):
                    if record.missing is not None:
                        writer.write_missing()
                    elif "packed" in record.arrays:
                        writer.write_packed(record.arrays["packed"])
                    else:
                        writer.write(record.arrays["frame"])
                progress.check()
                if progress.stopped:
                    writer.end_early(total)
    return outcome_of(progress, Separated(packing=settings.compression))


def _used(made: Mapping[str, Any], name: str) -> Any:
    """What the run that made a sparse file used, from its provenance; None = not recorded."""
    settings = made.get("settings", {})
    return settings.get(name) if isinstance(settings, Mapping) else None


def _compression(made: Mapping[str, Any]) -> str:
    """What those who read the raw frames can read."""
    return "bslz4" if _used(made, "frames_in_bslz4") is True else "gzip"


def _tell(sparse: SparseFile) -> None:
    """Say what programs that read the dense file will take otherwise, or lack."""
    scan = sparse.scan
    if scan is None or not scan.rotates:
        return
    for sentence in irregularities(scan):
        warn(f"programs that take a scan for regular, as DIALS does, will read other angles or times: {sentence}")
    if sparse.instrument.thickness is None:
        note(
            f"{sparse.path} does not tell how thick the sensor is: DIALS will take positions of spots as they are on "
            "its surface, without parallax"
        )


def _saturation(made: Mapping[str, Any]) -> float | None:
    """The saturation value that a sparse file was made with; None = not recorded."""
    value = _used(made, "saturation_used")
    return float(value) if isinstance(value, int | float) else None
