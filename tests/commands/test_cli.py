"""The commands: what they write, what they answer to bad input, and that they leave nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio.cbfimage
import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import crystint
from crystint.cli import main
from crystint.io.frames.sequence import open_frames
from crystint.io.sparse.dense_file import DenseWriter
from crystint.simulate import Simulation, simulate
from tests import processes
from tests.conftest import DEVICES, ROOT, shared_data

COMMANDS = sorted(main.commands)
STEPS = sorted(set(COMMANDS) - {"cbc", "correlate", "online", "stills"})
"""Commands that do something themselves; those of groups have tests of their own."""
FEW = ("--rings", "60")


@pytest.fixture(scope="module")
def data() -> Simulation:
    return simulate((150, 161), 3, dtype=np.int32, background=6.0, peaks=15, intensity=3000.0, dead=20, seed=3)


def write(data: Simulation, path: Path, frames: Any = None) -> Path:
    """An NXmx file of the frames."""
    writer = DenseWriter(
        path, data.shape, data.dtype, geometry=data.geometry, mask=data.mask, saturation=None, provenance={}
    )
    with writer:
        for frame in data if frames is None else frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def made(data: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no test changes: frames.h5 and sparse.h5."""
    folder = tmp_path_factory.mktemp("made")
    write(data, folder / "frames.h5")
    run(0, "sparsify", folder / "frames.h5", "-o", folder / "sparse.h5", *FEW)
    return folder


def geometry_in(made: Path) -> crystint.Geometry:
    """The geometry that the commands find in frames.h5."""
    with open_frames(made / "frames.h5") as frames:
        assert frames.geometry is not None
        return frames.geometry


def run(code: int, *arguments: object) -> Result:
    """Run a command in this process; a failure must be one line on stderr and no traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.output
    if code:
        assert result.stderr.splitlines()[-1].startswith("crystint: error: "), result.stderr
        assert len([line for line in result.stderr.splitlines() if "error" in line]) == 1, result.stderr
    return result


def refused(code: int, folder: Path, *arguments: object) -> str:
    """The error of a command that must fail and leave the folder as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    message = run(code, *arguments).stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return message


@pytest.mark.parametrize("command", STEPS)
def test_every_command_has_help_with_an_example(command):
    text = run(0, command, "--help").stdout
    assert "Example:" in text
    assert f"crystint {command}" in text.split("Example:")[1]
    assert "--debug" in text


def test_options_with_a_choice_list_it_in_their_help():
    assert "--difference [optimal|greedy|next]" in run(0, "correlate", "correlate", "--help").stdout
    assert "--scale [pixels|rings|cores|threads]" in run(0, "bench", "--help").stdout


def test_the_commands_are_those_of_the_contract():
    expected = (
        "bench cbc compare convert correlate demo densify devices frames index info mask merge-parts online peaks"
    )
    assert [*expected.split(), "plot", "roi", "sparsify", "stills", "sum", "verify", "view"] == COMMANDS
    assert "crystint demo" in run(0).stdout
    assert crystint.__version__ in run(0, "--version").stdout


def test_peaks_in_every_format(made, data, tmp_path):
    names = ("p.cxi", "p.refl", "p.h5", "p.jsonl", "p.json", "SPOT.XDS")
    outputs = [part for name in names for part in ("-o", tmp_path / name)]
    result = run(0, "peaks", made / "frames.h5", *outputs, *FEW)
    separator = crystint.Separator(geometry_in(made), data.mask, rings=60)
    expected = np.concatenate([separator.peaks(frame, number=i) for i, frame in enumerate(data)])
    assert len(expected) > 20
    assert f"3 frames, {len(expected)} peaks (median " in result.stdout
    assert "peaks: 3/3" in result.stderr
    for name in names:
        assert f"wrote {tmp_path / name}" in result.stdout
        found = crystint.read_peaks(tmp_path / name)
        assert np.array_equal(found["frame"], expected["frame"]), name
        np.testing.assert_allclose(found["slow"], expected["slow"], atol=0.006, err_msg=name)
        np.testing.assert_allclose(found["fast"], expected["fast"], atol=0.006, err_msg=name)


