"""A stated loss holds: what is lost is measured on the true places by a sum of its own."""

from __future__ import annotations

import re

import numpy as np
import pytest

import crystint
from benchmarks.validate_compression import Summation, alone
from crystint import separation, stills
from crystint.cli import main
from crystint.errors import SettingError
from crystint.separation.loss import cost, loss_between, sampled
from crystint.separation.loss_sample import grown
from crystint.separation.prepared import opened
from crystint.separation.settings import SparsifySettings

SCAN = {"shape": (420, 430), "distance": 0.13, "d_min": 3.2, "seed": 4, "scale": 0.1}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    data = stills.simulate_rotation(16, **SCAN)
    path, _ = stills.write_rotation(data, tmp_path_factory.mktemp("loss") / "scan.h5", dtype=np.uint16)
    return data, path


def code_of(*arguments):
    """Exit status of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def true_loss(data, raw, dense, low, high=np.inf):
    """Of a summation that knows the places and shares no code with crystint."""
    x = data.truth["counts"] / data.truth["sigma"]
    chosen = alone(data.truth) & (x >= low) & (x < high)
    before, after = Summation(data.truth, chosen), Summation(data.truth, chosen)
    for number, (one, other) in enumerate(zip(raw, dense, strict=True)):
        before.add(number, one)
        after.add(number, other)
    return 1.0 - after.intensity.sum() / before.intensity.sum()


def test_pixels_around_others_are_those_within_a_disc():
    picked = np.zeros((2, 15, 17), bool)
    picked[0, 7, 8] = picked[1, 0, 16] = True
    for grow in range(5):
        slow, fast = np.indices((15, 17))
        assert np.array_equal(grown(picked, grow)[0], np.hypot(slow - 7, fast - 8) <= grow + 0.5)
        assert np.array_equal(grown(picked, grow)[1], np.hypot(slow - 0, fast - 16) <= grow + 0.5)


def test_what_a_threshold_costs_is_what_is_lost(scan, tmp_path):
    data, path = scan
    with opened([path], SparsifySettings(rings=200)) as run:
        sample = sampled(run)
        told = {limits: loss_between(sample, 3.0, (0,), *limits)[0] for limits in ((10.0,), (3.0, 10.0))}
    outcome = separation.sparsify([path], tmp_path / "sparse.h5", {"rings": 200})
    assert re.search(r"lost of integrated intensity about [\d.]+ % above I/sigma 10, \d+ % at 3 to 10", outcome.text)
    with crystint.open_sparse(tmp_path / "sparse.h5") as sparse, crystint.open_frames(path) as frames:
        dense, raw = [crystint.densify(one) for one in sparse], frames[:]
    for limits, loss in told.items():
        found = true_loss(data, raw, dense, *limits)
        assert loss.value == pytest.approx(found, rel=0.25, abs=0.01), limits
    assert told[10.0,].value < 0.2 < told[3.0, 10.0].value


def test_the_line_of_what_is_lost_is_about_the_run(scan):
    with opened([scan[1]], SparsifySettings(rings=200)) as run:
        plain, wide, vetoed = cost(run, 3.0), cost(run, 3.0, 2), cost(run, 3.0, 0, [1, 9])
        assert cost(run, 3.0, 0, range(16)) == ""
        assert not {1, 9} & set(sampled(run, windows=16, most=6, without=[1, 9]).frames)
    assert plain.endswith("; --keep MODEL keeps predicted reflections whole; --grow 2 loses less)")
    assert wide.endswith("; --keep MODEL keeps predicted reflections whole)")
    assert "apart from 2 vetoed frames" in vetoed
    assert "--keep" not in vetoed


@pytest.mark.parametrize("stated", ["2%", "0.05"])
def test_a_stated_loss_holds(scan, tmp_path, stated, capsys):
    data, path = scan
    output = tmp_path / "sparse.h5"
    arguments = ["sparsify", str(path), "-o", str(output), "--snr", "auto", "--loss", stated, "--rings", "200"]
    assert code_of(*arguments) == 0
    assert re.search(
        r"snr [\d.]+( and \d px around)? for a loss of [\d.]+ \+- [\d.]+ % above I/sigma 10", capsys.readouterr().out
    )
    with crystint.open_sparse(output) as sparse, crystint.open_frames(path) as frames:
        chosen = sparse.provenance["settings"]["chosen"]
        dense, raw = [crystint.densify(one) for one in sparse], frames[:]
        assert {one.snr for one in sparse} == {chosen["snr"]}
    loss = {"2%": 0.02, "0.05": 0.05}[stated]
    assert 0.6 * loss < chosen["loss"] <= loss
    found = true_loss(data, raw, dense, 10.0)
    assert loss / 1.5 - 0.004 < found < 1.5 * loss + 0.004
    before = output.read_bytes()
    assert code_of(*arguments, "--resume") == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert output.read_bytes() == before


def test_too_few_reflections_are_an_error_that_says_what_to_do(tmp_path, capsys):
    data = crystint.simulate.simulate((150, 160), frames=3, background=2.0, peaks=2, seed=1, dtype="uint16")
    with crystint.DenseWriter(
        tmp_path / "a.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ) as writer:
        for frame in data:
            writer.write(frame)
    assert code_of("sparsify", str(tmp_path / "a.h5"), "-o", str(tmp_path / "b.h5"), "--snr", "auto") == 2
    assert re.search(r"are too few to tell a loss from, expected 30: give --snr", capsys.readouterr().err)
    assert not (tmp_path / "b.h5").exists()


def test_a_loss_without_auto_is_refused():
    for settings in ({"loss": "1%"}, {"loss_above": 5.0}, {"snr": 3.0, "loss": 0.1}):
        with pytest.raises(SettingError, match="snr auto"):
            separation.sparsify(["a.h5"], "b.h5", settings)
    assert SparsifySettings(snr="auto", loss="1.5%").loss == pytest.approx(0.015)
