"""How results of stills show themselves: in a line, in a notebook, in pandas, in axes of others."""

from __future__ import annotations

import inspect
import pickle
import sys

import gemmi
import numpy as np
import pytest

from crystint import stills
from crystint.model.facts import cell_text, counted, range_text, resolution_text

CELL = "60.00 70.00 80.00 90.00 90.00 90.00"
NO_RESULTS = {"Flag"}
"""Classes that are no results: an enumeration has Python's own text."""


@pytest.fixture(scope="module")
def data():
    return stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)


@pytest.fixture(scope="module")
def objects(data, tmp_path_factory):
    """One of each public class, by name."""
    observations, experiment = data.observations(), data.experiment
    scales = stills.scale(observations, experiment, space_group=experiment.space_group)
    merged = stills.merge(observations, scales, space_group=experiment.space_group, cell=experiment.cell)
    width = stills.RockingWidth(domain=1e-3, mosaicity=2e-3)
    integrated = stills.integrate(data.images(), experiment, d_min=4.0, width=width)
    run = stills.StillsRun(
        experiment=experiment, observations=observations, merged=merged, width=width, notes={2: "dark"}
    )
    rotation = stills.simulate_rotation(3)
    path = tmp_path_factory.mktemp("results") / "run.h5"
    stills.write_stills(path, run)
    made = [
        experiment,
        experiment.detectors[0],
        observations,
        stills.predict(experiment, 4.0, width),
        integrated,
        integrated.profile,
        integrated.fit,
        integrated.moments,
        scales,
        merged,
        merged.statistics,
        data.reference(),
        width,
        stills.ErrorModel(a=1.44, b=0.05),
        stills.fit_rocking(
            observations, experiment, reference=data.reference(), start=width, space_group=experiment.space_group
        ),
        stills.fit_image_widths(observations, experiment, scales, width=width, space_group=experiment.space_group),
        stills.refine_geometry(
            experiment,
            *(getattr(data.listed, name) for name in ("image", "hkl", "slow", "fast")),
            *np.ones((2, len(data.listed))),
        ),
        stills.posterior_with_wilson(merged.intensity, merged.sigma, mean=1000.0, centric=False),
        stills.find_ambiguity(observations, cell=experiment.cell, space_group=experiment.space_group),
        stills.french_wilson(
            merged.hkl, merged.intensity, merged.sigma, cell=merged.cell, space_group=merged.space_group
        ),
        stills.BoxRules(),
        data.settings,
        data.settings.crystal,
        data,
        stills.StillsInput(observations, experiment),
        run,
        rotation.settings,
        rotation,
    ]
    with stills.open_stills(path) as file:
        yield {type(one).__name__: one for one in [*made, file]}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Experiment", ["20 images", "P 21 21 21", CELL]),
        ("Detector", ["300 x 320 px", "1 panel>"]),
        ("Observations", ["of 20 images", "to 4.00 angstrom"]),
        ("Prediction", ["reflections of 20 images", "to 4.00 angstrom"]),
        ("Integrated", ["observations of 20 images>"]),
        ("ProfileWidths", ["shell", "radial", "1/angstrom"]),
        ("ImageFit", ["20 images", "chi^2 "]),
        ("SpotMoments", ["spots of "]),
        ("Scales", ["20 of 20 images scaled", ", converged after "]),
        ("Merged", ["reflections from", "P 21 21 21", "to 4.0"]),
        ("Statistics", ["shells", "CC1/2 0.", "R_meas 0."]),
        ("Reference", ["reflections", "P 21 21 21", CELL]),
        ("RockingWidth", ["domain 0.001 1/angstrom", "mosaicity 0.002 rad"]),
        ("ErrorModel", ["a = 1.44", "b = 0.05", "ISa 20>"]),
        ("RockingFit", ["domain 0.00", " ± ", "20 images"]),
        ("ImageWidths", ["20 images", "spread ", "<RockingWidth: "]),
        ("GeometryRefinement", ["of 20 images turned by 0.0", "it does not help"]),
        ("Posterior", [" intensities>"]),
        ("Ambiguity", ["1 indexing,", "0 of 20 images"]),
        ("Amplitudes", ["reflections"]),
        ("BoxRules", ["reach=2.5", "ring_pixels=100"]),
        ("StillsSettings", ["20 frames of 300 x 320 px", "P 21 21 21", "to 4 angstrom", "seed 1"]),
        ("Crystal", ["P 21 21 21", CELL, "B 25 angstrom^2"]),
        ("SimulatedStills", ["20 frames of 300 x 320 px", "to 4 angstrom"]),
        ("RotationSettings", ["3 frames of 0.4 degrees", "900 x 900 px", "P 43 21 2"]),
        ("SimulatedRotation", ["3 frames", "P 43 21 2", "seed 0"]),
        ("StillsInput", ["observations", "20 images"]),
        ("StillsRun", ["experiment, observations, merged, width, notes>"]),
        ("StillsFile", ["run.h5", "observations", "experiment", "merged"]),
    ],
)
def test_results_are_a_line_and_a_table(objects, name, words):
    result = objects[name]
    text = repr(result)
    assert text.startswith((f"<{name}: ", f"<{name} ", f"{name}("))
    assert "\n" not in text
    assert len(text) < 200
    assert [word for word in words if word not in text] == []
    assert "array(" not in text
    table = result._repr_html_()
    assert table.startswith(f"<table><caption>{name}</caption>")
    assert table.count("<tr>") == table.count("</tr>") > 1
    assert "array(" not in table
    assert len(table) < 4000


