"""Views: blocks of pixels beside a slow loop over blocks."""

import numpy as np
import pytest

from crystint.errors import RefusedError
from crystint.online.views import contrast, parse_range, parse_size, view_of


def slow_view(values, bad, region, factor, how):
    s0, s1, f0, f1 = region
    rows = []
    for s in range(s0, s1, factor):
        row = []
        for f in range(f0, f1, factor):
            block = values[s : min(s + factor, s1), f : min(f + factor, f1)]
            good = block[~bad[s : min(s + factor, s1), f : min(f + factor, f1)]].tolist()
            row.append({"max": max, "sum": sum, "mean": lambda x: sum(x) / len(x)}[how](good) if good else None)
        rows.append(row)
    return rows


@pytest.mark.parametrize("how", ["max", "mean", "sum"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", "i4", "i8", "f4"])
def test_blocks_are_those_of_a_loop(how, dtype):
    rng = np.random.default_rng(3)
    values = rng.integers(0, 100, (37, 51)).astype(dtype) - (40 if dtype[0] in "if" else 0)
    values = values.astype(dtype)
    bad = rng.random(values.shape) < 0.4
    bad[8:16, :20] = True
    for region, size in (((0, 37, 0, 51), (10, 10)), ((5, 30, 7, 50), (9, 40)), ((3, 4, 2, 3), (50, 50))):
        view = view_of(values, bad, region, size, how)
        assert view.values.shape[0] <= size[0]
        assert view.values.shape[1] <= size[1]
        expected = slow_view(values, bad, region, view.factor, how)
        for line, wanted in zip(view.values, expected, strict=True):
            for value, want in zip(line, wanted, strict=True):
                if want is None:
                    assert np.isnan(value) if view.unusable is None else value == view.unusable
                else:
                    assert value == pytest.approx(want, rel=1e-6)


def test_ranges_and_sizes_are_checked():
    assert parse_range("10:20", 100, "slow") == (10, 20)
    assert parse_range(":20", 100, "slow") == (0, 20)
    assert parse_range("-5:1000", 100, "slow") == (0, 100)
    assert parse_size("300x200") == (200, 300)
    for text in ("5", "a:b", "7:7", "9:3", "200:300", "1:2:3", ":" * 50):
        with pytest.raises(RefusedError, match="slow is"):
            parse_range(text, 100, "slow")
    for text in ("5", "0x9", "-1x4", "1e3x2", "99999x99999", "²x2"):
        with pytest.raises(RefusedError, match="size is"):
            parse_size(text)


def test_contrast_leaves_out_what_is_no_measurement():
    values = np.full((50, 50), 7, np.uint16)
    values[0, 0], values[1, 1] = 65535, 30
    low, high = contrast(values, values != 65535)
    assert (low, high) == (0.0, 7.0)
    assert contrast(values, np.zeros_like(values, bool)) == (0.0, 1.0)
