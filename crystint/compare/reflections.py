"""What `crystint.summation` tells of reflections, under the roof of comparisons."""

from __future__ import annotations

from crystint.summation.audit import ReflectionAudit
from crystint.summation.verdict import Verdict, verdicts

__all__ = ["ReflectionAudit", "Verdict", "verdicts"]
