"""What a run does where the frames do not tell the width of the rocking curve."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crystint.errors import CrystintWarning, FileError
from crystint.io.reflections.dials_profiles import read_mosaicity
from crystint.stills import start_width
from crystint.stills.integration.first_width import NoWidthError
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.simulate import simulate_stills
from crystint.stills.step_functions import integrate_files

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested


@pytest.fixture
def made(tmp_path):
    data = simulate_stills(5, d_min=6.0, shape=(120, 110), distance=0.06, domain=2e-3, spot=2.5e-3, seed=4)
    return write_frames(data, tmp_path / "frames.h5")


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def nothing(*_, **__):
    raise NoWidthError("the width of the rocking curve cannot be measured: so it is")


def test_the_profile_model_stands_in_with_a_warning(made, tmp_path, monkeypatch):
    frames, experiment = made
    changed(experiment, lambda content: content.update(profile=[{"sigma_m": 0.5}, {"sigma_m": [0.5, 0.5]}]))
    monkeypatch.setattr(start_width, "first_width", nothing)
    with pytest.warns(CrystintWarning, match="so it is. It is that of the profile model"):
        done = integrate_files(experiment, [frames], [tmp_path / "o.h5"], d_min=6.0)
    assert done.result.width.mosaicity == pytest.approx(np.sqrt(2.0) * np.radians(0.5))
    assert done.result.width.domain == 0.0
    assert "(of the profile model)" in done.text


def test_without_a_profile_model_nothing_is_integrated(made, tmp_path, monkeypatch):
    frames, experiment = made
    monkeypatch.setattr(start_width, "first_width", nothing)
    with pytest.raises(NoWidthError, match="so it is"):
        integrate_files(experiment, [frames], [tmp_path / "o.h5"], d_min=6.0)
    assert not (tmp_path / "o.h5").exists()


def test_images_that_cannot_be_used_are_named_before_the_width(made, tmp_path):
    frames, experiment = made

    def flat(content):
        for crystal in content["crystal"]:
            crystal["real_space_c"] = crystal["real_space_b"]

    good = json.loads(experiment.read_text())["crystal"][1]
    changed(experiment, flat)
    with pytest.raises(
        FileError,
        match=r"none of its 5 images can be integrated: frames\.h5//0: its orientation .* singular .*; and 2 more",
    ):
        integrate_files(experiment, [frames], [tmp_path / "o.h5"])
    changed(experiment, lambda content: content["crystal"].__setitem__(1, good))
    done = integrate_files(experiment, [frames], [tmp_path / "o.h5"], d_min=6.0, domain=2e-3)
    assert sorted(done.notes) == [0, 2, 3, 4]


def test_mosaicity_of_profile_models(tmp_path):
    path = tmp_path / "a.expt"
    for profiles, wanted in (
        ([], None),
        ([{"sigma_m": 0.0}, {"sigma_b": 0.1}], None),
        ([{"sigma_m": 0.2}, {"sigma_m": [0.1, 0.4]}], 0.2),
    ):
        path.write_text(json.dumps({"profile": profiles}))
        found = read_mosaicity(path)
        assert found == (wanted if wanted is None else pytest.approx(np.radians(wanted)))
    path.write_text("[]")
    with pytest.raises(FileError, match="no list of experiments"):
        read_mosaicity(path)
    with pytest.raises(FileError, match="does not exist"):
        read_mosaicity(tmp_path / "none.expt")
