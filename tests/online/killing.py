"""Kills `killed_writer` at random moments, starts it again, and checks what is in the files. A program, too:

``python -m tests.online.killing FOLDER [--images 2000] [--kills 20] [--seed 1]``
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np

import crystint
from tests.online.killed_writer import expected_frame, order_of

AHEAD = 30
"""images that may come behind the moment at which it is killed"""


def run_with_kills(folder, images, per_file, moments, sleep=0.0):
    """Run to the end; killed when the images of `moments` have come, each once. What came of the stream, in order."""
    came, position = [], 0
    order = order_of(images)
    for moment in [*moments, None]:
        command = [sys.executable, "-m", "tests.online.killed_writer", str(folder), str(images), str(per_file)]
        command += [str(position), str(sleep), str(images if moment is None else moment + AHEAD)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.strip() == "done":
                    continue
                position = int(line) + 1
                came.append(order[position - 1])
                if moment is not None and position > moment:
                    os.kill(process.pid, signal.SIGKILL)
                    rest = [int(late) for late in process.stdout if late.strip().isdigit()]
                    for at in rest:  # told before it was killed: the stream does not give them again
                        came.append(order[at])
                        position = at + 1
                    break
            code = process.wait(120)
        assert code == (0 if moment is None else -signal.SIGKILL), code
    return came


def check_files(folder, images, per_file, came):
    """Open all files as other programs do; numbers of images that were lost."""
    left = [path.name for path in folder.iterdir() if path.name[0] == "." or ".part" in path.name]
    assert not left, left
    with h5py.File(folder / "run_results.h5") as file:
        frame, status = file["entry/results/frame"][()], file["entry/results/status"][()]
        n_spots = file["entry/results/n_spots"][()]
        ranges = {name: file[f"entry/books/{name}"][()] for name in file["entry/books"] if name.endswith("_images")}
        books = {name: int(file[f"entry/books/{name}"][()]) for name in ("received", "missing", "expected", "analysed")}
    assert np.array_equal(frame, np.arange(images))
    told = {name: {n for a, b in pairs.tolist() for n in range(a, b + 1)} for name, pairs in ranges.items()}
    analysed = set(np.flatnonzero(status == 0).tolist())
    assert told["missing_images"] == set(range(images)) - analysed
    assert analysed <= set(came)
    assert set(n_spots[sorted(analysed)].tolist()) <= {2}
    assert books["expected"] == images == books["received"] + books["missing"]
    assert books["received"] == books["analysed"] == len(analysed)
    stored = set()
    for path in sorted(folder.glob("run_data_*.h5")):
        index = int(path.stem[-6:]) - 1
        with h5py.File(path) as file:
            numbers = file["entry/data/image_id"][()]
            there = numbers[numbers >= 0]
            assert np.array_equal(np.flatnonzero(numbers >= 0) + index * per_file, there)
            assert file["entry/data/data"].id.get_num_chunks() == len(there)
            assert not stored & set(there.tolist())
            stored |= set(there.tolist())
    assert stored <= set(came)
    assert told["raw_missing_images"] == analysed - stored
    assert told["raw_only_images"] == stored - analysed
    with h5py.File(folder / "run_master.h5") as file:
        data = file["entry/data/data"]
        assert data.shape[0] == images
        for number in range(0, images, 7):
            frame = data[number]
            assert np.array_equal(frame, expected_frame(number)) if number in stored else (frame == 65535).all()
        assert np.array_equal(file["entry/results/status"][()], status)
    with crystint.open_frames(folder / "run_master.h5") as frames:
        assert set(frames.missing) == set(range(images)) - stored
    peaks = crystint.read_peaks(folder / "run_peaks.cxi")
    assert np.array_equal(np.unique(peaks["frame"]), sorted(analysed))
    assert len(peaks) == 2 * len(analysed)
    return sorted(set(came) - analysed), sorted(set(came) - stored)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    draw = random.Random(options.seed)
    moments = sorted(draw.sample(range(options.images - 50), options.kills))
    came = run_with_kills(options.folder, options.images, 100, moments, sleep=0.001)
    results, raw = check_files(options.folder, options.images, 100, came)
    print(f"{options.images} images, killed {options.kills} times; of {len(set(came))} that came:")
    print(f"  {len(results)} have no result: {results}")
    print(f"  {len(raw)} are not in the raw files: {raw}")


if __name__ == "__main__":
    main()
