"""``scripts/fuzz``: it damages files, counts what comes of it, and fails where a reader lets something through."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from crystint.errors import FileError
from tests.conftest import ROOT
from tests.fuzzing.campaign import FAULTS, campaign
from tests.fuzzing.mutations import damage
from tests.fuzzing.workers import Worker


def fuzz(tmp_path, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / "fuzz"), *arguments, "--failures", str(tmp_path / "failures")]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_no_mutant_of_two_formats_shows_a_fault(tmp_path):
    done = fuzz(tmp_path, "poni", "hdf5", "--count", "12", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 5" in done.stdout
    for name in ("poni", "hdf5"):
        row = next(line.split() for line in done.stdout.splitlines() if line.startswith(name))
        assert [int(number) for number in row[1:8]] == [12, int(row[2]), 12 - int(row[2]), 0, 0, 0, 0]
    assert not (tmp_path / "failures").exists()


def test_each_kind_of_fault_is_seen_saved_and_can_be_made_again(tmp_path):
    worker = Worker(seconds=1.0, readings="tests.test_fuzz")
    try:
        first = campaign("npy", count=16, seed=1, seconds=60.0, failures=tmp_path, worker=worker)
        assert all(first.outcomes[kind] for kind in ("read", "error", *FAULTS)), first.outcomes
        assert first.faults == len(first.saved) == sum(first.outcomes[kind] for kind in FAULTS)
        folder, note = first.saved[0]
        assert (folder / "outcome.txt").read_text() == note
        content = {path.name: path.read_bytes() for path in folder.iterdir()}
        number = int(folder.name.rpartition("-")[2])
        (again,) = campaign("npy", count=1, seed=1, seconds=60.0, failures=tmp_path, worker=worker, only=number).saved
        assert {path.name: path.read_bytes() for path in again[0].iterdir()} == content
    finally:
        worker.close()


def test_a_fault_is_the_exit_status(tmp_path):
    done = fuzz(tmp_path, "npy", "--count", "4", "--readings", "tests.test_fuzz")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failures/npy-1-" in done.stdout


def test_the_same_seed_makes_the_same_damage(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 9)
        damage(tmp_path / name, np.random.default_rng(7))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != bytes(range(256)) * 9


def outcome_of(format, path):
    """Readers with every fault there is, by the sum of the bytes of the file."""
    match sum(path.read_bytes()) % 8:
        case 0:
            os.abort()
        case 1:
            time.sleep(60)
        case 2:
            return {"kind": "memory", "text": ""}
        case 3:
            return {"kind": "traceback", "text": "ValueError: x"}
        case 4 | 5:
            return {"kind": "error", "text": str(FileError("x"))}
    return {"kind": "read", "text": ""}
