"""``crystint verify``: whether files still are what was written."""

from __future__ import annotations

from os import fspath

from crystint.errors import CrystintError
from crystint.information.settings import VerifySettings
from crystint.io.names import expand
from crystint.io.verify import Verified, verify
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.units import readable_size

__all__ = ["verify_files"]


def verify_files(job: Job[VerifySettings]) -> Outcome:
    """Check files. One that cannot be read does not keep the others from being checked."""
    names = [path for source in job.inputs["files"] for path in expand(source)]
    results: list[Verified] = []
    errors: list[CrystintError] = []
    for name in job.progress(names, len(names), "verify") if len(names) > 1 else names:
        try:
            results.append(verify(name))
        except CrystintError as error:
            errors.append(error)
    lines = [
        f"{result.path}: {'as it was written' if result.ok else 'NOT VALID'}, "
        f"{result.sets} data sets, {readable_size(result.size)}"
        for result in results
    ]
    data = [result.to_dict() for result in results] + [{"error": str(error)} for error in errors]
    more = f" ({len(errors) - 1} more unreadable)" if len(errors) > 1 else ""
    broken = [f"{fspath(result.path)}: {problem}" for result in results for problem in result.problems]
    return Outcome(
        "\n".join(lines), results, data=data, failed=f"{errors[0]}{more}" if errors else "", broken=tuple(broken)
    )
