"""Regions of a streamed series are those of ``crystint roi`` on the same frames, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

import crystint
from crystint.model.rois import Roi, Rois
from crystint.online import AnalysisSettings, Service
from crystint.stream import End, Image, SeriesKey, Start, encode_end, encode_frame, encode_image, encode_start
from tests.oracles import rois as oracle

SHAPE = (83, 61)
GEOMETRY = crystint.Geometry(SHAPE, (1e-4, 1e-4), 0.03, (40.3, 28.9), wavelength=1.1)
ROIS = Rois(
    (
        Roi.box("box", slow=(30, 50), fast=(20, 60)),
        Roi.circle("circle", center=(10.25, 50.5), radius=4.5),
        Roi.azimuthal("sector", q_min=0.3, q_max=0.5, phi_min_deg=350.0, phi_max_deg=10.0),
        Roi.polygon("polygon", [(5.0, 5.0), (20.5, 8.25), (12.0, 30.0)]),
        Roi.bitmap("bitmap", np.arange(83 * 61).reshape(SHAPE) % 7 == 0),
    )
)


@pytest.mark.parametrize("algorithm", ["bslz4", "lz4", "none"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4"])
def test_streamed_regions_are_those_of_files(tmp_path, rng, dtype, algorithm):
    frames = rng.poisson(4.0, (2, *SHAPE)).astype(dtype)
    frames[:, 40, 25] = 100
    mask = (rng.random(SHAPE) < 0.05).astype(np.uint32)
    np.save(tmp_path / "frames.npy", frames)
    np.save(tmp_path / "mask.npy", mask)
    GEOMETRY.write(tmp_path / "g.json")
    settings = {"rings": 20, "mask": [tmp_path / "mask.npy"], "min_valid": 0}
    by_file = crystint.separation.sum_regions(
        [tmp_path / "frames.npy"], [tmp_path / "o.h5"], ROIS, settings | {"geometry": tmp_path / "g.json"}, device="cpu"
    ).result
    series, results = SeriesKey(1, "a"), []
    with Service(settings=AnalysisSettings.of(settings)) as service:
        service.on_result(results.append)
        service.change_rois(ROIS.to_dict())
        service.take(encode_start(Start(series, SHAPE, "stream2", images=2, geometry=GEOMETRY)))
        for number, frame in enumerate(frames):
            service.take(encode_image(Image(series, number, {"threshold_1": encode_frame(frame, algorithm)})))
        service.take(encode_end(End(series)))
        assert service.wait("idle")
    assert [result.number for result in results] == [0, 1]
    q, phi = oracle.q_and_phi(GEOMETRY.to_dict())
    for result in results:
        assert result.roi_names == ROIS.names
        assert result.rois.tobytes() == by_file[result.number].tobytes()
        for region, roi in enumerate(ROIS):
            inside = oracle.members(roi.to_dict(), SHAPE, q, phi)
            expected = oracle.values(frames[result.number], inside, mask != 0, np.zeros(SHAPE, bool))
            assert {name: result.rois[name][region] for name in ("sum", "max", "npixel", "masked")} == {
                name: expected[name] for name in ("sum", "max", "npixel", "masked")
            }
