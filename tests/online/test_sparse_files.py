"""The sparse file that the service writes of a stream, beside what `crystint sparsify` makes of the same frames."""

from __future__ import annotations

import threading
from dataclasses import replace

import fabio
import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest

import crystint
from crystint.model.frame_table import FrameStatus
from crystint.online import Service
from crystint.online.settings import ServeSettings
from crystint.online.sparse_images import SparseImages
from crystint.online.writer import Writer
from crystint.stream import End, SeriesKey, encode_end, encode_image, encode_start
from crystint.stream.messages import Start
from tests.online.series_of_frames import image_of, result_of, run_of, start_of

SERIES = SeriesKey(3, "x")
FRAMES = "entry_0000/sparse_frames"
OWN = "entry_0000/crystint"


@pytest.fixture(scope="module")
def data():
    made = crystint.simulate.simulate(
        (60, 70), frames=8, background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1
    )
    frames = np.stack([made[number] for number in range(8)])
    for number, frame in enumerate(frames):  # pixels that are no measurement, others in each frame
        frame[20, 10 + number : 14 + number] = 65535
    return made, frames


def start_with(data, images):
    made, _ = data
    return Start(
        SERIES, made.shape, "stream2", images=images, channels=("one",), geometry=made.geometry, dtype=np.dtype("u2")
    )


def image(data, number):
    return image_of(SERIES, number, data[1][number], channels=("one",))


