"""A process that receives and writes a series, is killed, and goes on: the part that runs in the process.

Run as ``python -m tests.online.killed_writer FOLDER IMAGES IMAGES_PER_FILE FIRST SLEEP LAST``. It tells of each image
when it has come, and waits to be killed behind the last.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from crystint.online.output_names import place_outputs, unfinished_run
from crystint.online.results_journal import looked_at
from crystint.online.writer import Writer
from tests.online.series_of_frames import counts, image_of, result_of, run_of, start_of

DIFFERENT = 20


def order_of(images):
    """Numbers of images as they come: here and there two of them in the wrong order, and some that never come."""
    numbers = [number for number in range(images) if number % 97 != 13]
    for at in range(0, len(numbers) - 1, 31):
        numbers[at], numbers[at + 1] = numbers[at + 1], numbers[at]
    return numbers


def main(folder, images, per_file, first, sleep, last):
    folder, start = Path(folder), start_of(images)
    name = unfinished_run(folder, start.series)
    earlier = [] if name is None else looked_at(folder / f"{name}_results.h5", start.series)
    if name is None:
        _, name = place_outputs(folder, "run")
    writer = Writer(images_per_file=per_file, formats=["cxi"])
    run = run_of(start, folder, name)
    run.had(earlier)
    ready = [image_of(start.series, number) for number in range(DIFFERENT)]
    writer.begin(run)
    for at, number in enumerate(order_of(images)[first:], start=first):
        image = ready[number % DIFFERENT]
        image = type(image)(start.series, number, image.frames, started=image.started, size=image.size)
        print(at, flush=True)
        if not run.add(number):
            continue
        writer.image(run, image)
        writer.results(run, [result_of(start.series, number)])
        run.count(analysed=1)
        time.sleep(sleep if at < last else 60.0)
    run.ended = time.monotonic()
    run.finish("its end came")
    writer.end(run)
    writer.close()
    print("done", flush=True)


def expected_frame(number):
    return counts(number % DIFFERENT)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