def test_options_reach_the_separator(made, data, tmp_path):
    options = (
        "--snr",
        "8",
        "--snr-pick",
        "3",
        "--patch",
        "5",
        "--connected",
        "4",
        "--error-model",
        "poisson",
    )
    more = (
        "--snr-clip",
        "4",
        "--cycles",
        "3",
        "--noise",
        "0.5",
        "--strict-mask",
        "--d-min",
        "1.2",
        "--d-max",
        "9",
    )
    less = ("--no-solid-angle", "--polarization", "none", "--saturation", "1500", "-q")
    result = run(0, "peaks", made / "frames.h5", "-o", tmp_path / "p.jsonl", *FEW, *options, *more, *less)
    assert not result.stderr
    separator = crystint.Separator(
        replace(geometry_in(made), polarization=None),
        data.mask,
        60,
        "poisson",
        4.0,
        3,
        solid_angle=False,
        saturation=1500,
    )
    expected = [
        separator.peaks(frame, 8.0, 3.0, 4, 5, 0.5, strict_mask=True, d_min=1.2, d_max=9.0, number=i)
        for i, frame in enumerate(data)
    ]
    found = crystint.read_peaks(tmp_path / "p.jsonl")
    assert np.array_equal(found["frame"], np.concatenate(expected)["frame"])
    np.testing.assert_allclose(found["intensity"], np.concatenate(expected)["intensity"], rtol=1e-4)


def test_sparsify_densify_convert_compare(made, data, tmp_path):
    sparse, dense, compact = tmp_path / "s.h5", tmp_path / "d.h5", tmp_path / "c.h5"
    assert "pixels kept" in run(0, "sparsify", made / "frames.h5", "-o", sparse, "--peaks", *FEW).stdout
    run(0, "densify", sparse, "-o", dense, "--seed", "4")
    run(0, "convert", sparse, "-o", compact)
    run(0, "convert", compact, "-o", tmp_path / "again.h5")
    run(0, "densify", compact, "-o", tmp_path / "d2.h5", "--seed", "4")
    with crystint.open_sparse(sparse) as file, crystint.open_sparse(compact) as other:
        assert (file.compact, other.compact) == (False, True)
        kept = [file[i].index for i in range(3)]
        for i in range(3):
            assert np.array_equal(kept[i], other[i].index)
    with crystint.open_sparse(tmp_path / "again.h5") as again:
        assert not again.compact
        assert np.array_equal(again[2].index, kept[2])
    with open_frames(dense) as one, open_frames(tmp_path / "d2.h5") as two:
        for i, frame in enumerate(data):
            assert np.array_equal(one[i], two[i])
            assert np.array_equal(one[i].ravel()[kept[i]], frame.ravel()[kept[i]])

    result = run(0, "compare", made / "frames.h5", sparse, "-o", tmp_path / "c.png", "--shells", "5")
    assert "exact" in result.stdout
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(run(0, "compare", made / "frames.h5", sparse, "--json", "-q").stdout)
    assert found["frames"] == 3


def test_plot_with_and_without_peaks_and_geometry(made, data, tmp_path):
    run(0, "peaks", made / "frames.h5", "-o", tmp_path / "p.cxi", *FEW)
    for name, options in {
        "a.png": (),
        "b.png": ("--find", "--frame", "-1", *FEW),
        "c.svg": ("--peaks", tmp_path / "p.cxi", "--frame", "2"),
    }.items():
        result = run(0, "plot", made / "frames.h5", "-o", tmp_path / name, *options)
        assert (tmp_path / name).stat().st_size > 10_000
        assert (" peaks" in result.stdout) is bool(options)
    np.save(tmp_path / "bare.npy", data[0])
    result = run(0, "plot", tmp_path / "bare.npy", "-o", tmp_path / "bare.png")
    assert "warning: drawn without rings" in result.stderr
    assert "no geometry" in refused(1, tmp_path, "plot", tmp_path / "bare.npy", "-o", tmp_path / "x.png", "--find")
    assert "frame is 3" in refused(2, tmp_path, "plot", made / "frames.h5", "-o", tmp_path / "x.png", "--frame", "3")
    assert "suffix" in refused(2, tmp_path, "plot", made / "frames.h5", "-o", tmp_path / "x.bmp")


