"""The text report: what must be told is told, warnings first, whatever parts there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import StillsRun
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.merging.merge import merge
from crystint.stills.report import stills_report
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.scales import Scales
from crystint.stills.simulation.simulate import simulate_stills


@pytest.fixture(scope="module")
def run():
    data = simulate_stills(30, d_min=4.0, shape=(500, 500), distance=0.07, seed=3)
    table = data.observations()
    n = len(data.experiment)
    scales = Scales(
        ln_g=np.where(np.arange(n) == 2, np.nan, data.ln_g),
        b=data.b,
        covariance=np.tile(np.diag([1e-4, 0.25]), (n, 1, 1)),
        used=np.full(n, 80),
        chi2=np.ones(n),
        failed={2: "image 2: it has 1 usable observation, 5 are needed"},
        iterations=7,
        converged=True,
    )
    merged = merge(table, scales, space_group="P 21 21 21", cell=data.settings.crystal.cell, reference=data.reference())
    return StillsRun(
        experiment=data.experiment,
        observations=table,
        scales=scales,
        merged=merged,
        error_model=ErrorModel(1.44, 0.06, used=900, rejected=3),
        profile=ProfileWidths(
            np.array([0.0, 0.02, 0.06]), np.array([1e-3, 2e-3]), np.array([3e-3, 4e-3]), np.array([50, 60])
        ),
        width=RockingWidth(1e-3, 2e-3),
        notes={4: "no spots", 5: "image 5: dark"},
        provenance={"inputs": ["frames.h5", "indexed.expt"]},
    )


def value(text, label):
    (line,) = [line for line in text.splitlines() if line.startswith(label + "  ")]
    return line[len(label) :].strip()


def test_everything_is_told(run):
    text = stills_report(run)
    assert value(text, "files") == "frames.h5, indexed.expt"
    assert value(text, "images") == "30 on 30 frames"
    assert value(text, "cell").startswith("60.00 70.00 80.00")
    assert value(text, "space group") == "P 21 21 21"
    assert value(text, "observations").startswith(str(len(run.observations)))
    assert value(text, "images scaled") == "29 of 30"
    g = np.exp(run.scales.ln_g)
    assert f"median {np.nanmedian(g):.4g}" in value(text, "scale G")
    assert "median 0.01," in value(text, "its relative error")
    assert "median 0.5," in value(text, "its error")
    assert "- image 2: it has 1 usable observation" in text
    assert "- image 4: no spots" in text
    assert "- image 5: dark" in text
    assert value(text, "deviates") == "900 used, 3 left out as outliers"
    assert "R0^2 = (0.001 / angstrom)^2 + (0.002 / d)^2" in text
    assert "1.000e-03   3.000e-03       50" in text
    assert value(text, "unique reflections") == str(len(run.merged))
    for title in ("compl %", "mult", "I/sigma", "R_meas", "R_pim", "R_split", "CC1/2", "CC*", "CC ref"):
        assert title in text
    assert len([line for line in text.splitlines() if line.startswith("  ") and "." in line]) >= 10
    assert max(len(line) for line in text.splitlines()) < 160
    assert stills_report(run) == text


def test_the_error_model_is_told_in_all_forms(run):
    lines = stills_report(run).splitlines()
    start = lines.index("ERROR MODEL")
    rows = {line.split()[0]: line for line in lines[start + 2 : start + 6]}
    assert set(rows) == {"crystint", "XDS", "DIALS", "Evans"}
    assert all(line.split()[-1] == "16.7" for line in rows.values())
    assert "a = 1.44, b = 0.06 " in rows["crystint"]
    assert "a = 1.44, b = 0.0025 " in rows["XDS"]
    assert "a = 1.2, b = 0.05 " in rows["DIALS"]
    assert "sdfac = 1.2, sdb = 0, sdadd = 0.05" in rows["Evans"]
    perfect = stills_report(StillsRun(error_model=ErrorModel()))
    assert perfect.count("infinite") == 4


def test_warnings_come_first_and_once(run):
    bad = replace(
        run,
        scales=replace(run.scales, converged=False, note="12 images still move"),
        error_model=ErrorModel(2.0, 0.1, converged=False, note="a and b run away"),
        merged=replace(run.merged, notes=("error model: a and b run away", "the indexing is ambiguous")),
    )
    lines = stills_report(bad, warnings=["three frames could not be read"]).splitlines()
    assert lines[:7] == [
        "WARNINGS",
        "- three frames could not be read",
        "- scaling did not converge in 7 iterations",
        "- scaling: 12 images still move",
        "- error model: a and b run away",
        "- the indexing is ambiguous",
        "",
    ]
    assert "ERROR MODEL (NOT CONVERGED)" in lines
    assert any("NOT CONVERGED" in line for line in lines if line.startswith("iterations"))
    assert stills_report(StillsRun(error_model=ErrorModel(converged=False))).startswith("WARNINGS\n- error model: not")


def test_parts_may_be_missing_or_empty(run):
    assert stills_report(StillsRun()) == "\n"
    empty = run.observations.select(slice(0, 0))
    text = stills_report(StillsRun(observations=empty))
    assert value(text, "observations") == "0, of which 0 can be used"
    nothing = merge(empty, space_group="P 21 21 21", cell=(60, 70, 80, 90, 90, 90))
    text = stills_report(StillsRun(merged=nothing))
    assert value(text, "unique reflections") == "0"
    assert text.startswith("WARNINGS\n- no observation can be merged")
    n = len(run.scales)
    failed = replace(
        run.scales, ln_g=np.full(n, np.nan), b=np.full(n, np.nan), failed={i: f"image {i}: dark" for i in range(n)}
    )
    text = stills_report(StillsRun(scales=failed, profile=ProfileWidths.constant(1e-3)))
    assert value(text, "images scaled") == f"0 of {n}"
    assert value(text, "scale G") == "none"
    assert f"- and {n - 10} more" in text
    assert "all  1.000e-03" in text
