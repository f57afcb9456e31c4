"""The steps of stills in the corridor: threads, missing frames, --resume, --strict, dask, one opening, provenance."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import CrystintWarning, FileError
from crystint.io.frame_record import FrameRecord
from crystint.io.hdf5.provenance import read_provenance
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.stills_file import StillsFile
from crystint.prediction.partiality import RockingWidth
from crystint.references import resolve
from crystint.run.execution import Execution
from crystint.run.journal import journal_of, records_in
from crystint.stills.files import read_stills, write_stills
from crystint.stills.integration.frame_record import record_of, result_of
from crystint.stills.integration.frame_stream import frame_result
from crystint.stills.integration.integrate import IntegrationPlan
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.merging.merge import merge
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.simulate import Crystal, simulate_stills
from crystint.stills.step_functions import integrate_files, merge_files, predict_files, scale_files
from tests.conftest import shared_data

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")

FRAMES = 9
RUN = {"d_min": 3.5, "domain": 1e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """run.h5 and run.expt, and bad.h5 and bad.expt with two frames that are damaged."""
    folder = tmp_path_factory.mktemp("steps")
    data = simulate_stills(
        FRAMES, crystal=Crystal(intensity=8000.0), d_min=3.5, shape=(300, 320), distance=0.06, second_lattice=0.3,
        seed=2,
    )  # fmt: skip
    write_frames(data, folder / "run.h5")
    write_frames(data, folder / "bad.h5")
    truth = merge(data.observations(), space_group=data.experiment.space_group, cell=data.experiment.cell)
    write_stills(folder / "reference.h5", merged=truth)
    with h5py.File(folder / "bad.h5") as file:
        chunks = [file["entry/data/data"].id.get_chunk_info(number) for number in (1, 4)]
    with (folder / "bad.h5").open("r+b") as raw:
        for chunk in chunks:
            raw.seek(chunk.byte_offset + chunk.size // 3)
            raw.write(b"\xa5" * (chunk.size // 3))
    return folder


def run(code: int, *arguments: Any) -> str:
    result = CliRunner().invoke(main, ["stills", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def integrated(folder: Path, output: Path, name: str = "run", **how: Any) -> Any:
    files = folder / f"{name}.expt", [folder / f"{name}.h5"]
    return integrate_files(*files, [output], command=["crystint"], execution=Execution(**how), **RUN)


def test_a_record_gives_back_what_a_frame_gave(folder: Path) -> None:
    from crystint.io.frames.sequence import open_frames

    with open_frames(folder / "run.h5") as frames:
        plan = IntegrationPlan.of(frames, read_expt(folder / "run.expt"), width=RockingWidth(1e-3), d_min=3.5)
        number, images = plan.units[1]
        result = frame_result(frames, plan.integrator, ProfileWidths.constant(1.2e-3), number, images)
    again = result_of(FrameRecord.unpack(record_of(number, result).pack()))
    assert result.part is not None
    assert again.part is not None
    assert again.notes == result.notes
    for part in ("observations", "moments"):
        one, other = getattr(result.part, part), getattr(again.part, part)
        for item in fields(one):
            a, b = getattr(one, item.name), getattr(other, item.name)
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), item.name
    for name in ("ring_pixels", "captured", "both", "away", "pixel"):
        assert getattr(result.part, name).tobytes() == getattr(again.part, name).tobytes()
    assert (again.part.guess, again.part.terms) == (result.part.guess, result.part.terms)


def test_any_number_of_threads_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for threads in (1, 2, 5):
        outcome = integrated(folder, tmp_path / f"{threads}.h5", threads=threads)
        assert (outcome.frames, outcome.of, outcome.missing) == (FRAMES, FRAMES, {})
        assert outcome.exit_code() == 0
    contents = {(tmp_path / f"{threads}.h5").read_bytes().replace(b"%d.h5" % threads, b"X.h5") for threads in (1, 2, 5)}
    assert len(contents) == 1
    assert not journal_of(tmp_path / "1.h5").exists()


def test_threads_are_one_per_core_and_at_least_two(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from crystint.run import execution
    from crystint.stills.integration import frame_stream

    used = []
    pool = frame_stream.thread_pool
    monkeypatch.setattr(frame_stream, "thread_pool", lambda threads: used.append(threads) or pool(threads))
    for cores, threads in ((1, 2), (3, 3)):
        monkeypatch.setattr(execution, "available_cores", lambda cores=cores: cores)
        integrated(folder, tmp_path / f"{cores}.h5")
        assert set(used) == {threads}
        used.clear()


def test_damaged_frames_are_missing_and_the_exit_code_says_so(folder: Path, tmp_path: Path) -> None:
    files = folder / "bad.expt", folder / "bad.h5"
    output = run(3, "integrate", *files, "-o", tmp_path / "i.h5", "--d-min", 3.5, "--domain", "1e-3", "-q")
    assert re.search(rf"error: 2 of {FRAMES} frames .*: 1, 4", output)
    assert output.count("/entry/data/data[1]") == 1  # and not once more as a note of each of its images
    bad, whole = read_stills(tmp_path / "i.h5"), integrated(folder, tmp_path / "whole.h5").result
    images = np.flatnonzero(np.isin(bad.experiment.frame, (1, 4)))
    assert sorted(bad.notes) == images.tolist()
    rest = whole.observations.select(~np.isin(whole.observations.image, images))
    assert np.array_equal(bad.observations.hkl, rest.hkl)
    with pytest.warns(CrystintWarning, match=r"frame 4.* is recorded as missing"):
        outcome = integrated(folder, tmp_path / "again.h5", "bad")
    assert sorted(outcome.missing) == [1, 4]
    assert not outcome.notes


def test_strict_stops_at_a_damaged_frame(folder: Path, tmp_path: Path) -> None:
    files = folder / "bad.expt", folder / "bad.h5", "-o", tmp_path / "i.h5", "--strict", "-q"
    assert "cannot be read" in run(1, "integrate", *files, "--d-min", 3.5, "--domain", "1e-3")
    assert not list(tmp_path.iterdir())


def test_when_no_frame_can_be_read_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    for name in ("run.h5", "run.expt"):
        shutil.copy(folder / name, tmp_path / name)
    with h5py.File(tmp_path / "run.h5") as file:
        data = file["entry/data/data"].id
        chunks = [data.get_chunk_info(number) for number in range(data.get_num_chunks())]
    with (tmp_path / "run.h5").open("r+b") as raw:
        for chunk in chunks:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xa5" * chunk.size)
    with pytest.raises(FileError, match=f"none of the {FRAMES} frames can be used"):
        integrated(tmp_path, tmp_path / "i.h5")
    assert not (tmp_path / "i.h5").exists()


@contextmanager
def stopping_after(frames: int, output: Path) -> Iterator[Any]:
    """Stop when the journal has so many frames."""
    yield lambda: records_in(output) >= frames


def test_a_run_that_was_stopped_is_resumed_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    output, whole = tmp_path / "i.h5", tmp_path / "whole" / "i.h5"
    whole.parent.mkdir()
    integrated(folder, whole, "bad")
    first = integrated(folder, output, "bad", threads=1, until=lambda: stopping_after(3, output))
    assert 3 <= first.frames < FRAMES
    assert first.exit_code(2) == 130
    assert journal_of(output).exists()
    assert read_provenance(output)["incomplete"] == {"frames": first.frames, "of": FRAMES}
    part = read_stills(output)
    assert part.observations.image.max() < len(part.experiment) - 1
    last = integrated(folder, output, "bad", resume=True)
    assert (last.frames, sorted(last.missing)) == (FRAMES, [1, 4])
    assert output.read_bytes() == whole.read_bytes()
    assert not journal_of(output).exists()
    again = integrated(folder, output, "bad", resume=True)
    assert again.unchanged
    with pytest.raises(FileError, match="no output of this run: noise"):
        integrate_files(
            folder / "bad.expt", [folder / "bad.h5"], [output], noise=3.0, execution=Execution(resume=True), **RUN
        )


def test_images_of_some_frames_alone(folder: Path, tmp_path: Path) -> None:
    """`--frames`: the observations of these images are those of a run over all with the same widths."""
    whole, some = tmp_path / "whole.h5", tmp_path / "some.h5"
    more = ("-o", some, "--d-min", 3.5, "--domain", 1e-3, "-q")
    integrated(folder, whole)
    run(0, "integrate", folder / "run.expt", folder / "run.h5", "--frames", "2,5:8", *more)
    of_all, of_some = read_stills(whole), read_stills(some)
    frames = of_some.experiment.frame
    assert sorted(set(frames.tolist())) == [2, 5, 6, 7]
    assert len(of_some.experiment) == np.isin(of_all.experiment.frame, [2, 5, 6, 7]).sum()
    wanted = np.isin(of_all.experiment.frame[of_all.observations.image], [2, 5, 6, 7]) & of_all.observations.usable
    assert of_some.observations.usable.sum() == pytest.approx(wanted.sum(), rel=0.02)
    assert "frames is 9:99, but there are 9" in run(
        2, "integrate", folder / "run.expt", folder / "run.h5", "--frames", "9:99", *more[:1], tmp_path / "o.h5"
    )
    if find_spec("distributed"):
        how, step = Execution(dask="local", threads=2, dask_frames=2), resolve("crystint.stills.steps:INTEGRATE")
        settings = {"frames": "2,5:8", **RUN}
        step(folder / "run.expt", [folder / "run.h5"], outputs=tmp_path / "d.h5", settings=settings, execution=how)
        assert np.array_equal(read_stills(tmp_path / "d.h5").observations.intensity, of_some.observations.intensity)


def test_resuming_measures_the_rocking_width_again(folder: Path, tmp_path: Path) -> None:
    output, whole = tmp_path / "i.h5", tmp_path / "whole" / "i.h5"
    whole.parent.mkdir()
    files, more = (folder / "run.expt", [folder / "run.h5"]), {"d_min": 3.5, "command": ["crystint"]}
    integrate_files(*files, [whole], **more)
    how = Execution(threads=2, until=lambda: stopping_after(2, output))
    assert integrate_files(*files, [output], execution=how, **more).stopped
    assert not integrate_files(*files, [output], execution=Execution(resume=True), **more).stopped
    assert output.read_bytes() == whole.read_bytes()
    assert integrate_files(*files, [output], execution=Execution(resume=True), **more).unchanged


def test_other_settings_are_not_resumed(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "i.h5"
    integrated(folder, output, threads=1, until=lambda: stopping_after(2, output))
    with pytest.raises(FileError, match="method"):
        integrate_files(
            folder / "run.expt", [folder / "run.h5"], [output], method="sum", execution=Execution(resume=True), **RUN
        )


def test_a_cluster_gives_the_same_bytes(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("distributed")
    monkeypatch.chdir(folder)  # names that are relative here are not so for a worker
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    names = Path("bad.expt"), [folder / "bad.h5"]
    more = {"command": ["crystint"], "reference": None, **RUN}
    integrate_files(*names, [tmp_path / "a" / "i.h5"], **more)
    how = Execution(dask="local", threads=2, dask_frames=2)
    outcome = integrate_files(*names, [tmp_path / "b" / "i.h5"], execution=how, **more)
    assert sorted(outcome.missing) == [1, 4]
    assert (tmp_path / "a" / "i.h5").read_bytes() == (tmp_path / "b" / "i.h5").read_bytes()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each HDF5 file is opened, and observations are read."""
    counts: Counter[str] = Counter()
    opened, read = h5py.File.__init__, StillsFile.observations

    def opening(self: Any, name: Any, *more: Any, **options: Any) -> None:
        if isinstance(name, str | Path):
            counts[Path(name).name] += 1
        opened(self, name, *more, **options)

    def reading(self: Any, *more: Any) -> Any:
        counts["observations"] += 1
        return read(self, *more)

    monkeypatch.setattr(h5py.File, "__init__", opening)
    monkeypatch.setattr(StillsFile, "observations", reading)
    return counts