def test_info_tells_what_each_file_is(made, data, tmp_path):
    run(0, "peaks", made / "frames.h5", "-o", tmp_path / "p.cxi", *FEW)
    data.geometry.write(tmp_path / "g.poni")
    np.save(tmp_path / "bare.npy", data[0])
    files = [
        made / "frames.h5",
        made / "sparse.h5",
        tmp_path / "p.cxi",
        tmp_path / "g.poni",
        tmp_path / "bare.npy",
    ]
    text = run(0, "info", *files).stdout
    frames, sparse, peaks, geometry, bare = text.split("\n\n")
    assert "150 x 161" in frames
    assert "int32" in frames
    assert "172 x 172 um" in frames
    assert "wavelength" in frames
    assert "20 px" in frames
    assert "sparse file" in sparse
    assert "peak list" in peaks
    assert "distance" in geometry
    assert "none; give one with -g" in bare
    found = json.loads(run(0, "info", "--json", *files).stdout)
    kinds = ["frames", "sparse file", "peak list", "geometry", "frames"]
    assert [one["kind"] for one in found] == kinds


def test_info_says_so_when_the_geometry_is_impossible(data, tmp_path):
    beside = replace(data.geometry, beam_center=(-40.0, 20.0), beam_outside=True)
    writer = DenseWriter(
        tmp_path / "f.h5", data.shape, data.dtype, geometry=beside, mask=None, saturation=None, provenance={}
    )
    with writer:
        writer.write(data[0])
    text = run(0, "info", tmp_path / "f.h5").stdout
    assert "unusable: " in text
    assert "the direct beam meets the detector at" in text
    assert "150 x 161" in text
    arguments = ("peaks", tmp_path / "f.h5", "-o", tmp_path / "p.cxi", *FEW)
    assert "--beam-outside" in refused(1, tmp_path, *arguments)
    run(0, *arguments, "--beam-outside")


def test_info_goes_on_after_a_file_that_it_cannot_read(made, tmp_path):
    (tmp_path / "junk.h5").write_bytes(b"junk")
    result = run(1, "info", tmp_path / "junk.h5", tmp_path / "none.cbf", made / "frames.h5")
    assert "150 x 161" in result.stdout
    assert "junk.h5" in result.stderr
    assert "1 more" in result.stderr


def test_devices_lists_them_and_marks_the_default():
    text = run(0, "devices").stdout
    assert DEVICES[0].id in text
    assert text.count("*") == 1
    assert len(json.loads(run(0, "devices", "--json").stdout)) == len(DEVICES)


def test_no_device_is_one_clear_line(monkeypatch, made, tmp_path):
    monkeypatch.setattr("crystint.engine.device._platforms", list)
    for command in (("devices",), ("peaks", made / "frames.h5", "-o", tmp_path / "p.cxi")):
        assert "crystint[cpu]" in refused(1, tmp_path, *command)


