"""The commands of angular correlation go frame by frame: threads, clusters, interruptions, own inputs.

Whatever way a run takes, its data are those of one that nothing disturbed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from crystint.correlate import steps
from crystint.errors import CrystintWarning, FileError
from crystint.io.hdf5.provenance import read_provenance
from crystint.model.geometry import Geometry
from crystint.run.execution import Execution
from crystint.run.journal import journal_of, records_in
from crystint.run.outcome import Outcome
from tests.correlate.case import CENTER, GRID, RADII, SHAPE, content, damaged, exposures, refused, run
from tests.processes import LONG, after, started

GEOMETRY = Geometry(SHAPE, (2e-3, 2e-3), 0.05, beam_center=CENTER, wavelength=1.2)
STEPS = {
    "polar": ("polar", ()),
    "single": ("correlate", ("--subtract", "curve")),
    "next": ("correlate", ("--difference", "next")),
    "greedy": ("correlate", ("--difference", "greedy", "--block", 4)),
    "optimal": ("correlate", ("--difference", "optimal", "--peaks", 4)),
}
by_step = pytest.mark.parametrize("name", STEPS)


def data_of(path: Path) -> dict[str, Any]:
    """All data sets and attributes but the provenance."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:

        def collect(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and not name.startswith("entry/process"):
                found[name] = (item.dtype, item.shape, item[()].tobytes() if item.dtype.kind in "iufb" else item[()])

        file.visititems(collect)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f.h5: eleven frames of which 3 cannot be read; for each step what a run with one thread writes."""
    folder = tmp_path_factory.mktemp("runs")
    damaged(folder / "f.h5", exposures(11), (3,))
    GEOMETRY.write(folder / "g.json")
    for name in STEPS:
        run(3, *words(name, folder, folder / f"{name}.h5"), "--threads", 1)
    return folder


def words(name: str, folder: Path, output: Path) -> list[Any]:
    command, options = STEPS[name]
    return [command, folder / "f.h5", *GRID, *options, "-o", output]


@by_step
def test_threads_change_nothing(made: Path, tmp_path: Path, name: str) -> None:
    run(3, *words(name, made, tmp_path / "o.h5"), "--threads", 5)
    assert data_of(tmp_path / "o.h5") == data_of(made / f"{name}.h5")
    assert read_provenance(tmp_path / "o.h5")["settings"]["missing"] == [3]
    assert os.listdir(tmp_path) == ["o.h5"]


def stop_after(count: int) -> Execution:
    """Stop before the next frame is begun once it was asked so often."""

    @contextmanager
    def until() -> Iterator[Callable[[], bool]]:
        asked = iter(range(1000))
        yield lambda: next(asked) >= count

    return Execution(threads=1, until=until)


def stopped(name: str, made: Path, output: Path, count: int) -> Outcome | None:
    """A step that is stopped; None when it was so early that there is nothing to be written."""
    command, options = STEPS[name]
    settings = {key.strip("-"): value for key, value in zip(options[::2], options[1::2])}
    settings |= {"beam": CENTER, "radii": (8, 15), "azimuths": 60}
    step = steps.POLAR if command == "polar" else steps.CORRELATE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)  # of the frame that is missing, once it has come
        try:
            return step([made / "f.h5"], outputs=output, settings=settings, execution=stop_after(count))
        except KeyboardInterrupt:
            return None


@by_step
@pytest.mark.parametrize("count", [4, 14])
def test_a_run_that_was_stopped_goes_on(made: Path, tmp_path: Path, name: str, count: int) -> None:
    output = tmp_path / "o.h5"
    outcome = stopped(name, made, output, count)
    done = records_in(output)
    assert 0 < done < 11
    if outcome is None:
        assert (name in ("next", "greedy", "optimal"), done < 4, output.exists()) == (True, True, False)
    else:
        assert (outcome.frames, outcome.of, outcome.stopped) == (done, 11, True)
        assert outcome.exit_code(signal.SIGTERM) == 143
        assert read_provenance(output)["incomplete"] == {"frames": done, "of": 11}
        if name == "polar":
            with h5py.File(output) as file:
                assert len(file["entry/data/values"]) == len(file["entry/data/weights"]) == done
    assert "--resume goes on" in refused(tmp_path, 1, *words(name, made, output))
    run(3, *words(name, made, output), "--resume")
    assert data_of(output) == data_of(made / f"{name}.h5")
    assert not journal_of(output).exists()
    assert "nothing left to do" in run(3, *words(name, made, output), "--resume").stdout
    said = refused(tmp_path, 1, *words(name, made, output), "--origin", "loki", "--resume")
    assert "is no output of this run" in said


def test_a_centre_that_was_stopped_goes_on(made: Path, tmp_path: Path) -> None:
    output, settings = tmp_path / "o.json", {"geometry": made / "g.json"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)
        outcome = steps.CENTER([made / "f.h5"], outputs=output, settings=settings, execution=stop_after(14))
    assert outcome.stopped
    assert read_provenance(output)["incomplete"] == {"frames": outcome.frames, "of": 11}
    early = Geometry.read(output)
    center = ("center", made / "f.h5", "-g", made / "g.json", "-q", "-o")
    run(3, *center, output, "--resume")
    run(3, *center, tmp_path / "p.json", "--threads", 1)
    assert Geometry.read(output) == Geometry.read(tmp_path / "p.json") != early
    assert not journal_of(output).exists()
    assert "nothing left to do" in run(3, *center, output, "--resume").stdout


def test_a_journal_of_other_settings_is_refused(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.h5"
    stopped("polar", made, output, 4)
    said = refused(tmp_path, 1, *words("polar", made, output), "--method", "nearest", "--resume")
    assert "method was area, is nearest" in said


@pytest.mark.parametrize("command", ["polar", "correlate", "center"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_whole_outputs_and_a_journal(tmp_path: Path, command: str, number: signal.Signals) -> None:
    frames = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", np.uint16, (20_000, *SHAPE))
    frames[:] = exposures(1)[0]
    frames.flush()
    output = tmp_path / ("o.json" if command == "center" else "o.h5")
    place = ("--beam", "20.3,21.6", "--distance", "0.05", "--pixel-size", "2mm")
    rings = () if command == "center" else ("--radii", "8,15", "--azimuths", "60")
    arguments = ["-m", "crystint", "correlate", command, "f.npy", *place, *rings, "-q", "-o", output.name]
    process = started([sys.executable, *arguments], tmp_path)
    after(process, output, 3)
    process.send_signal(number)
    _, said = process.communicate(timeout=LONG)
    if process.returncode == 0:
        pytest.skip("the run had ended when the signal came")
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("crystint: error: interrupted after "), said
    done = int(last.split()[4])
    assert {path.name for path in tmp_path.iterdir()} == {"f.npy", output.name, output.name + ".partial"}
    assert read_provenance(output)["incomplete"] == {"frames": done, "of": 20_000}
    if command == "center":
        assert np.abs(np.subtract(Geometry.read(output).direct_beam, CENTER)).max() < 0.5


@pytest.mark.parametrize("name", ["polar", "greedy"])
def test_a_cluster_finds_what_threads_find(made: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("distributed")
    arguments = ["-m", "crystint", "correlate", *map(str, words(name, made, tmp_path / "o.h5"))]
    process = started([sys.executable, *arguments, "--dask", "local", "--dask-frames", "3", "--threads", "2"], tmp_path)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 3, said
    assert data_of(tmp_path / "o.h5") == data_of(made / f"{name}.h5")


def test_a_cluster_adds_frames_up(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    arguments = ["correlate", "center", str(made / "f.h5"), "-g", str(made / "g.json"), "-o", "o.json", "-q"]
    process = started([sys.executable, "-m", "crystint", *arguments, "--dask", "local", "--threads", "2"], tmp_path)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 3, said
    run(3, "center", made / "f.h5", "-g", made / "g.json", "-o", tmp_path / "p.json", "-q")
    texts = [json.loads((tmp_path / name).read_text()) for name in ("o.json", "p.json")]
    assert texts[0].pop("provenance") != texts[1].pop("provenance")
    assert texts[0] == texts[1]


@by_step
def test_strict_runs_stop_and_leave_nothing(made: Path, tmp_path: Path, name: str) -> None:
    assert "frame 3" in refused(tmp_path, 1, *words(name, made, tmp_path / "o.h5"), "--strict")
    with pytest.raises(FileError, match="frame 3"):
        steps.CENTER([made / "f.h5"], settings={"beam": CENTER}, execution=Execution(strict=True))


@pytest.mark.parametrize("command", ["polar", "correlate", "center"])
def test_no_input_is_written_over(tmp_path: Path, command: str) -> None:
    """Frames, the files behind a master, mask, geometry, results to add, the settings: by any name."""
    np.save(tmp_path / "mask.npy", np.zeros(SHAPE, np.uint8))
    GEOMETRY.write(tmp_path / "g.json")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["entry/data/data"] = exposures(3)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("data.h5", "entry/data/data")
    (tmp_path / "c.toml").write_text("beam-outside = false\n")
    rings = () if command == "center" else ("--radii", "8,15", "--azimuths", "60")
    inputs = ["f.h5", "data.h5", "mask.npy", "g.json", "c.toml"]
    more: tuple[Any, ...] = (
        *rings,
        "-g",
        tmp_path / "g.json",
        "-m",
        tmp_path / "mask.npy",
        "--config",
        tmp_path / "c.toml",
    )
    if command == "correlate":
        run(0, "correlate", tmp_path / "f.h5", *more, "-o", tmp_path / "add.h5")
        more += ("--add", tmp_path / "add.h5")
        inputs.append("add.h5")
    suffix = ".json" if command == "center" else ".h5"
    onto = (command, tmp_path / "f.h5", *more, "--overwrite", "-o")
    for name in inputs:
        own = tmp_path / name
        for kind, alias in (("symbolic", tmp_path / f"s{suffix}"), ("hard", tmp_path / f"h{suffix}")):
            alias.unlink(missing_ok=True)
            alias.symlink_to(own) if kind == "symbolic" else os.link(own, alias)
            assert "is also an input" in refused(tmp_path, 1, *onto, alias)
        if own.suffix == suffix:
            assert "is also an input" in refused(tmp_path, 1, *onto, own)


def test_results_to_add_are_not_written_over(made: Path, tmp_path: Path) -> None:
    (tmp_path / "c.h5").write_bytes((made / "single.h5").read_bytes())
    said = refused(tmp_path, 1, "correlate", "--add", tmp_path / "c.h5", "-o", tmp_path / "c.h5", "--overwrite")
    assert "is also an input" in said
    for name in ("polar", "next"):
        (tmp_path / "p.h5").write_bytes((made / f"{name}.h5").read_bytes())
        (tmp_path / "p.png").unlink(missing_ok=True)
        (tmp_path / "p.png").symlink_to(tmp_path / "p.h5")
        said = refused(tmp_path, 1, "plot", tmp_path / "p.h5", "-o", tmp_path / "p.png", "--overwrite")
        assert "is also an input" in said


@pytest.mark.parametrize("command", ["polar", "correlate", "center"])
def test_settings_may_come_from_a_file_and_are_all_in_the_provenance(made: Path, tmp_path: Path, command: str) -> None:
    lines = ['mask = ["mask.npy"]', 'geometry = "g.json"']
    if command != "center":
        lines += ["radii = [8, 15]", "azimuths = 60", 'method = "nearest"', 'origin = "loki"', "direction = -1"]
    if command == "correlate":
        lines += ['cross = ["8,9", "all"]', "by-intensity = true"]
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "c.toml").write_text("\n".join(lines))
    GEOMETRY.write(folder / "g.json")
    np.save(folder / "mask.npy", np.zeros(SHAPE, np.uint8))
    output = tmp_path / ("o.poni" if command == "center" else "o.h5")
    run(3, command, made / "f.h5", "--config", folder / "c.toml", "-q", "-o", output)
    record = read_provenance(output)
    assert record["inputs"] == [str(made / "f.h5")]
    settings = record["settings"]
    step = {"polar": steps.POLAR, "correlate": steps.CORRELATE, "center": steps.CENTER}[command]
    defaults = {name for name, field in step.settings.model_fields.items() if field.default is not None}
    assert defaults <= settings.keys()
    assert settings["mask"] == [str(folder / "mask.npy")]
    assert settings["geometry"] == str(folder / "g.json")
    assert settings["geometry_used"]["distance"] == 0.05
    if command != "center":
        assert (settings["method"], settings["origin"], settings["direction"]) == ("nearest", "loki", -1)
        assert settings["grid_used"]["radii"] == [RADII[0], RADII[-1], len(RADII)]
    if command == "correlate":
        assert settings["cross"] == [[8.0, 9.0], "all"]
        assert settings["by_intensity"] is True
        run(
            3, command, made / "f.h5", "--config", folder / "c.toml", "-q", "-o", tmp_path / "p.h5", "--no-by-intensity"
        )
        assert read_provenance(tmp_path / "p.h5")["settings"]["by_intensity"] is False
        run(0, "plot", output, "-o", tmp_path / "o.png")
    assert content(folder).keys() == {folder / name for name in ("c.toml", "g.json", "mask.npy")}


def test_the_group_alone_prints_its_steps() -> None:
    text = run(0).stdout
    assert all(f"  {name} " in text for name in ("center", "polar", "correlate", "plot"))
