"""Output files are whole or not there."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from crystint.errors import FileError
from crystint.io.hdf5.files import create_hdf5, open_hdf5
from crystint.io.hdf5.provenance import provenance
from crystint.io.interrupts import deferring
from crystint.io.outputs import atomic_path


def test_appears_at_the_end_with_the_usual_permissions(tmp_path: Path) -> None:
    target = tmp_path / "out.h5"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".h5"
        temporary.write_text("x")
        assert not target.exists()
    (tmp_path / "plain").write_text("y")
    assert target.read_text() == "x"
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["out.h5", "plain"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o755])
def test_a_file_that_is_replaced_hands_on_its_permissions(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    target.chmod(mode)
    with atomic_path(target, overwrite=True) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600, "others read what they may not read at the end"
        temporary.write_text("new")
    assert stat.S_IMODE(target.stat().st_mode) == mode
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "new") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_existing_file_is_refused_unless_told(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(FileError, match=r"out exists.*--overwrite"), atomic_path(target):
        pass
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_file_made_by_another_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def race() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("mine")
            target.write_text("theirs")

    with pytest.raises(FileError, match="exists"):
        race()
    assert target.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_failure_leaves_nothing_and_goes_on(tmp_path: Path, failure: BaseException) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "out", overwrite=True) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        fail()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EIO, "[Ii]nput/output")],
)
def test_system_failures_become_file_errors(tmp_path: Path, number: int, text: str) -> None:
    with pytest.raises(FileError, match=f"out cannot be written: .*{text}"), atomic_path(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    with pytest.raises(FileError, match=text), atomic_path(tmp_path / "out"):
        raise OSError(f"unable to write (errno = {number}, error message = '{os.strerror(number)}')")
    assert os.listdir(tmp_path) == []


def test_error_of_crystint_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"^the input is bad$"), atomic_path(tmp_path / "out"):
        raise FileError("the input is bad")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no folder"), atomic_path(tmp_path / "no" / "out"):
        pass
    with pytest.raises(FileError, match="not a plain file"), atomic_path(tmp_path, overwrite=True):
        pass
    with pytest.raises(FileError, match="not a plain file"), atomic_path("/dev/full", overwrite=True):
        pass
    with pytest.raises(FileError, match="cannot be written"), atomic_path("/proc/out"):
        pass
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(FileError, match="Permission denied"), atomic_path(tmp_path / "out"):
            pass
        tmp_path.chmod(0o700)


_WRITERS = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
import crystint
from crystint.errors import FileError
from crystint.io.hdf5.files import create_hdf5
from crystint.io.hdf5.appendable import AppendableDataset

def appended(path):
    with create_hdf5(path, False, "test") as file:
        column = AppendableDataset(file, "a", np.float64, (100,), chunk=4)
        for row in np.random.default_rng(0).random((200, 1, 100)):
            column.add(row)
        column.flush()

def grown(path):
    with create_hdf5(path, False, "test") as file:
        for number in range(20):
            group = file.create_group(f"entry_{number}")
            data = group.create_dataset("a", (0, 100), "f8", maxshape=(None, 100), chunks=(1, 100))
            for row, values in enumerate(np.random.default_rng(0).random((10, 100))):
                data.resize(row + 1, axis=0)
                data[row] = values
            group.attrs["text"] = "x" * 1000

simulated = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
separator = crystint.Separator(simulated.geometry, simulated.mask, rings=300)
sparsified = separator.sparsify(simulated[0])

def sparse(path):
    with crystint.SparseWriter(
        path, separator.rings, simulated.dtype, geometry=simulated.geometry, provenance={}
    ) as writer:
        for _ in range(100):
            writer.write(sparsified)

write, target = globals()[sys.argv[1]], Path(sys.argv[2])
write(target)
size = target.stat().st_size
target.unlink()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in np.linspace(0, size - 1, 40).astype(int):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        write(target)
    except FileError as error:
        assert str(error).startswith(f"{target} cannot be written: the file is too large"), error
    else:
        raise AssertionError(f"written in {limit} bytes")
    assert not os.listdir(target.parent), limit
resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
write(target)
"""


@pytest.mark.parametrize("writer", ["appended", "grown", "sparse"])
def test_hdf5_on_a_device_that_fills_up(tmp_path: Path, writer: str) -> None:
    """A limit on the size of files is what a full disk looks like to HDF5, which can crash of it: wherever it comes."""
    done = subprocess.run(
        [sys.executable, "-c", _WRITERS, writer, tmp_path / "out.h5"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    assert not done.stderr
    with h5py.File(tmp_path / "out.h5") as file:
        assert len(file)


_FEW = """
import resource, signal, sys
import numpy as np
from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.files import create_hdf5
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rows = 0
try:
    with create_hdf5(sys.argv[1], False, "test") as file:
        column = AppendableDataset(file, "a", np.uint8, (1000,), chunk=1)
        for rows in range(10_000):
            column.add(np.random.default_rng(rows).integers(0, 256, (1, 1000)))
finally:
    print(rows)
"""


def test_a_full_device_is_told_when_it_fills_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FEW, tmp_path / "out.h5"], capture_output=True, text=True, check=False
    )
    assert 50 < int(done.stdout) < 120, done
    assert "FileError" in done.stderr


def test_ctrl_c_while_hdf5_writes_comes_up_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the midst of HDF5 would crash it."""

    @deferring
    def pressed(self: Any, data: Any) -> int:
        signal.raise_signal(signal.SIGINT)
        return len(data)

    def write() -> None:
        with create_hdf5(tmp_path / "out.h5", False, "test") as file:
            monkeypatch.setattr("crystint.io.hdf5.files._Target.write", pressed)
            for name in "ab":
                file[name] = np.arange(1000)
                file.flush()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == []


def test_open_hdf5_refuses_what_is_not_there_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        open_hdf5(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(FileError, match="not an HDF5 file"):
        open_hdf5(tmp_path / "text.h5")
    with create_hdf5(tmp_path / "whole.h5", False, "test") as file:
        file["a"] = np.arange(10000)
    content = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="truncated or damaged"):
        open_hdf5(tmp_path / "cut.h5")
    with open_hdf5(tmp_path / "whole.h5") as file:
        assert isinstance(file, h5py.File)
        assert file.attrs["file_name"] == "whole.h5"


@dataclass
class _Setting:
    limit: float


def test_provenance_survives_json() -> None:
    settings = {
        "snr": np.float32(3),
        "rings": np.int64(7),
        "clip": None,
        "range": (1.0, np.nan),
        "mask": np.eye(2, dtype=np.uint8),
        "path": Path("a/b"),
        "more": _Setting(np.inf),
        "flag": np.True_,
    }
    record = provenance(settings, ["in.cbf", Path("b.h5")], ["crystint", "peaks"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["settings"] == {
        "snr": 3.0,
        "rings": 7,
        "clip": None,
        "range": [1.0, "nan"],
        "mask": [[1, 0], [0, 1]],
        "path": "a/b",
        "more": {"limit": "inf"},
        "flag": True,
    }
    assert record["inputs"] == ["in.cbf", "b.h5"]
    assert record["program"] == "crystint"
    assert "date" not in record
    assert "cwd" not in record
