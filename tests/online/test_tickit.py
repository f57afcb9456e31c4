"""Series of tickit-devices' EIGER, in an environment of its own since it needs cbor2 < 6."""

from __future__ import annotations

import os

import pytest

from benchmarks.online_tickit import problems, series_of_tickit

PYTHON = os.environ.get("CRYSTINT_TICKIT", "")


@pytest.mark.skipif(not PYTHON, reason="CRYSTINT_TICKIT does not name a python that has tickit-devices and cbor2 < 6")
@pytest.mark.parametrize("side", [0, 64])
def test_a_series_of_tickit_closes_its_books(side):
    assert problems(series_of_tickit(PYTHON, side, 3), side, 3) == []
