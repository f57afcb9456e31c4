"""The contract of the command line, for all commands alike: each test runs for every row of `tests.commands.table`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import h5py
import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner, Result

from crystint.cli import main
from crystint.io.frames import open_frames
from tests.commands.table import BY_PATH, ROWS, Row, groups, leaves
from tests.conftest import DEVICES, ROOT
from tests.processes import LONG, heeding_sigint

ENDING = [row for row in ROWS if not row.process]
WRITERS = [row for row in ROWS if row.output]
FRAMES = [row for row in ROWS if row.frames]
WITH_SETTINGS = [row for row in ROWS if row.settings]
READERS = [(row, name) for row in WRITERS for name in row.reads]
ALWAYS = {"--debug", "-h"}
OF_SETTINGS = {"--config", "-q"}
OF_WRITERS = {"--overwrite", "-o"}
OF_FRAMES = {"--threads", "--strict", "--resume", "--part", "--dask", "--dask-frames"}
NO_SETTINGS = {
    "output",
    "outputs",
    "overwrite",
    "quiet",
    "debug",
    "help",
    "config",
    "json",
    *(name[2:] for name in OF_FRAMES),
}
"""Options that decide nothing about what is found."""
JUNK = b"somebody's work"


def by_path(rows: Iterable[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.path.replace(" ", "-"))


def invoke(*words: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


def run(code: int, *words: object) -> Result:
    """Run a command in this process; a failure must be one line on stderr and no traceback."""
    result = invoke(*words)
    assert result.exit_code == code, f"exit {result.exit_code}: {result.output[-2000:]}"
    assert "Traceback" not in result.output
    if code:
        assert result.stderr.splitlines()[-1].startswith("crystint: error: "), result.stderr
        assert result.stderr.count("crystint: error: ") == 1, result.stderr
    return result


def digest(content: bytes) -> str:
    """Short, so that a difference is told in a line."""
    return hashlib.sha256(content).hexdigest()[:12]


def content(folder: Path) -> dict[str, str]:
    """A digest of every file, of hidden ones too."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("many")]
    return {str(path.relative_to(folder)): digest(path.read_bytes()) for path in files}


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names of files that are new, gone or different."""
    return sorted(name for name in {**before, **after} if before.get(name) != after.get(name))


def refused(code: int, folder: Path, *words: object) -> str:
    """The error of a command that must fail and leave everything as it was."""
    before = content(folder)
    result = invoke(*words)
    assert not changes(before, content(folder)), f"exit {result.exit_code}: {result.output[-500:]}"
    assert result.exit_code == code, result.output[-2000:]
    assert result.stderr.count("crystint: error: ") == 1, result.stderr
    return result.stderr.splitlines()[-1]


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the rows of the table name; no test changes them."""
    folder = tmp_path_factory.mktemp("inputs")
    rings = ("--radii", "40,60", "--azimuths", "60", "--outliers", 0, "-q")
    detector = ("--shape", "200,210", "--distance", 0.05, "--d-min", 3, "-q")
    before = Path.cwd()
    os.chdir(folder)
    try:
        run(0, "stills", "simulate", "-o", ".", "--frames", 6, *detector)
        run(0, "stills", "simulate", "-o", "lots", "--frames", 120, "--d-min", 3, *detector)
        Path("lots/frames.h5").rename("many.h5")
        Path("many.expt").write_text(Path("lots/frames.expt").read_text().replace("frames.h5", "many.h5"))
        shutil.rmtree("lots")
        run(0, "stills", "integrate", "frames.expt", "frames.h5", "-o", "integrated.h5", "--d-min", 3, "-q")
        run(0, "stills", "scale", "integrated.h5", "-o", "scaled.h5", "-q")
        with open_frames("frames.h5") as frames:
            assert frames.geometry is not None
            frames.geometry.write("geometry.json")
            shape = frames.shape
        rng = np.random.default_rng(0)
        np.save("mask.npy", (rng.random(shape) < 0.01).astype(np.uint8))
        box = {"name": "middle", "type": "box", "slow_min": 90, "slow_max": 110, "fast_min": 100, "fast_max": 120}
        Path("rois.json").write_text(json.dumps({"rois": [box]}))
        np.save("dark.npy", np.zeros(shape, np.float32))
        np.save("flat.npy", rng.uniform(0.9, 1.1, shape).astype(np.float32))
        np.save("norm.npy", np.ones(shape, np.float32))
        damage(Path("frames.h5"), Path("damaged.h5"), 1)
        Path("damaged.expt").write_text(Path("frames.expt").read_text().replace("frames.h5", "damaged.h5"))
        run(0, "peaks", "frames.h5", "-o", "peaks.cxi", "--rings", 60, "-q")
        for part in ("0/2", "1/2"):
            run(0, "peaks", "frames.h5", "-o", "peaks.cxi", "--rings", 60, "--part", part, "-q")
        run(0, "sparsify", "frames.h5", "-o", "sparse.h5", "--rings", 60, "-q")
        run(3, "sparsify", "damaged.h5", "-o", "damaged-sparse.h5", "--rings", 60, "-q")
        run(0, "sparsify", *["many.h5"] * 4, "-o", "many-sparse.h5", "--rings", 60, "-q")
        run(0, "cbc", "simulate", "-o", "table.h5", "--frames", 2, "--d-min", 5)
        shutil.copyfile("table.h5", "setup.h5")
        fit = ("--bandwidth", 2e-3, "--grid", "12,12", "--iterations", 2, "--no-errors", "-q")
        run(0, "cbc", "scale", "table.h5", "-o", "cbc-scaled.h5", "--symmetry", "mmm", *fit)
        run(
            0,
            "correlate",
            "correlate",
            "frames.h5",
            "-g",
            "geometry.json",
            "-m",
            "mask.npy",
            *rings,
            "-o",
            "correlation.h5",
        )
        shutil.copyfile("correlation.h5", "earlier.h5")
        link(Path("frames.h5"), Path("master.h5"))
        virtual(Path("frames.h5"), Path("virtual.h5"))
    finally:
        os.chdir(before)
    return folder


