"""Tables of DIALS without lp and qe get them from the experiment; a reference that has nothing to say is told of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crystint.errors import CrystintWarning, recorded_warnings
from crystint.io.reflections.dials_observations import read_refl_observations
from crystint.io.reflections.dials_table_out import write_table
from crystint.io.reflections.mtz_out import write_merged_mtz
from crystint.prediction.factors import factors_of
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.predict import predict
from crystint.stills.inputs import read_data, read_experiment
from crystint.stills.simulate_step import _merged
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.simulate import simulate_stills
from crystint.stills.step_functions import integrate_files

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data = simulate_stills(
        3, d_min=3.0, shape=(300, 310), distance=0.06, domain=1e-3, thickness=4.5e-4, attenuation=700.0, seed=3
    )
    return data, *write_frames(data, tmp_path_factory.mktemp("stills") / "frames.h5")


def table(path, found, **more):
    write_table(
        path,
        {
            "id": ("int", found.image),
            "miller_index": ("cctbx::miller::index<>", found.hkl),
            "panel": ("std::size_t", found.panel),
            "flags": ("std::size_t", np.full(len(found), 256)),
            "xyzcal.px": ("vec3<double>", np.stack([found.fast, found.slow, 0.5 + 0 * found.slow], axis=1)),
            "intensity.sum.value": ("double", np.full(len(found), 100.0)),
            "intensity.sum.variance": ("double", np.full(len(found), 100.0)),
            **{name: ("double", values) for name, values in more.items()},
        },
        overwrite=True,
    )


def test_polarization_and_efficiency_are_computed(made, tmp_path):
    experiment = read_experiment(made[2])
    found = predict(experiment, 3.0, RockingWidth(1e-3))
    assert np.ptp(found.polarization) > 0.02
    both = factors_of(experiment, found.image, found.hkl, found.panel)
    np.testing.assert_allclose(both[0], found.polarization)
    np.testing.assert_allclose(both[1], found.efficiency)
    path = tmp_path / "frames.refl"
    table(path, found)
    text = "has no lp and no qe: polarization and efficiency of the sensor computed from the experiment"
    with pytest.warns(CrystintWarning, match=text):
        data = read_data(path, experiment)
    np.testing.assert_allclose(data.observations.correction, found.polarization * found.efficiency)
    table(path, found, lp=np.full(len(found), 2.0))
    np.testing.assert_allclose(read_data(path, experiment).observations.correction, 0.5 * found.efficiency)
    table(path, found, qe=np.full(len(found), 0.5), lp=np.full(len(found), 2.0))
    with recorded_warnings() as messages:
        data = read_data(path, experiment)
    np.testing.assert_allclose(data.observations.correction, 0.25)
    assert not any("computed" in text for text in messages)
    table(path, found)
    with pytest.warns(CrystintWarning, match="not corrected for that"):
        assert np.all(read_refl_observations(path, experiment).correction == 1.0)


def test_a_reference_of_other_reflections_is_told(made, tmp_path):
    data, frames, experiment = made
    known = _merged(data)
    write_merged_mtz(tmp_path / "own.mtz", known)
    known.hkl = known.hkl + np.array([40, 40, 40], dtype=np.int32)
    write_merged_mtz(tmp_path / "other.mtz", known)
    run = {"d_min": 3.0, "domain": 1e-3}
    messages = {}
    for name in ("own", "other"):
        with recorded_warnings() as messages[name]:
            integrate_files(experiment, [frames], [tmp_path / f"{name}.h5"], reference=tmp_path / f"{name}.mtz", **run)
    assert not any("the reference" in text for text in messages["own"])
    assert any("other.mtz holds none of the" in text for text in messages["other"])


def test_a_reference_of_another_cell_is_told(made, tmp_path):
    data, frames, experiment = made
    write_merged_mtz(tmp_path / "own.mtz", _merged(data))
    other = tmp_path / "other.expt"
    content = json.loads(experiment.read_text())
    for crystal in content["crystal"]:
        crystal["real_space_a"] = [1.1 * value for value in crystal["real_space_a"]]
    other.write_text(json.dumps(content))
    with pytest.warns(CrystintWarning, match="the cell of the reference"):
        integrate_files(other, [frames], [tmp_path / "o.h5"], reference=tmp_path / "own.mtz", d_min=3.0, domain=1e-3)