def test_every_public_class_of_stills_shows_itself(objects):
    public = {name for name in stills.__all__ if inspect.isclass(getattr(stills, name))}
    assert set(objects) == public - NO_RESULTS


def test_tables_tell_what_an_independent_count_gives(objects):
    observations = objects["Observations"]
    rejected = observations.replace(flags=np.where(np.arange(len(observations)) < 3, np.uint32(2), np.uint32(0)))
    table = rejected._repr_html_()
    assert "3 saturated" in table
    assert f">{len(observations) - 3}<" in table
    merged = objects["Merged"]
    assert f"{merged.multiplicity.sum()} observations" in repr(merged)
    d = gemmi.UnitCell(60, 70, 80, 90, 90, 90).calculate_d_array(observations.hkl)
    assert f"{d.max():.2f} to {d.min():.2f} angstrom" in repr(observations)


def test_results_of_nothing_show_themselves(data):
    empty = data.experiment.select([])
    assert repr(empty).startswith("<Experiment: 0 images, ")
    assert empty._repr_html_().startswith("<table>")
    assert repr(stills.Observations.join([])) == "<Observations: 0 of 0 images>"
    assert stills.Observations.join([])._repr_html_().startswith("<table>")
    assert repr(stills.StillsRun()) == "<StillsRun: nothing>"
    assert stills.StillsRun()._repr_html_().startswith("<table>")
    assert repr(stills.Statistics()) == "<Statistics: no shells>"
    assert stills.Statistics()._repr_html_().startswith("<table>")
    assert "ISa inf" in repr(stills.ErrorModel())


def test_a_closed_file_says_so(objects, tmp_path):
    stills.write_stills(tmp_path / "run.h5", objects["StillsRun"])
    with stills.open_stills(tmp_path / "run.h5") as file:
        assert ": closed>" not in repr(file)
    assert repr(file).endswith("run.h5: closed>")
    assert "closed<" in file._repr_html_()


def test_a_line_changes_neither_equality_nor_pickling(objects):
    for name in ("RockingWidth", "ErrorModel", "Detector", "Crystal", "BoxRules", "StillsSettings"):
        one = objects[name]
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert hash(again) == hash(one)
        assert repr(again) == repr(one)
    for name in ("Experiment", "Observations", "Merged", "Scales", "Reference"):
        one = objects[name]
        before = pickle.dumps(one)
        assert repr(pickle.loads(before)) == repr(one)
        one._repr_html_()
        assert name == "Reference" or pickle.dumps(one) == before


def test_observations_and_merged_become_pandas(objects, monkeypatch):
    pandas = pytest.importorskip("pandas")
    observations, merged = objects["Observations"], objects["Merged"]
    frame = observations.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame)[:6] == ["image", "h", "k", "l", "intensity", "sigma"]
    assert len(frame) == len(observations)
    np.testing.assert_array_equal(frame[["h", "k", "l"]], observations.hkl)
    for name in observations.columns():
        if name != "hkl":
            np.testing.assert_array_equal(frame[name], getattr(observations, name))
            assert frame[name].dtype == getattr(observations, name).dtype
    frame = merged.to_pandas()
    np.testing.assert_array_equal(frame[["h", "k", "l"]], merged.hkl)
    np.testing.assert_array_equal(frame["sigma"], merged.sigma)
    np.testing.assert_array_equal(frame["half_images[1]"], merged.half_images[:, 1])
    assert "intensity_plus" not in frame
    apart = stills.merge(observations, space_group=merged.space_group, cell=merged.cell, anomalous=True)
    frame = apart.to_pandas()
    np.testing.assert_array_equal(frame["intensity_minus"], apart.minus[:, 0])
    np.testing.assert_array_equal(frame["sigma_plus"], apart.plus[:, 1])
    np.testing.assert_array_equal(frame["multiplicity_plus"], apart.multiplicity_plus)
    assert len(stills.Observations.join([]).to_pandas()) == 0
    monkeypatch.setitem(sys.modules, "pandas", None)
    for one in (observations, merged):
        with pytest.raises(ImportError, match="to_pandas needs pandas, which is not installed: pip install pandas"):
            one.to_pandas()


def test_numbers_as_text():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert cell_text((1, 2.346, 3, 90, 90, 120)) == "1.00 2.35 3.00 90.00 90.00 120.00"
    assert cell_text(gemmi.UnitCell(10, 10, 10, 90, 90, 90)).startswith("10.00 10.00")
    assert range_text([np.nan, 2.0, 1.0, np.inf], "px") == "1 to 2 px"
    assert range_text([1.5, 1.5]) == "1.5"
    assert range_text([np.nan]) == ""
    assert resolution_text([np.inf, 20.0, 3.0]) == "20.00 to 3.00 angstrom"
    assert resolution_text([]) == ""
