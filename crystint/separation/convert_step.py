"""``crystint convert``: a sparse file in its other form."""

from __future__ import annotations

from crystint.io.sparse.open import convert_sparse, open_sparse
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.separation.settings import ConvertSettings
from crystint.units import readable_size

__all__ = ["convert"]


def convert(job: Job[ConvertSettings]) -> Outcome:
    """Turn a plain sparse file, which FabIO reads, into a compact one, or back. Nothing is lost."""
    source, (output,), compact = job.input("sparse"), job.outputs, job.settings.compact
    if compact is None:
        with open_sparse(source) as file:
            compact = not file.compact
    convert_sparse(source, output, compact=compact, overwrite=job.overwrite)
    form = "compact" if compact else "plain"
    return Outcome(f"{form}; {source} is {readable_size(source.stat().st_size)}")
