"""Every kind of file: it opens as a series, or it is said what shows it. And the files that the service writes."""

import os

import numpy as np
import pytest

import crystint
from crystint.errors import RefusedError
from crystint.io.kinds import kinds
from crystint.model.rois import Roi, Rois
from crystint.online.history import History
from crystint.online.opened_files import OpenedFiles
from crystint.stream import End, SeriesKey, encode_end, encode_image, encode_start
from crystint.stream.messages import Start
from tests.io.test_kinds import WRITTEN, written  # noqa: F401
from tests.online.series_of_frames import image_of

OPEN = (
    "frames",
    "sparse file",
    "peak list",
    "table of frames",
    "regions of interest",
    "stills file",
    "stream of indexed images",
)
"""Kinds that are looked at; reflections are where they have places of spots"""


@pytest.mark.parametrize("name", WRITTEN)
def test_every_file_that_crystint_writes_opens_or_says_what_shows_it(written, name):  # noqa: F811
    kind = WRITTEN[name][0]
    files = OpenedFiles(written, History())
    if kind in OPEN:
        opening = files.open(name)
        described = opening.described()
        assert (described["series"], described["kind"]) == (f"file:{name}", kind)
        assert described["images"] == 3
        if kind != "table of frames":
            assert files.frame(2, f"file:{name}").pixels.shape == tuple(described["shape"])
    else:
        with pytest.raises(RefusedError) as caught:
            files.open(name)
        text = str(caught.value)
        assert caught.value.reason == "bad_value"
        assert name in text
        assert str(written) not in text
        if kind != "reflections":
            assert kind in text
            assert len(text.partition(": ")[2]) > 20
    files.close()


def test_every_kind_of_the_catalogue_has_an_answer():
    for kind in kinds():
        assert kind.name in (*OPEN, "reflections") or kind.advice or kind.draw, kind.name


@pytest.fixture
def series_files(tmp_path):
    """The files that the service writes of a series of which image 7 never came."""
    from crystint.online import Service
    from crystint.online.settings import ServeSettings

    data = crystint.simulate.simulate(
        (60, 70), frames=7, background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1
    )
    series = SeriesKey(3, "x")
    start = Start(
        series, data.shape, "stream2", images=8, channels=("one",), geometry=data.geometry, masks={"one": data.mask}
    )
    settings = ServeSettings(rings=30, images_per_file=3, peak_formats=("cxi",), sparse=True)
    results = []
    with Service(settings=settings, out=tmp_path) as service:
        service.set_rois([Roi.box("a", slow=(10, 19), fast=(10, 19))])
        service.start({"prefix": "run"})
        service.take(encode_start(start))
        for number in range(7):
            service.take(encode_image(image_of(series, number, data[number], channels=("one",))))
        service.take(encode_end(End(series)))
        assert service.wait("idle")
        results = service.series()
    return tmp_path, data, results


def test_a_series_of_the_service_is_looked_at_when_it_has_ended(series_files, engine):
    folder, data, _ = series_files
    files = OpenedFiles(folder, History(), lambda: engine)
    opening = files.open("run_master.h5")
    series = opening.series
    assert len(series.frames) == 8
    for number in range(7):
        assert np.array_equal(files.frame(number, "file:run_master.h5").pixels, data[number])
    table, alone = series.arrived.table, files.open("run_results.h5", apart=True).series.arrived.table
    assert table["status"].tolist() == [0] * 7 + [1]
    assert (table["n_spots"][:7] > 0).all()
    for name in table.dtype.names:
        assert np.array_equal(table[name], alone[name], equal_nan=table[name].dtype.kind == "f"), name
    assert (table["t_received"][:7] > 0).all()
    assert (table["settings_version"][:7] == 1).all()
    laid = files.open("run_peaks.cxi")
    assert laid.series is series
    expected = crystint.read_peaks(folder / "run_peaks.cxi")
    assert [len(series.spots(number)) for number in range(7)] == np.bincount(expected["frame"]).tolist()
    regions = files.series("file:run_results.h5").arrived
    sums = [int(np.asarray(data[number])[10:20, 10:20].sum()) for number in range(7)]
    assert regions.region("a")["sum"][:7].tolist() == sums
    sparse = files.open("run_sparse.h5").series
    assert len(sparse.frames) == 8
    assert sparse.arrived.table["n_spots"].tolist() == table["n_spots"].tolist()
    files.close()


def test_regions_of_now_are_summed_in_the_images_of_files(series_files, engine):
    from crystint.online.file_control import FileControl
    from crystint.online.held_images import HeldImages
    from crystint.online.settings import AnalysisSettings

    folder, data, _ = series_files
    os.remove(folder / "run_results.h5")
    history = History()
    files = OpenedFiles(folder, history, lambda: engine)
    control = FileControl(engine, AnalysisSettings(rings=30), history)
    images = HeldImages(files, control, history, lambda: engine)
    files.open("run_master.h5")
    files.open("run_peaks.cxi")
    control.change_rois(Rois((Roi.box("b", slow=(0, 4), fast=(0, 69)),)).to_dict())
    result = images.result(images.frame(3))
    assert result.roi_names == ("b",)
    good = data.mask[:5] == 0
    assert result.rois["sum"][0] == np.asarray(data[3])[:5][good].sum()
    expected = crystint.read_peaks(folder / "run_peaks.cxi")
    assert len(result.peaks) == np.count_nonzero(expected["frame"] == 3)
    files.close()