def test_each_file_is_opened_and_read_once(folder: Path, tmp_path: Path, counted: Counter[str]) -> None:
    integrated(folder, tmp_path / "i.h5")
    counted.clear()
    scale_files([tmp_path / "i.h5"], [tmp_path / "s.h5"])
    assert (counted["i.h5"], counted["observations"]) == (1, 1)
    counted.clear()
    merge_files(tmp_path / "s.h5", [tmp_path / "m.h5", tmp_path / "m.txt"])
    assert (counted["s.h5"], counted["observations"]) == (1, 1)
    counted.clear()
    scale_files([tmp_path / "i.h5"], [tmp_path / "r.h5"], reference=tmp_path / "m.h5", fit_width=False)
    assert (counted["i.h5"], counted["m.h5"], counted["observations"]) == (1, 1, 1)
    counted.clear()
    predict_files(tmp_path / "i.h5", [tmp_path / "p.h5"], d_min=4.0)
    assert (counted["i.h5"], counted["observations"]) == (1, 0)


def test_old_names_of_modules_work() -> None:
    from crystint.stills.work_merge import merge_files as merge
    from crystint.stills.work_scale import scale_files as scale

    assert (merge, scale) == (merge_files, scale_files)


def test_provenance_has_every_setting_and_every_file(folder: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.npy"
    np.save(mask, np.zeros((300, 320), dtype=np.uint8))
    (tmp_path / "s.toml").write_text("noise = 0.5\nrecenter = false\n")
    reference = folder / "reference.h5"
    files = folder / "run.expt", folder / "run.h5", "-o", tmp_path / "i.h5"
    more = "-m", mask, "-r", reference, "--config", tmp_path / "s.toml", "--dataset", "/entry/data/data"
    run(0, "integrate", *files, *more, "--d-min", 3.5, "--domain", "1e-3", "-q")
    record = read_provenance(tmp_path / "i.h5")
    inputs = [folder / "run.expt", folder / "run.h5", reference, mask, tmp_path / "s.toml"]
    assert sorted(record["inputs"]) == sorted(map(str, inputs))
    settings = record["settings"]
    assert settings["dataset"] == "/entry/data/data"
    assert (settings["noise"], settings["recenter"], settings["d_min"], settings["band"]) == (0.5, False, 3.5, 1.7)
    assert settings["width"] == {"domain": 1e-3, "mosaicity": 0.0, "bandwidth": 0.0}
    run(0, "scale", tmp_path / "i.h5", "-o", tmp_path / "s.h5", "-r", reference, "-q")
    record = read_provenance(tmp_path / "s.h5")
    assert record["inputs"] == [str(tmp_path / "i.h5"), str(reference)]
    assert {"min_partiality", "refine_b", "wavelength_nodes", "fit_width", "space_group"} <= set(record["settings"])
    run(0, "merge", tmp_path / "s.h5", "-o", tmp_path / "m.h5", "--error-model", "1.1,0.02", "-q")
    assert read_provenance(tmp_path / "m.h5")["settings"]["error_model"] == [1.1, 0.02]


def test_the_expt_beside_a_refl_is_an_input(tmp_path: Path) -> None:
    table = shared_data("stills/l_cysteine_wedge/11_integrated.refl")
    merge_files(table, [tmp_path / "m.h5"])
    assert read_provenance(tmp_path / "m.h5")["inputs"] == [str(table), str(table.with_suffix(".expt"))]
    for name in (table, table.with_suffix(".expt")):
        shutil.copy(name, tmp_path / name.name)
    own = tmp_path / table.name
    before = own.with_suffix(".expt").read_bytes()
    shutil.copy(own.with_suffix(".expt"), tmp_path / "l.h5")
    for output, more in ((tmp_path / "l.h5", {"experiment": tmp_path / "l.h5"}), (tmp_path / "m.h5", {})):
        if not more:
            output.unlink()
            output.hardlink_to(own.with_suffix(".expt"))
        with pytest.raises(FileError, match="is also an input"):
            merge_files(own, [output], overwrite=True, **more)
    assert own.with_suffix(".expt").read_bytes() == before


@pytest.mark.parametrize("suffix", [".hdf5", ".hdf", ".nxs"])
def test_all_suffixes_of_hdf5_are_read_and_written(folder: Path, tmp_path: Path, suffix: str) -> None:
    one, two, three = (tmp_path / f"{name}{suffix}" for name in "abc")
    integrated(folder, one)
    scale_files([one], [two], fit_width=False)
    merge_files(two, [three])
    assert len(read_stills(three).merged) > 100


def test_outliers_may_stay(folder: Path, tmp_path: Path) -> None:
    integrated(folder, tmp_path / "i.h5")
    merge_files(tmp_path / "i.h5", [tmp_path / "m.h5"], outliers=None)
    assert len(read_stills(tmp_path / "m.h5").merged.rejected) == 0