def damage(whole: Path, path: Path, number: int) -> None:
    """A copy of an HDF5 file with one chunk of the frames overwritten."""
    shutil.copyfile(whole, path)
    with h5py.File(path) as file:
        chunk = file["entry/data/data"].id.get_chunk_info(number)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xa5" * chunk.size)


def link(target: Path, path: Path) -> None:
    """A file whose frames are in another one, by an external link."""
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink(target.name, "entry/data/data")


def virtual(target: Path, path: Path) -> None:
    """A file whose frames are in another one, as a virtual data set."""
    with h5py.File(target) as source, h5py.File(path, "w") as file:
        data = source["entry/data/data"]
        layout = h5py.VirtualLayout(data.shape, data.dtype)
        layout[:] = h5py.VirtualSource(target.name, "entry/data/data", data.shape)
        file.create_virtual_dataset("entry/data/data", layout)


@pytest.fixture
def work(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: copies of the small inputs, which a test may change; the large ones are links."""
    folder = tmp_path / "work"
    folder.mkdir()
    for file in inputs.iterdir():
        if file.name.startswith("many"):
            (folder / file.name).symlink_to(file)
        else:
            shutil.copyfile(file, folder / file.name)
    monkeypatch.chdir(folder)
    return folder


@dataclass
class Done:
    """A run that worked."""

    folder: Path
    result: Result
    before: dict[str, str]


@pytest.fixture(scope="session")
def worked(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that runs the line of a row once, with an output that replaces another one."""
    memory: dict[str, Done] = {}

    def of(row: Row) -> Done:
        if row.path not in memory:
            folder, place = tmp_path_factory.mktemp("worked"), Path.cwd()
            for name in inputs.iterdir():
                if not name.name.startswith("many"):
                    shutil.copyfile(name, folder / name.name)
            before = content(folder)
            os.chdir(folder)
            try:
                occupy(row)
                more = ["--overwrite"] if row.output else []
                memory[row.path] = Done(
                    folder, invoke(*(row.writing(row.output) if row.output else row.words), *more), before
                )
            finally:
                os.chdir(place)
        return memory[row.path]

    return of


def occupy(row: Row) -> list[Path]:
    """Put something where a row will write."""
    if row.folder:
        Path(row.output).mkdir()
    files = [Path(row.output, name) for name in row.inside] if row.folder else [Path(row.output)] * bool(row.output)
    for file in files:
        file.write_bytes(JUNK)
    return files


# -------------------------------------------------------------------------------- the table


def test_the_table_has_every_command():
    assert sorted(BY_PATH) == sorted(leaves())
    assert len(BY_PATH) == len(ROWS)


@by_path(ROWS)
def test_every_command_has_the_options_that_are_everywhere(row):
    names = {name for parameter in row.command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    names |= set(row.command.get_help_option_names(click.Context(row.command, parent=click.Context(main))))
    names |= set(main.context_settings["help_option_names"])
    wanted = ALWAYS | (OF_SETTINGS if row.settings else set()) | (OF_WRITERS if row.output else set())
    wanted |= (OF_FRAMES if row.frames else set()) | ({"--device"} if row.device else set())
    assert not wanted - names


@by_path(ENDING)
def test_the_line_works_and_replaces_an_output_only_when_told(row, worked):
    done = worked(row)
    assert done.result.exit_code == 0, done.result.output[-2000:]
    after = content(done.folder)
    assert not changes(done.before, {name: after.get(name, "") for name in done.before})
    new = set(after) - set(done.before)
    if row.folder:
        assert {f"{row.output}/{name}" for name in row.inside} <= new
    else:
        assert {name for name in new if name != row.output + ".json"} == {row.output} - {""}
    assert digest(JUNK) not in [after[name] for name in new]


# -------------------------------------------------------------------------------- outputs and inputs


def onto(row: Row, name: str, target: str, folder: Path, words: list[str] | None = None) -> None:
    """Write onto an input, which must be refused."""
    suffix = Path(target).suffix
    code = 1 if not row.formats or suffix in row.formats else (1, 2)
    for more in ([], ["--overwrite"]):
        before = content(folder)
        result = invoke(*(words or row.words), "-o", target, *more)
        after = content(folder)
        assert after.get(name) == before[name], f"{name} is lost, exit {result.exit_code}: {result.output[-500:]}"
        assert not changes(before, after), f"exit {result.exit_code}: {result.output[-500:]}"
        assert result.exit_code in (code if isinstance(code, tuple) else (code,)), result.output[-1000:]
        assert result.stderr.count("crystint: error: ") == 1, result.stderr
    if code == 1:
        assert "input" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("row", "name"), [(r, n) for r, n in READERS if not r.folder], ids=lambda v: getattr(v, "path", v).replace(" ", "-")
)
@pytest.mark.parametrize("how", ["itself", "symlink", "hardlink"])
def test_no_input_is_written_to(row, name, how, work):
    alias = f"alias{row.formats[0] if row.formats else '.h5'}"
    if how == "symlink":
        Path(alias).symlink_to(name)
    elif how == "hardlink":
        os.link(name, alias)
    onto(row, name, name if how == "itself" else alias, work)


@pytest.mark.parametrize("master", ["master.h5", "virtual.h5"])
@by_path([row for row in WRITERS if row.reads[:1] == ("frames.h5",)])
def test_no_file_behind_a_master_is_written_to(row, master, work):
    Path(f"alias{(row.formats or ('.h5',))[0]}").symlink_to("frames.h5")
    words = [master if word == "frames.h5" else word for word in row.words]
    if row.path == "stills integrate":
        words = [word.replace("frames.expt", "other.expt") for word in words]
        Path("other.expt").write_text(Path("frames.expt").read_text().replace("frames.h5", master))
    words += [] if "geometry.json" in words or row.path in ("compare", "stills integrate") else ["-g", "geometry.json"]
    onto(row, "frames.h5", f"alias{(row.formats or ('.h5',))[0]}", work, words)


@by_path(WRITERS)
def test_the_configuration_is_not_written_to(row, work):
    name = "c.toml"
    Path(name).write_text(toml(row, row.value))
    alias = f"alias{row.formats[0] if row.formats else '.h5'}"
    if row.folder:
        pytest.skip("its output is a folder")
    Path(alias).symlink_to(name)
    onto(row, name, alias, work, [*row.words, "--config", name])


@by_path(WRITERS)
def test_an_existing_output_is_refused(row, work):
    occupy(row)
    assert "--overwrite" in refused(1, work, *row.writing(row.output))


@by_path(WRITERS)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(row, work):
    Path("plain").write_bytes(JUNK)
    refused(1, work, *row.writing(f"plain/{row.output}"))
    if row.folder:
        refused(1, work, *row.writing("plain"))
        return
    refused(1, work, *row.writing(f"nowhere/{row.output}"))
    Path("folder" + Path(row.output).suffix).mkdir()
    refused(1, work, *row.writing("folder" + Path(row.output).suffix), "--overwrite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@by_path(WRITERS)
def test_a_folder_without_permission_is_refused(row, work):
    Path("closed").mkdir(mode=0o500)
    refused(1, work, *row.writing(f"closed/{row.output}"))


@by_path([row for row in WRITERS if row.formats])
def test_an_unknown_suffix_is_a_wrong_argument(row, work):
    message = refused(2, work, *row.writing("o.xyz"))
    assert row.formats[0] in message or "HDF5" in message


@by_path([row for row in ROWS if row.reads])
def test_names_of_bytes_that_are_no_text(row, work):
    first = row.reads[0]
    name, output = (os.fsdecode(b"n\xff" + os.fsencode(each)) for each in (first, row.output or "-"))
    Path(first).rename(name)
    words = [name if word == first else word for word in row.words]
    if row.path == "stills integrate":  # the experiment names the frames
        Path("frames.expt").write_text(Path("frames.expt").read_text().replace(first, json.dumps(name)[1:-1]))
    result = run(0, *words, *(["-o", output] if row.output else []))
    assert not row.output or Path(output).stat().st_size > 0
    assert not hidden(work)
    if not row.output:
        assert result.stdout
        return
    assert "exists" in refused(1, work, *words, "-o", output)


# -------------------------------------------------------------------------------- frames that are missing


@by_path(FRAMES)
def test_a_frame_that_cannot_be_read_is_named_and_left_out(row, work):
    result = run(3, *shlex.split(f"{row.path} {row.missing}"), "-o", row.output)
    assert Path(row.output).stat().st_size > 0
    assert re.search(r"\b1\b", result.stderr.splitlines()[-1])
    assert not hidden(work)


@by_path([row for row in FRAMES if row.path != "compare"])  # its picture is made again
def test_a_finished_run_that_is_resumed_still_lacks_its_frames(row, work):
    words = [*shlex.split(f"{row.path} {row.missing}"), "-o", row.output]
    run(3, *words)
    before = content(work)
    result = run(3, *words, "--resume")
    assert "nothing left to do" in result.stdout
    assert re.search(r"1 frames? could not be read .*: 1$", result.stderr.splitlines()[-1])
    assert not changes(before, content(work))


def values(path: Path) -> dict[str, object]:
    """What is in an output, by name, without what tells how and by which command it was made."""
    if not h5py.is_hdf5(path):
        written = json.loads(path.read_text())
        return {name: part for name, part in written.items() if name not in ("provenance", "files", "command")}
    held: dict[str, object] = {}

    def look(name: str, item: object) -> None:
        how = ("/parts/", "part/", "checksums", "provenance", "configuration/data", "process")
        if isinstance(item, h5py.Dataset) and not any(word in name for word in how):
            try:
                stored = None if item.shape is None else item[()]
            except OSError:  # it shows the frame of the input that cannot be read
                stored = None
            held[name] = (
                item.dtype,
                item.shape,
                repr(stored) if item.dtype.hasobject else np.asarray(stored).tobytes(),
            )

    with h5py.File(path) as file:
        file.visititems(look)
    return held


@by_path(FRAMES)
def test_parts_make_the_result_of_one_run(row, work):
    suffix = ".json" if row.path == "compare" else Path(row.output).suffix
    words = shlex.split(f"{row.path} {row.missing}")
    run(3, *words, "-o", f"one{suffix}")
    for number in (1, 2, 3):  # as an array of Slurm that counts from 1
        assert invoke(*words, "-o", f"o{suffix}", "--part", f"{number}/3").exit_code in (0, 3)
    parts = sorted(str(path) for path in work.glob("o.part-*-of-003.h5"))
    assert len(parts) == 3
    assert not hidden(work)
    run(3, "merge-parts", *parts[::-1], "-o", f"o{suffix}")
    one, merged = values(Path(f"one{suffix}")), values(Path(f"o{suffix}"))
    assert list(one) == list(merged)
    assert [name for name in one if one[name] != merged[name]] == []
    assert "1 of 3" in refused(1, work, "merge-parts", parts[0], parts[2], "-o", f"less{suffix}")
    before = content(work)
    result = invoke(*words, "-o", f"o{suffix}", "--part", "3/3", "--resume")
    assert "nothing left to do" in result.stdout
    assert not changes(before, content(work))


@by_path(FRAMES)
def test_a_strict_run_stops_at_a_frame_that_cannot_be_read(row, work):
    refused(1, work, *shlex.split(f"{row.path} {row.missing}"), "-o", row.output, "--strict")


def hidden(folder: Path) -> list[str]:
    """Files that a run left half-written."""
    return [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix in (".tmp", ".part")]


# -------------------------------------------------------------------------------- interruption

_AT_RENAMING = """
import os, signal, sys
rename = os.replace
def interrupted(*places, **more):
    if os.path.abspath(places[1]).startswith(os.getcwd()):
        os.kill(os.getpid(), {number})
    return rename(*places, **more)
os.replace = os.rename = interrupted
from crystint.cli import main
main()
"""
"""A program that is sent a signal when its output is written and not yet in its place."""

_AT_FIRST_FRAME = """
import os
from crystint.commands import progress
lines = progress._lines
def interrupted(items, total, what):
    for done, item in enumerate(lines(items, total, what)):
        yield item
        if done == 0:
            os.kill(os.getpid(), {number})
progress._lines = interrupted
from crystint.cli import main
main()
"""
"""A program that is sent a signal when the first of its frames is done."""


def started(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """A process of its own, in a folder."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with heeding_sigint():
        return subprocess.Popen(words, cwd=folder, text=True, env=variables, process_group=0, **pipes)


@by_path(WRITERS)
def test_signals_leave_nothing_half_written(row, work):
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143}
    processes = {}
    for number in codes:
        words = shlex.split(f"{row.path} {row.long}") if row.frames else row.words
        program = (_AT_FIRST_FRAME if row.frames else _AT_RENAMING).format(number=int(number))
        words = [*words, "-o", f"{number.name}-{row.output}"]
        processes[number] = started([sys.executable, "-c", program, *words], work)
    said = {}
    try:
        for number, process in processes.items():
            said[number] = process.communicate(timeout=LONG)[1]
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
            process.stderr.close()
    for number, process in processes.items():
        assert process.returncode == codes[number], said[number]
        assert "Traceback" not in said[number]
        output = Path(f"{number.name}-{row.output}")
        if number == signal.SIGINT:
            assert said[number].splitlines()[-1].startswith("crystint: error: interrupted")
        if not row.frames and not row.folder:
            assert not output.exists()
        elif output.exists():
            whole(output)
    assert not hidden(work)


def whole(path: Path) -> None:
    """Read an output that holds the frames up to an interruption."""
    if path.is_dir():
        return
    if path.suffix in (".h5", ".cxi"):
        with h5py.File(path) as file:
            assert len(file)
    elif path.suffix == ".png":
        matplotlib.image.imread(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())


# -------------------------------------------------------------------------------- what is said


@by_path([row for row in WITH_SETTINGS if row in ENDING])
def test_quiet_is_quiet(row, work):
    result = run(0, *(row.writing(row.output) if row.output else row.words), "-q")
    assert result.stderr == ""


@by_path(FRAMES)
def test_progress_is_on_stderr(row, worked):
    result = worked(row).result
    assert re.search(r"^\w+: \d+/\d+, ", result.stderr, re.MULTILINE), result.stderr
    assert not re.search(r"^\w+: \d+/\d+, ", result.stdout, re.MULTILINE)


@by_path(ROWS)
def test_a_traceback_is_shown_with_debug_only(row, work, monkeypatch):
    words = [*row.path.split(), *shlex.split(row.wrong)] if row.process else row.words
    if row.process:
        pass
    elif row.reads:
        words = ["absent.h5" if word == row.reads[0] else word for word in words]
    elif row.output:
        Path("plain").write_bytes(JUNK)
    else:
        monkeypatch.setenv("CRYSTINT_DEVICE", "nonsense")
    output = ["-o", row.output if row.reads else f"plain/{row.output}"] if row.output else []
    result = run(1, *words, *output)
    assert len(result.stderr.splitlines()) == 1
    told = invoke(*words, *output, "--debug")
    assert told.exit_code == 1
    assert "Traceback" in told.stderr
    assert told.stderr.splitlines()[-1].startswith("crystint: error: ")


@by_path(ROWS)
def test_help_has_an_example_and_every_default(row):
    texts = [run(0, *row.path.split(), flag).stdout for flag in ("-h", "--help")]
    assert texts[0] == texts[1]
    assert "Example:" in texts[0]
    example = [line.strip() for line in texts[0].split("Example:")[1].splitlines() if line.strip()]
    assert f"crystint {row.path}" in "\n".join(example)
    assert all(line.startswith("crystint ") for line in example)
    for option in row.command.params:
        default = option.to_info_dict()["default"]
        if isinstance(option, click.Option) and default not in (None, False, "", ()) and not option.hidden:
            assert "default" in (option.help or "") or option.show_default, option.opts


@pytest.mark.parametrize("path", groups(), ids=lambda path: path or "crystint")
def test_a_group_alone_prints_its_steps(path):
    result = run(0, *path.split())
    for name in leaves():
        if name.startswith(path) and (path or " " not in name):
            assert re.search(rf"^  {name.split()[-1]}\b", result.stdout, re.MULTILINE), name


# -------------------------------------------------------------------------------- settings


def toml(row: Row, value: object) -> str:
    """A line of TOML."""
    return f"{row.key} = {json.dumps(value)}\n"


def option(row: Row, value: object) -> list[str]:
    """The setting as an option."""
    for one in row.command.params:
        if isinstance(one, click.Option) and f"--{row.key}" in one.opts and isinstance(value, bool):
            return [one.opts[0] if value else one.secondary_opts[0]]
    return [f"--{row.key}", str(value)]


def outcome(row: Row, result: Result, path: Path) -> object:
    """What a run gives, in a form that shows whether a setting had an effect."""
    assert result.exit_code == 0, result.output[-2000:]
    if not row.output:
        return result.stdout
    path = path / row.inside[0] if row.folder else path
    if path.suffix == ".png":
        return digest(matplotlib.image.imread(path).tobytes())
    record = provenance_of(path)
    assert record, f"{path} has no provenance"
    settings = {name.replace("-", "_"): value for name, value in record["settings"].items()}
    return settings.get(row.key.replace("-", "_"), "not in the settings")


def another(row: Row) -> object:
    """A value of the setting that is neither the default nor that of the row."""
    if isinstance(row.value, bool):
        return not row.value
    if isinstance(row.value, int | float):
        return row.value * 2
    choices = next(one.type for one in row.command.params if f"--{row.key}" in one.opts)
    if isinstance(choices, click.Choice):
        return next(str(choice) for choice in choices.choices if choice != row.value)
    return "third"


@by_path(
    [row for row in WITH_SETTINGS if row.own_record and row in ENDING and row.path not in ("bench", "demo")]
)  # the one prints times, the other is slow
def test_settings_come_from_a_file_and_the_command_line_goes_before_it(row, work, worked):
    Path("c.toml").write_text(toml(row, row.value))
    Path("other.toml").write_text(toml(row, another(row)))

    def of(name: str, *more: str) -> object:
        path = Path(name + Path(row.output).suffix)
        return outcome(row, run(0, *row.writing(str(path)), *more), path)

    of_file = of("file", "--config", "c.toml")
    assert of_file == of("option", *option(row, row.value))
    assert of_file == of("both", "--config", "other.toml", *option(row, row.value))
    plain = worked(row)
    assert of_file != outcome(row, plain.result, plain.folder / row.output)


@by_path(WITH_SETTINGS)
def test_a_misspelt_setting_is_named(row, work):
    Path("c.toml").write_text("speling = 3\n")
    assert "speling" in refused(2, work, *(row.writing(row.output) if row.output else row.words), "--config", "c.toml")


@by_path(FRAMES)
def test_threads_and_devices_are_taken(row, work):
    run(0, *row.writing(row.output), "--threads", 1, "--device", DEVICES[0].id)


@by_path([row for row in ROWS if row.device])
def test_an_unknown_device_is_one_line(row, work):
    words = row.writing(row.output) if row.output else row.words
    assert "nonsense" in refused(1, work, *words, "--device", "nonsense")


# -------------------------------------------------------------------------------- provenance


def provenance_of(path: Path) -> dict[str, Any]:
    """The provenance in an output, or beside it; empty = there is none."""
    texts: list[str] = []
    beside = path.with_name(path.name + ".json")
    if path.suffix in (".h5", ".cxi"):
        with h5py.File(path) as file:

            def collect(_name: str, item: object) -> None:
                if isinstance(item, h5py.Dataset) and item.shape == () and h5py.check_string_dtype(item.dtype):
                    texts.append(item.asstr()[()])

            file.visititems(collect)
    else:
        file_of = beside if beside.exists() else path
        texts = [line.lstrip("# ") for line in file_of.read_text(errors="replace").splitlines()]
        texts.append(file_of.read_text(errors="replace"))
    for text in texts:
        try:
            record = json.loads(text)
        except ValueError:
            continue
        record = record.get("provenance", record) if isinstance(record, dict) else {}
        if record.get("program") == "crystint":
            return dict(record)
    return {}


@by_path([row for row in WRITERS if not row.output.endswith(".png") and row.own_record])
def test_the_provenance_names_every_setting_and_every_input(row, worked):
    path = worked(row).folder / row.output / (row.inside[0] if row.folder else "")
    record = provenance_of(path)
    assert record, "there is none"
    assert record["version"]
    named = json.dumps([record["inputs"], record["settings"]])
    assert not [name for name in row.reads if name not in named]
    settings = {name.replace("-", "_") for name in record["settings"]}
    missing = []
    for one in row.command.params:
        names = {name.lstrip("-") for name in one.opts}
        if not isinstance(one, click.Option) or one.is_eager or names & NO_SETTINGS or one.name in NO_SETTINGS:
            continue
        wanted = any(name in row.words for name in one.opts) or "default: " in (one.help or "")
        wanted = wanted and "--" + max(names, key=len) not in {f"--{name}" for name in ("add",)}
        if wanted and not settings & {one.name, *(name.replace("-", "_") for name in names)}:
            missing.append(max(names, key=len))
    assert not missing
