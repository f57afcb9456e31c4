"""Whose partialities are scaled with: a rocking width is fitted where it explains observations that it did not see."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import SettingError
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import read_stills
from crystint.stills.left_out import divided, left_out_loss, scaled_and_merged
from crystint.stills.scale_width import with_width
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.gain import gain_of
from crystint.stills.settings import ScaleSettings
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.simulate import simulate_stills
from crystint.stills.step_functions import merge_files, scale_files
from tests.oracles import dials_files
from tests.stills.streams import write_stream

OPTIONS = {"refine_b": True, "wavelength_nodes": 0, "min_partiality": 0.1, "prior_ln_g": 1.5, "prior_b": 20.0}
GEOMETRY = {"d_min": 4.0, "shape": (300, 320), "distance": 0.05}


@pytest.fixture(scope="module")
def data():
    return simulate_stills(30, seed=4, **GEOMETRY)


def flat(data):
    """Its observations as a program without a model of partiality gives them."""
    table = data.observations()
    return table.replace(partiality=np.ones(len(table)))


def averaged(data):
    """The same of crystals whose excitation does not matter: full intensities."""
    table = data.observations(noise="none")
    full = table.intensity / table.partiality
    noise = np.random.default_rng(3).normal(size=len(table))
    sigma = np.sqrt(table.background_variance + full)
    return table.replace(
        intensity=full * (1 + 0.3 * noise) + sigma * noise[::-1],
        sigma=np.hypot(sigma, 0.3 * full),
        partiality=np.ones(len(table)),
    )


def treated(table, experiment, width=None, **settings):
    inputs = SimpleNamespace(experiment=experiment, width=width)
    options = {**OPTIONS, "space_group": experiment.space_group, "reference": settings.pop("reference", None)}
    return with_width(table, inputs, ScaleSettings(**settings), options)


def test_a_width_is_fitted_to_partial_observations_of_others(data):
    table, width, _, fit, words = treated(flat(data), data.experiment)
    assert width.domain == pytest.approx(1e-3, rel=0.05)
    assert fit.width == width
    np.testing.assert_allclose(table.partiality, np.exp(-((table.excitation / width.at(table.d, 1.0)) ** 2)))
    assert words.endswith("explains left-out observations better than partialities of 1")


@pytest.mark.parametrize("reference", [False, True])
def test_a_width_that_explains_nothing_is_not_taken(data, reference):
    known = data.reference() if reference else None
    table, width, _, fit, words = treated(averaged(data), data.experiment, reference=known)
    assert (table.partiality == 1.0).all()
    assert width is fit is None
    assert words.startswith("partialities are 1: 30 images merged by averaging; ")


def test_the_settings_decide_if_they_say_so(data):
    table, width, _, _, words = treated(flat(data), data.experiment, fit_width=False)
    assert ((table.partiality == 1.0).all(), width) == (True, None)
    assert words == "partialities are 1: 30 images merged by averaging; --fit-width fits them"
    table, width, _, fit, _ = treated(averaged(data), data.experiment, fit_width=True)
    assert fit is not None
    assert not (table.partiality == 1.0).all()


def test_a_width_of_the_integration_is_always_fitted(data):
    _, width, _, fit, words = treated(averaged(data), data.experiment, RockingWidth(1.2e-3))
    assert fit.width == width
    assert "left-out" not in words


def test_partialities_stay_where_no_excitation_is_known(data):
    half = flat(data)
    unknown = half.image % 3 == 0
    half = half.replace(excitation=np.where(unknown, np.nan, half.excitation))
    table, width, *_ = treated(half, data.experiment)
    assert width.domain == pytest.approx(1e-3, rel=0.2)
    assert (table.partiality[unknown] == 1.0).all()
    assert (table.partiality[~unknown] < 1.0).any()
    none = half.replace(excitation=np.full(len(half), np.nan))
    assert treated(none, data.experiment).words.endswith("the input has no excitation errors to fit a width to")
    for asked in ({"fit_width": True}, {"prior_r0": 0.1}):
        with pytest.raises(SettingError, match="excitation"):
            treated(none, data.experiment, **asked)


def test_images_that_share_nothing_are_left_as_they_came():
    data = simulate_stills(2, seed=1, **GEOMETRY)
    words = treated(flat(data), data.experiment).words
    assert words.startswith("partialities are 1: 2 images merged by averaging; ")


def test_priors_reach_the_scales(data, tmp_path):
    stream = write_stream(tmp_path / "run.stream", data, data.observations())
    spreads = []
    for number, prior in enumerate((20.0, 0.01)):
        out = tmp_path / f"{number}.h5"
        scale_files([stream], [out], space_group="P212121", prior_b=prior)
        spreads.append(np.std(read_stills(out).scales.b))
    assert spreads[0] == pytest.approx(np.std(data.b), rel=0.25)
    assert spreads[1] < 0.05


def test_losses_are_those_of_the_formula(data):
    options = {**OPTIONS, "space_group": data.experiment.space_group, "reference": None}
    working, left_out = divided(data.observations(), 30)
    assert len(left_out) == pytest.approx(0.25 * (len(working) + len(left_out)), rel=0.1)
    loss = left_out_loss(working, left_out, data.experiment, options)
    scales, merged = scaled_and_merged(working, data.experiment, options)
    known = merged.match(left_out.hkl, data.experiment.space_group)
    variance = SignalVariance.of(left_out, scales.gain)
    rows, y, v, r2 = [], [], [], []
    for i in range(len(left_out)):
        image, s2 = left_out.image[i], 0.25 / left_out.d[i] ** 2
        factor = math.exp(scales.ln_g[image] - scales.b[image] * s2) * left_out.correction[i] * left_out.partiality[i]
        if math.isfinite(known[i]):
            rows.append(i)
            y.append(factor * max(known[i], 0.0))
            v.append(variance.without_signal[i] + scales.gain * y[-1])
            r2.append((left_out.intensity[i] - y[-1]) ** 2)
    assert np.array_equal(np.flatnonzero(np.isfinite(loss)), rows)
    y, v, r2 = map(np.array, (y, v, r2))
    # of all a and b these make the losses least; the ones taken may be a little off that
    best = min(
        np.where(r2 < 16 * w, r2 / w, 8 * np.sqrt(r2 / w) - 16).mean() + np.log(w).mean()
        for a in np.linspace(0.8, 1.6, 17)
        for b in np.linspace(0.0, 0.2, 21)
        for w in [a * v + (b * y) ** 2]
    )
    assert loss[rows].mean() == pytest.approx(best, abs=0.02)


def test_a_gain_counts_images_not_observations():
    image = np.repeat(np.arange(5, dtype=np.int32), 4)
    before, after = np.zeros(20), np.where(image == 0, -1.0, 0.0)
    before[19] = np.nan
    gain = gain_of(before, after, image)
    assert gain == pytest.approx((4 / 19, 4 / 19, 19))
    assert not gain.certain  # all of it is of one image
    assert gain_of(before, after - 1.0, image).certain
    assert not gain_of(before, np.full(20, -0.005), image).certain  # certain, but not worth it
    assert not gain_of(before, np.full(20, np.nan), image).certain


def dials_table(path, data, table):
    """The same as dials.stills_process writes it: sums, and nothing of a partiality."""
    n = len(table)
    place = np.stack([table.fast, table.slow, np.zeros(n)], axis=1)
    columns = {
        "id": ("int", table.image), "miller_index": ("cctbx::miller::index<>", table.hkl),
        "panel": ("std::size_t", np.zeros(n)),
        "flags": ("std::size_t", np.full(n, 1 << 8)), "d": ("double", table.d), "xyzcal.px": ("vec3<double>", place),
        "intensity.sum.value": ("double", table.intensity), "intensity.sum.variance": ("double", table.sigma**2),
    }  # fmt: skip
    path.with_suffix(".refl").write_bytes(dials_files.table(columns))
    write_frames(data, path.with_suffix(".h5"))  # and the .expt
    return path.with_suffix(".refl")


@pytest.mark.parametrize("write", [write_stream, dials_table])
@pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")
def test_files_of_others_are_scaled_with_partialities(data, tmp_path, write):
    source = write(tmp_path / "run.stream", data, data.observations())
    found = {}
    for name, more in (("auto", []), ("keep", ["--keep-width"])):
        scaled, merged = tmp_path / f"{name}.h5", tmp_path / f"{name}_merged.h5"
        command = ["stills", "scale", str(source), "-o", str(scaled), "--space-group", "P212121", "-q", *more]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        merge_files(scaled, [merged])
        found[name] = result.output, read_stills(merged).merged.statistics.overall.r_split
    assert "left-out observations better than partialities of 1" in found["auto"][0]
    assert "partialities are 1: 30 images merged by averaging; --fit-width" in found["keep"][0]
    assert found["auto"][1] < 0.2 * found["keep"][1]
