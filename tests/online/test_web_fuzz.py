"""A few hundred requests that schemathesis makes of the OpenAPI document; ``scripts/fuzz-web`` makes thousands."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_no_request_makes_a_fault_of_ours():
    command = [sys.executable, str(ROOT / "scripts/fuzz-web"), "120", "7", "fuzzing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    counts = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counts is not None
    assert int(counts[1]) == int(counts[2]) > 100
    assert "failed:" not in done.stderr, "a fault was told on stderr"