def test_an_unknown_device_lists_those_there_are(made, tmp_path):
    message = refused(1, tmp_path, "peaks", made / "frames.h5", "-o", tmp_path / "p.cxi", "--device", "abacus")
    assert "abacus" in message
    assert DEVICES[0].name in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--error-model", "gauss"), ("poisson", "azimuthal", "hybrid")),
        (("--patch", "4"), ("3", "5")),
        (("--snr", "-1"), ("snr", "-1", "greater than 0")),
        (("--snr", "two"), ("snr", "'two'", "number")),
        (("--snr-clip", "never"), ("snr_clip", "auto")),
        (("--polarization", "3"), ("polarization", "none")),
        (("--beam", "1"), ("beam", "SLOW,FAST")),
        (("--rings", "0"), ("rings", "0")),
        (("--connected", "12"), ("connected", "9 pixels")),
        (("--snr-pick", "6"), ("snr_pick", "6")),
        (("--nonsense",), ("--nonsense",)),
        (("-o", "q.txt"), ("q.txt", ".cxi", ".refl")),
        (("-o", "p.cxi"), ("twice",)),
    ],
)
def test_a_wrong_argument_is_exit_code_2_and_says_what_is_allowed(made, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    message = refused(2, tmp_path, "peaks", made / "frames.h5", "-o", "p.cxi", *arguments)
    for word in words:
        assert word in message


def test_missing_arguments_are_exit_code_2(made, tmp_path):
    assert "--output" in refused(2, tmp_path, "peaks", made / "frames.h5")
    assert "FILE" in refused(2, tmp_path, "peaks", "-o", tmp_path / "p.cxi")
    assert "Did you mean" in refused(2, tmp_path, "peak")


def bad_files(data: Simulation, folder: Path) -> dict[str, tuple[Path, ...]]:
    """Inputs that must be refused, by what is wrong with them."""
    cbf, h5 = folder / "cut.cbf", folder / "cut.h5"
    fabio.cbfimage.CbfImage(data=data[0]).write(str(cbf))
    cbf.write_bytes(cbf.read_bytes()[:-9000])
    write(data, h5)
    h5.write_bytes(h5.read_bytes()[: h5.stat().st_size // 2])
    empty = folder / "empty.h5"
    with h5py.File(empty, "w") as file:
        file.create_dataset("entry/data/data", (0, *data.shape), np.int32)
    (folder / "text.cbf").write_text("this is no image")
    np.save(folder / "a.npy", data[0])
    np.save(folder / "b.npy", data[0][:-1])
    np.save(folder / "c.npy", data[0].astype(np.uint16))
    return {
        "truncated CBF": (cbf,),
        "truncated HDF5": (h5,),
        "no frames": (empty,),
        "no image": (folder / "text.cbf",),
        "missing": (folder / "none.cbf",),
        "no match": (folder / "none_*.cbf",),
        "another shape": (folder / "a.npy", folder / "b.npy"),
        "another dtype": (folder / "a.npy", folder / "c.npy"),
    }


@pytest.mark.parametrize("command", ["peaks", "sparsify"])
def test_damaged_input_is_one_line_and_no_output(data, tmp_path, command):
    geometry = tmp_path / "g.poni"
    data.geometry.write(geometry)
    for what, files in bad_files(data, tmp_path).items():
        target = tmp_path / ("out.cxi" if command == "peaks" else "out.h5")
        message = refused(1, tmp_path, command, *files, "-o", target, "-g", geometry, *FEW)
        assert Path(files[-1]).name in message, what


def test_a_damaged_file_behind_good_ones_is_missing_unless_told_to_be_strict(data, tmp_path):
    files = []
    for i in range(3):
        files.append(tmp_path / f"frame_{i}.cbf")
        fabio.cbfimage.CbfImage(data=data[i]).write(str(files[i]))
    files[1].write_bytes(files[1].read_bytes()[:-9000])
    data.geometry.write(tmp_path / "g.poni")
    for command, name in (("peaks", "p.cxi"), ("sparsify", "s.h5")):
        arguments = (command, *files, "-o", tmp_path / name, "-g", tmp_path / "g.poni", *FEW)
        assert "frame_1.cbf" in refused(1, tmp_path, *arguments, "--strict")
        result = run(3, *arguments)
        assert "frame_1.cbf" in result.stderr.splitlines()[0]
        assert "1 of 3 frames could not be read and are recorded as missing: 1" in result.stderr.splitlines()[-1]
        assert f"wrote {tmp_path / name}" in result.stdout
    assert "missing" in run(0, "info", tmp_path / "s.h5").stdout
    run(3, "densify", tmp_path / "s.h5", "-o", tmp_path / "d.h5")
    assert "missing" in run(0, "info", tmp_path / "d.h5").stdout
    refused(1, tmp_path, "densify", tmp_path / "s.h5", "-o", tmp_path / "e.h5", "--strict")


@pytest.mark.parametrize("command", ["densify", "compare"])
def test_what_is_no_sparse_file_is_refused(made, tmp_path, command):
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes((made / "sparse.h5").read_bytes()[:4000])
    (tmp_path / "text.h5").write_text("text")
    for file in (damaged, tmp_path / "text.h5", made / "frames.h5", tmp_path / "none.h5"):
        arguments = (file,) if command == "densify" else (made / "frames.h5", file)
        assert file.name in refused(1, tmp_path, command, *arguments, "-o", tmp_path / "out.png")


def test_compare_wants_the_same_frames(made, data, tmp_path):
    write(data, tmp_path / "two.h5", list(data)[:2])
    refused(1, tmp_path, "compare", tmp_path / "two.h5", made / "sparse.h5")


def test_no_geometry_says_what_to_give(data, tmp_path):
    np.save(tmp_path / "bare.npy", data[0])
    message = refused(1, tmp_path, "peaks", tmp_path / "bare.npy", "-o", tmp_path / "p.cxi", "--distance", "1")
    assert "bare.npy" in message
    for option in ("-g", "--beam", "--pixel-size", "--wavelength"):
        assert option in message


def test_a_geometry_in_numbers_is_enough(data, made, tmp_path):
    geometry = data.geometry
    np.save(tmp_path / "bare.npy", data.frames)
    np.save(tmp_path / "mask.npy", data.mask)
    numbers = (
        *("--distance", f"{1e3 * geometry.distance:.9f}mm", "--pixel-size", "172um"),
        *("--beam", "{:.6f},{:.6f}".format(*geometry.beam_center)),
        *("--wavelength", geometry.wavelength, "--polarization", "0.99", "-m", tmp_path / "mask.npy"),
    )
    run(0, "peaks", tmp_path / "bare.npy", "-o", tmp_path / "a.jsonl", *numbers, *FEW)
    run(0, "peaks", made / "frames.h5", "-o", tmp_path / "b.jsonl", "--polarization", "0.99", *FEW)
    a, b = (crystint.read_peaks(tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    assert len(a) == len(b)
    np.testing.assert_allclose(a["intensity"], b["intensity"], rtol=1e-4)


def test_a_beam_outside_the_detector_must_be_meant(made, tmp_path):
    arguments = ("peaks", made / "frames.h5", "-o", tmp_path / "p.cxi", "--beam", "-30,20", *FEW)
    assert "--beam-outside" in refused(1, tmp_path, *arguments)
    run(0, *arguments, "--beam-outside")


def test_a_mask_that_does_not_fit_is_refused(made, data, tmp_path):
    np.save(tmp_path / "turned.npy", data.mask.T)
    np.save(tmp_path / "text.npy", np.full(data.shape, "x"))
    np.save(tmp_path / "all.npy", np.ones(data.shape, np.uint8))
    for name, word in {
        "turned.npy": "transposed",
        "text.npy": "text.npy",
        "all.npy": "no usable pixel",
    }.items():
        for command, target in (("peaks", "p.cxi"), ("sparsify", "s.h5")):
            options = ("-o", tmp_path / target, "-m", tmp_path / name, *FEW)
            assert word in refused(1, tmp_path, command, made / "frames.h5", *options)


def test_frames_that_are_masked_throughout(data, tmp_path):
    frames = [data[0], np.full(data.shape, -1, np.int32), data[2]]
    write(data, tmp_path / "some.h5", frames)
    write(data, tmp_path / "all.h5", frames[1:2])
    result = run(0, "peaks", tmp_path / "some.h5", "-o", tmp_path / "p.cxi", *FEW)
    assert "warning: 1 of 3 frames have no usable pixel: 1" in result.stderr
    run(0, "sparsify", tmp_path / "some.h5", "-o", tmp_path / "s.h5", *FEW)
    for command, name in (("peaks", "q.cxi"), ("sparsify", "q.h5")):
        message = refused(1, tmp_path, command, tmp_path / "all.h5", "-o", tmp_path / name, *FEW)
        assert "no usable pixel" in message


def test_nan_pixels_are_unusable_and_no_error(data, tmp_path):
    frame = data[0].astype(np.float32)
    frame[40:60, :] = np.nan
    frame[100, 100] = np.inf
    np.save(tmp_path / "nan.npy", frame)
    data.geometry.write(tmp_path / "g.poni")
    common = (tmp_path / "nan.npy", "-g", tmp_path / "g.poni", *FEW)
    run(0, "peaks", *common, "-o", tmp_path / "p.jsonl")
    found = crystint.read_peaks(tmp_path / "p.jsonl")
    assert len(found) > 3
    assert not ((found["slow"] > 40) & (found["slow"] < 60)).any()
    run(0, "sparsify", *common, "-o", tmp_path / "s.h5")
    run(0, "densify", tmp_path / "s.h5", "-o", tmp_path / "d.h5")
    with open_frames(tmp_path / "d.h5") as dense:
        assert np.array_equal(np.isfinite(dense[0]), np.isfinite(frame))
    np.save(tmp_path / "nan.npy", np.full_like(frame, np.nan))
    assert "no usable pixel" in refused(1, tmp_path, "peaks", *common, "-o", tmp_path / "q.cxi")


OUTPUTS = {
    "peaks": ("peaks", "frames.h5", "p.cxi"),
    "peaks refl": ("peaks", "frames.h5", "p.refl"),
    "sparsify": ("sparsify", "frames.h5", "s.h5"),
    "densify": ("densify", "sparse.h5", "d.h5"),
    "convert": ("convert", "sparse.h5", "c.h5"),
    "plot": ("plot", "frames.h5", "f.png"),
}


@pytest.mark.parametrize("what", OUTPUTS)
def test_an_existing_output_is_refused_unless_told(made, tmp_path, what):
    command, source, name = OUTPUTS[what]
    (tmp_path / name).write_text("precious")
    arguments = (command, made / source, "-o", tmp_path / name)
    message = refused(1, tmp_path, *arguments)
    assert name in message
    assert "--overwrite" in message
    run(0, *arguments, "--overwrite")
    assert (tmp_path / name).read_bytes() != b"precious"


@pytest.mark.parametrize("what", OUTPUTS)
def test_an_output_that_cannot_be_written_is_refused(made, tmp_path, what):
    command, source, name = OUTPUTS[what]
    assert "no folder" in refused(1, tmp_path, command, made / source, "-o", tmp_path / "none" / name)
    (tmp_path / name).mkdir()
    assert name in refused(1, tmp_path, command, made / source, "-o", tmp_path / name, "--overwrite")
    source = made / source
    alias = tmp_path / f"alias{Path(name).suffix}"
    alias.symlink_to(source)
    assert "also an input" in refused(1, made, command, source, "-o", alias, "--overwrite")


def test_a_folder_without_permission_is_refused(made, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    tmp_path.chmod(0o500)
    try:
        assert "not writable" in refused(1, tmp_path, "peaks", made / "frames.h5", "-o", tmp_path / "p.cxi")
    finally:
        tmp_path.chmod(0o700)


def started(*arguments: object) -> subprocess.Popen[str]:
    """The program in a process of its own."""
    return processes.started([sys.executable, "-m", "crystint", *map(str, arguments)], ROOT)


@pytest.mark.parametrize("what", ["peaks", "peaks refl", "sparsify", "densify"])
def test_a_full_target_is_one_line_and_leaves_nothing(made, tmp_path, what):
    """A limit on the size of files stands for a full disk: writing fails in the middle."""
    command, source, name = OUTPUTS[what]

    first_writes = {
        "peaks": ["peaks_step.write_peaks"],
        "sparsify": ["sparsify_step.SparseWriter"],
        "densify": ["densify_step.DenseWriter.write", "densify_step.DenseWriter.write_packed"],
    }
    driver = f"""
import operator, resource, signal
from crystint import separation
from crystint.separation import densify_step, peaks_step, sparsify_step
from crystint.cli import main

def limited(real):
    def full(*args, **more):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a full disk sends none, and compilers of kernels catch it
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # from here on; kernels are built before
        return real(*args, **more)
    return full

for name in {first_writes[command]!r}:
    owner, function = name.rsplit(".", 1)
    owner = operator.attrgetter(owner)(separation)
    setattr(owner, function, limited(getattr(owner, function)))
main()
"""
    arguments = [command, made / source, "-o", tmp_path / name, "-q"]
    done = subprocess.run(
        [sys.executable, "-c", driver, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=processes.LONG,
    )
    assert done.returncode == 1, done.stderr
    refused_names = [tmp_path / name, tmp_path / f"{name}.json"]  # what stands beside may be what does not fit
    assert done.stderr.startswith(tuple(f"crystint: error: {each} cannot be written: " for each in refused_names)), (
        done.stderr
    )
    assert len(done.stderr.splitlines()) == 1
    assert not os.listdir(tmp_path)


def test_debug_shows_the_traceback_and_nothing_else_does(made, tmp_path):
    process = started("info", tmp_path / "none.h5", "--debug")
    _, stderr = process.communicate(timeout=processes.LONG)
    assert process.returncode == 1
    assert "Traceback" in stderr
    assert stderr.splitlines()[-1].startswith("crystint: error: ")


def test_a_reader_that_leaves_is_no_error_message(made):
    process = started("info", *[made / "frames.h5"] * 20)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(60)


def test_a_config_file_and_the_command_line_before_it(made, tmp_path):
    (tmp_path / "run.toml").write_text('rings = 60\nsnr = 50\nerror-model = "poisson"\n')
    common = ("peaks", made / "frames.h5", "--config", tmp_path / "run.toml")
    run(0, *common, "-o", tmp_path / "a.jsonl")
    run(0, *common, "-o", tmp_path / "b.jsonl", "--snr", "5")
    a, b = (crystint.read_peaks(tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    assert 0 < len(a) < len(b)
    (tmp_path / "run.toml").write_text("rigns = 60\n")
    assert "rigns" in refused(2, tmp_path, *common, "-o", tmp_path / "c.jsonl")


def test_bench_prints_a_table_and_json(made):
    text = run(0, "bench", made / "frames.h5", "--rounds", "1").stdout
    for name in ("copy", "background hybrid", "sparsify poisson", "peaks azimuthal", "densify noise"):
        assert name in text
    short = ("--rounds", "1", "--json", "-q", "--dtype", "int32", "--kernels", "--only", "background hybrid")
    found = json.loads(run(0, "bench", made / "frames.h5", *short).stdout)
    assert [row["name"] for row in found["times"]] == ["copy", "background hybrid"]
    assert found["times"][0]["copies"] == 1
    assert found["dtype"] == "int32"
    assert {row["kernel"] for row in found["kernels"]} >= {"ring_statistics", "all"}
    assert {"crystint", "numpy", "pyopencl"} <= set(found["versions"])


def test_bench_scales_and_refuses_what_has_no_meaning(made, tmp_path):
    frames = made / "frames.h5"
    short = ("bench", frames, "--rounds", "1", "-q", "--only", "pick hybrid")
    found = json.loads(run(0, *short, "--scale", "rings", "--json").stdout)
    assert [point["at"] for point in found["scale"]["points"]] == [100, 200, 500, 1000, 2000, 4000]
    assert "Mpx/s" in run(0, *short, "--scale", "rings").stdout
    assert "leave FILE out" in refused(2, tmp_path, *short, "--scale", "pixels")
    assert "--peer has no meaning" in refused(2, tmp_path, *short, "--scale", "rings", "--peer", "fabio")
    assert "dtype is 'int64'" in refused(2, tmp_path, *short, "--dtype", "int64")


def test_demo_makes_everything_and_can_be_run_again(tmp_path):
    from crystint.demo import FILES
    from crystint.demo import run as demo

    folder = tmp_path / "demo"
    said: list[str] = []
    for _ in range(2):
        done = demo(folder, frames=2, shape=(300, 310), say=said.append)
        assert sorted(os.listdir(folder)) == sorted(FILES)
    assert done.recall.strong > 20
    assert done.recall.recovered / done.recall.strong > 0.9
    assert done.recall.right / done.recall.peaks > 0.8
    assert done.comparison.exact
    (folder / "mine.txt").write_text("precious")
    assert "mine.txt" in refused(1, folder, "demo", "-o", folder)
    assert (folder / "mine.txt").read_text() == "precious"
    (folder / "frame.png").write_text("frames = 2\n")
    assert "also an input" in refused(1, folder, "demo", "-o", folder, "--config", folder / "frame.png", "--overwrite")
    assert (folder / "frame.png").read_text() == "frames = 2\n"


def test_a_real_frame(tmp_path):
    frame = shared_data("thaumatin/thau_3_2_0018.cbf.bz2")
    result = run(0, "info", frame)
    assert "2527 x 2463" in result.stdout
    assert "0.351 m" in result.stdout
    result = run(0, "peaks", frame, "-o", tmp_path / "p.cxi")
    assert "0 hits" in result.stdout