def damaged(data, number):
    """Its message is whole, and its pixels cannot be unpacked."""
    made = image(data, number)
    packed = made.frames["one"]
    return replace(made, frames={"one": replace(packed, data=packed.data[: len(packed.data) // 2])})


def served(folder, data, order, *, images=9, bad=(), events=None, between=None, **settings):
    """The folder of a series whose images came in an order."""
    settings = ServeSettings(**{"rings": 30, "sparse": True, "threads": 1, **settings})
    with Service(settings=settings, out=folder) as service:
        service.start({"prefix": "run"})
        service.take(encode_start(start_with(data, images)))
        for number in order:
            service.take(encode_image(damaged(data, number) if number in bad else image(data, number)))
            if between is not None:
                between(service, number)
        service.take(encode_end(End(SERIES)))
        assert service.wait("idle")
        (about,) = service.series()
        if events is not None:
            events += [(event["name"], event["data"]) for event in service.log.after(0)]
    return about


def datasets(path):
    """Every array of a sparse file that its frames are read from."""
    with h5py.File(path) as file:
        names = []
        for group in (FRAMES, OWN):
            file[group].visititems(lambda name, item, group=group: names.append(f"{group}/{name}"))
        arrays = {name: file[name][()] for name in names if isinstance(file[name], h5py.Dataset)}
    about = ("provenance", "geometry", "instrument", "source_", "scan/times")
    return {name: array for name, array in arrays.items() if not any(part in name for part in about)}


def texts(events, name="warning"):
    return [data["text"] for told, data in events if told == name]


def test_it_is_what_sparsify_makes_of_the_raw_frames(tmp_path, data):
    events = []
    about = served(tmp_path, data, (0, 2, 1, 3, 4, 7, 6), bad=(4,), events=events)
    assert (about["books"]["analysed"], about["books"]["failed"], about["books"]["missing"]) == (6, 1, 2)
    path = tmp_path / "run_sparse.h5"
    assert str(path) in about["files"]
    with pytest.warns(crystint.CrystintWarning, match="frames? "):
        crystint.separation.sparsify([tmp_path / "run_master.h5"], tmp_path / "batch.h5", {"rings": 30})
    online, batch = datasets(path), datasets(tmp_path / "batch.h5")
    assert set(batch) <= set(online)
    for name, array in batch.items():
        assert np.array_equal(array, online[name], equal_nan=array.dtype.kind == "f"), name
    with crystint.open_sparse(path) as file:
        assert sorted(file.missing) == [4, 5, 8]
        assert len(file) == 9
        for number in (0, 1, 2, 3, 6, 7):
            sparse, frame = file[number], data[1][number].ravel()
            assert len(sparse.index) > 20
            assert np.array_equal(sparse.value, frame[sparse.index])
            assert np.array_equal(np.flatnonzero(frame == 65535), sparse.unusable_index)
        rows = file.results
        assert rows["status"].tolist() == [0, 0, 0, 0, 4, 1, 0, 0, 1]
        assert (rows["picked"][:4] > 20).all()
    with fabio.open(path) as frames, crystint.open_sparse(path) as file:
        assert frames.nframes == 9
        picked = file[0]
        assert np.array_equal(frames.data.ravel()[picked.index], picked.value)
    with pytest.warns(crystint.CrystintWarning, match="missing"):
        crystint.separation.densify_file(path, tmp_path / "dense.h5")
    with crystint.open_frames(tmp_path / "dense.h5") as dense:
        assert np.array_equal(dense[7].ravel()[picked_of(path, 7).index], picked_of(path, 7).value)
    assert crystint.verify(path).ok
    assert "run_sparse.h5" not in " ".join(texts(events))
    assert texts(events, "alarm") == []


def test_frames_are_the_same_whichever_image_is_looked_at_first(tmp_path, data):
    """Image 3 tells the mask of the file: its unusable pixels are others than those of image 0."""
    images = SparseImages(3.0, 1 << 26)
    run = run_of(start_of(4, geometry=data[0].geometry), tmp_path)
    run.forms = []
    results = sparse_results(run, data, images, [3, 0, 1, 2])
    writer = Writer(raw=False, sparse=True)
    writer.begin(run)
    writer.results(run, sorted(results, key=lambda result: result.number))
    del results
    ended(writer, run)
    assert images.bytes == 0
    separator = crystint.Separator(data[0].geometry, data[0].mask, rings=30)
    with crystint.open_sparse(tmp_path / "run_sparse.h5") as file:
        for number in range(4):
            sparse, expected = file[number], separator.sparsify(data[1][number], snr=3.0)
            for name in ("index", "value", "unusable_index", "unusable_value"):
                assert np.array_equal(getattr(sparse, name), getattr(expected, name)), name


def picked_of(path, number):
    with crystint.open_sparse(path) as file:
        return file[number]


def test_nothing_is_made_where_it_is_not_asked_for(tmp_path, data, monkeypatch):
    asked = []
    examine = crystint.Separator.examine

    def looked(self, frame, snr, *more, **options):
        asked.append(snr)
        return examine(self, frame, snr, *more, **options)

    monkeypatch.setattr(crystint.Separator, "examine", looked)
    results = []
    with Service(settings=ServeSettings(rings=30, threads=1), out=tmp_path) as service:
        service.on_result(results.append)
        service.start({"prefix": "run"})
        service.take(encode_start(start_with(data, 2)))
        for number in range(2):
            service.take(encode_image(image(data, number)))
        service.take(encode_end(End(SERIES)))
        assert service.wait("idle")
    assert asked == [None, None]
    assert [result.sparse for result in results] == [None, None]
    assert not list(tmp_path.glob("*sparse*"))
    assert "sparse files" not in {thread.name for thread in threading.enumerate()}


def test_peaks_are_the_same_and_other_sinks_have_no_sparse_images(tmp_path, data):
    seen = {}
    for sparse in (False, True):
        results = seen[sparse] = []
        settings = ServeSettings(rings=30, sparse=sparse, snr_sparse=2.5, hits_only=True, hit_peaks=9)
        with Service(settings=settings, out=tmp_path / str(sparse)) as service:
            service.on_result(results.append)
            service.start({"prefix": "run"})
            service.take(encode_start(start_with(data, 8)))
            for number in range(8):
                service.take(encode_image(image(data, number)))
            service.take(encode_end(End(SERIES)))
            assert service.wait("idle")
    assert all(result.sparse is None for result in seen[True])
    for one, other in zip(seen[False], seen[True], strict=True):
        assert one.peaks.tobytes() == other.peaks.tobytes()
        assert one.row["status"] == other.row["status"]
    vetoed = [int(result.row["frame"][0]) for result in seen[True] if result.status == FrameStatus.VETOED]
    assert vetoed
    with crystint.open_sparse(tmp_path / "True" / "run_sparse.h5") as file:
        assert [number for number in range(8) if file[number].vetoed] == vetoed
        assert file[0].snr == 2.5


def test_images_with_another_mask_are_missing_in_it(tmp_path, data):
    events = []
    mask = np.zeros(data[0].shape, np.uint32)
    mask[:10] = 1

    def between(service, number):
        if number == 3:
            assert wait(lambda: service.status()["series"]["books"]["analysed"] == 4)
            assert service.configuration.change_mask(mask).first_image == 4

    served(tmp_path, data, range(8), images=8, events=events, between=between)
    with crystint.open_sparse(tmp_path / "run_sparse.h5") as file:
        assert sorted(file.missing) == [4, 5, 6, 7]
    told = texts(events)
    assert any("image 4 is missing in run_sparse.h5: its rings, mask" in text for text in told)
    assert any("4 images are missing in run_sparse.h5" in text for text in told)


def wait(condition):
    done = threading.Event()
    for _ in range(600):
        if condition():
            return True
        done.wait(0.05)
    return False


class Told:
    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append((event.name, dict(event.data)))


def sparse_results(run, data, images, numbers):
    made, frames = data
    separator = crystint.Separator(made.geometry, made.mask, rings=30)
    forms = run.forms
    results = []
    for number in numbers:
        sparse = replace(separator.sparsify(frames[number % 8], snr=3.0), frame=number)
        image = images.make(forms, sparse, frames[number % 8], made.geometry)
        results.append(replace(result_of(run.key, number), sparse=image))
    return results


@pytest.fixture
def run(tmp_path, data):
    made = run_of(start_of(6, geometry=data[0].geometry), tmp_path)
    made.forms = []
    return made


def ended(writer, run):
    run.ended = 0.0
    run.finish("its end came")
    writer.end(run)
    writer.close()


def test_late_images_stay_missing(tmp_path, data, run):
    told, images = Told(), SparseImages(3.0, 1 << 26)
    writer = Writer(raw=False, sparse=True, tell=told)
    writer.begin(run)
    for number in (0, 2, 3, 1):
        writer.results(run, sparse_results(run, data, images, [number]))
    ended(writer, run)
    with crystint.open_sparse(tmp_path / "run_sparse.h5") as file:
        assert sorted(file.missing) == [1, 4, 5]
    assert "image 1 is missing in run_sparse.h5: it came late" in texts(told.events)
    assert images.bytes == 0


def test_a_disk_that_fails_ends_the_file_and_nothing_else(tmp_path, data, run, monkeypatch):
    told, images = Told(), SparseImages(3.0, 1 << 26)

    def full(*_):
        raise OSError(28, "No space left on device")

    writer = Writer(raw=False, sparse=True, formats=["cxi"], tell=told)
    writer.begin(run)
    writer.results(run, sparse_results(run, data, images, [0, 1]))
    assert wait(lambda: not writer._sparse.jobs)
    monkeypatch.setattr("crystint.io.sparse.writer.SparseWriter.put", full)
    writer.results(run, sparse_results(run, data, images, [2]))
    assert wait(lambda: not writer._sparse.jobs)
    monkeypatch.undo()
    writer.results(run, sparse_results(run, data, images, [3, 4, 5]))
    ended(writer, run)
    (alarm,) = texts(told.events, "alarm")
    assert "the sparse file of series" in alarm
    assert "No space left" in alarm
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_peaks.cxi", "run_results.h5"]
    assert len(crystint.read_frame_table(tmp_path / "run_results.h5")) == 6
    assert images.bytes == 0


def test_a_disk_that_is_slow_leaves_images_out(tmp_path, data, run, monkeypatch):
    told, images, gate = Told(), SparseImages(3.0, 1 << 14), threading.Event()
    put = crystint.SparseWriter.put

    def slow(self, *arguments):
        gate.wait(30.0)
        put(self, *arguments)

    monkeypatch.setattr(crystint.SparseWriter, "put", slow)
    writer = Writer(raw=False, sparse=True, tell=told)
    writer.begin(run)
    for number in range(6):
        writer.results(run, sparse_results(run, data, images, [number]))
    assert images.bytes <= 1 << 14
    gate.set()
    ended(writer, run)
    with crystint.open_sparse(tmp_path / "run_sparse.h5") as file:
        assert len(file) == 6
        assert file.missing
        assert 0 not in file.missing
    assert any("wait for the disk" in text for text in texts(told.events))
    assert len(crystint.read_frame_table(tmp_path / "run_results.h5")) == 6


def test_after_a_kill_it_begins_anew_and_tells_what_is_lost(tmp_path, data, run):
    images = SparseImages(3.0, 1 << 26)
    writer = Writer(raw=False, sparse=True)
    writer.begin(run)
    writer.results(run, sparse_results(run, data, images, [0, 1, 2]))
    writer.close()  # the series has not ended: all that stays is its journal
    assert [path.name for path in tmp_path.iterdir()] == ["run_results.h5.partial"]
    temporary = crystint.io.outputs._temporary(tmp_path / "run_sparse.h5", "0123abcd")
    (tmp_path / temporary).touch()  # of a process that could not even do that
    told = Told()
    writer = Writer(raw=False, sparse=True, tell=told)
    writer.begin(run)
    writer.results(run, sparse_results(run, data, images, [3, 4]))
    ended(writer, run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_results.h5", "run_sparse.h5"]
    with crystint.open_sparse(tmp_path / "run_sparse.h5") as file:
        assert sorted(file.missing) == [0, 1, 2, 5]
        left_out = file.provenance["images_left_out"]
        assert list(left_out.values()) == [3]
    assert any("3 images are missing in run_sparse.h5, 0-2" in text for text in texts(told.events))
