"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crystint.engine import Engine, devices
from tests.processes import end_all

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CRYSTINT_TEST_DATA", ROOT.parent / "shared" / "data"))


def shared_data(name: str) -> Path:
    """Path of a real data file that is kept beside the checkout; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"real data not present: {name} (set CRYSTINT_TEST_DATA to the folder that holds it)")
    return path


DEVICES = devices()


@pytest.fixture(scope="session", params=[device.id for device in DEVICES] or ["none"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every test that takes `engine` runs on every OpenCL device of this machine."""
    return Engine(request.param)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Processes of a test that failed half-way are ended."""
    yield
    end_all()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
