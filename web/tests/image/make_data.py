"""Makes the files in data/ that the unit tests compare with: `python web/tests/image/make_data.py`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from crystint import Geometry, Panel
from crystint.stream import encode_frame

HERE = Path(__file__).parent / "data"


def packed() -> list[dict[str, Any]]:
    """Arrays, packed by bitshuffle's own code."""
    rng = np.random.default_rng(5)
    made = []
    for name in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "u8", "i8", "f8"):
        dtype = np.dtype("<" + name)
        for shape in ((1, 3), (3, 5), (8, 8), (19, 27), (37, 61)):
            values = rng.poisson(1.0, shape).astype(dtype)
            if dtype.kind != "f":
                limits = np.iinfo(dtype)
                values.flat[:: 1 + values.size // 7] = limits.max
                values.flat[1 :: 1 + values.size // 5] = limits.min
            else:
                values += rng.normal(size=shape).astype(dtype)
                values.flat[:: 1 + values.size // 7] = np.nan
            if shape[0] == 37 and dtype.kind == "f":
                continue
            frame = encode_frame(values)
            made.append({
                "dtype": values.dtype.newbyteorder("<").str,
                "shape": shape,
                "packed": base64.b64encode(bytes(frame.data)).decode(),
                "bytes": base64.b64encode(values.tobytes()).decode(),
            })  # fmt: skip
    return made


def geometries() -> list[dict[str, Any]]:
    """Places on detectors, with what `Geometry` says of them."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(20):
        shape = tuple(int(n) for n in rng.integers(50, 3000, 2))
        size = tuple(rng.uniform(2e-5, 3e-4, 2))
        center = tuple(rng.uniform(-0.5, 1.5, 2) * shape)
        rotation = tuple(rng.uniform(-0.9, 0.9, 3)) if number % 3 else (0.0, 0.0, 0.0)
        panels = None
        if number % 5 == 4:
            half = shape[0] // 2
            panels = tuple(
                Panel(
                    slow, (0, shape[1]), (*rng.uniform(-0.2, 0.2, 2), float(rng.uniform(0.1, 1.0))),
                    tuple(rng.normal(scale=1e-4, size=3)), tuple(rng.normal(scale=1e-4, size=3)),
                )
                for slow in ((0, half), (half, shape[0] - 3))
            )  # fmt: skip
        geometry = Geometry(
            shape, size, float(rng.uniform(0.05, 2.0)), center, float(rng.uniform(0.3, 3.0)), rotation,
            beam_outside=True, panels=panels,
        )  # fmt: skip
        slow, fast = (rng.uniform(0.0, n, 8) for n in shape)
        made.append({
            "geometry": geometry.to_dict(),
            "direct_beam": _plain(np.array(geometry.direct_beam)),
            "slow": _plain(slow), "fast": _plain(fast),
            "two_theta": _plain(geometry.two_theta_at(slow, fast)),
            "q": _plain(geometry.q_at(slow, fast)), "d": _plain(geometry.d_at(slow, fast)),
        })  # fmt: skip
    return made


def _plain(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for name, content in (("packed", packed()), ("geometries", geometries())):
        lines = ",\n".join(json.dumps(each) for each in content)
        (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")
