"""Finished files as series: each kind of file, what is read of it, and what a request may not read."""

import io
import os
import shutil

import fabio
import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintError, RefusedError
from crystint.io.frames.readers import FrameSource
from crystint.io.geometry.files import write_geometry
from crystint.online.history import History
from crystint.online.opened_files import OpenedFiles, numbered
from crystint.online.settings import AnalysisSettings
from crystint.run.settings import DetectorSettings

pytest.importorskip("fastapi", reason="the extra crystint[online] is not installed")
SETTINGS = {"rings": 60}
N = 4


@pytest.fixture(scope="module")
def data():
    return crystint.simulate.simulate(
        (150, 161), frames=N, background=6.0, peaks=15, intensity=2000.0, dtype="int32", seed=3
    )


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """Files of crystint and of others, all of the same frames."""
    folder = tmp_path_factory.mktemp("made")
    frames = [np.asarray(frame) for frame in data]
    writer = crystint.DenseWriter(
        folder / "run_master.h5", data.shape, data.dtype, geometry=data.geometry, mask=data.mask, saturation=None,
        provenance={},
    )  # fmt: skip
    with writer:
        for frame in frames:
            writer.write(frame)
    with h5py.File(folder / "plain.h5", "w") as file:
        file["entry/data/data"] = np.stack(frames)
    for number, frame in enumerate(frames):
        fabio.cbfimage.CbfImage(data=frame).write(str(folder / f"scan_{number + 11:05d}.cbf"))
        fabio.tifimage.TifImage(data=frame.astype(np.uint16)).write(str(folder / f"one{number}.tif"))
    np.save(folder / "stack.npy", np.stack(frames).astype(np.float32))
    write_geometry(folder / "geometry.json", data.geometry)
    mask = np.zeros(data.shape, np.uint8)
    mask[:10] = 1
    np.save(folder / "mask.npy", mask != 0)
    names = ("peaks.cxi", "peaks.h5", "peaks.refl", "peaks.json", "SPOT.XDS")
    crystint.separation.find_peaks([folder / "run_master.h5"], [folder / name for name in names], SETTINGS)
    geometry = {"geometry": folder / "geometry.json"}
    crystint.separation.find_peaks([folder / "scan_*.cbf"], [folder / "scan.refl"], SETTINGS | geometry)
    crystint.separation.sparsify([folder / "run_master.h5"], [folder / "sparse.h5"], SETTINGS | {"peaks": True})
    crystint.write_frame_table(folder / "frames.csv", crystint.read_frame_table(folder / "peaks.cxi"))
    rois = crystint.Rois((crystint.Roi.box("a", slow=(10, 20), fast=(10, 20)),))
    crystint.separation.sum_regions([folder / "run_master.h5"], [folder / "roi.h5"], rois, SETTINGS)
    return folder


@pytest.fixture
def files(made, engine):
    opened = OpenedFiles(made, History(), lambda: engine)
    yield opened
    opened.close()


@pytest.fixture
def folder(made, tmp_path):
    """A copy, to put other things into."""
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


def looking(files, engine, **settings):
    """The images of files, looked at with settings."""
    from crystint.online.file_control import FileControl
    from crystint.online.held_images import HeldImages

    history = files._history
    control = FileControl(engine, AnalysisSettings(**SETTINGS | settings), history)
    return control, HeldImages(files, control, history, lambda: engine)


# ------------------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("name", ["run_master.h5", "plain.h5", "scan_*.cbf", "one*.tif", "stack.npy", "scan_00012.cbf"])
def test_frames_are_what_is_in_the_file(files, data, name):
    opening = files.open(name)
    key = str(opening.series.key)
    assert key == f"file:{name}"
    expected = [np.asarray(frame) for frame in data] if name != "scan_00012.cbf" else [np.asarray(data[1])]
    assert files.held(key) == (key, list(range(len(expected))))
    for number, frame in enumerate(expected):
        held = files.frame(number, key)
        assert (held.series, held.number) == (key, number)
        assert np.array_equal(held.pixels, frame)
    assert np.array_equal(files.frame(-1, key).pixels, expected[-1])
    with pytest.raises(RefusedError, match=f"0 to {len(expected) - 1} are"):
        files.frame(len(expected), key)


def test_the_detector_is_that_of_the_file_or_of_the_request(files, data):
    start = files.open("run_master.h5").series.start
    assert start.geometry.beam_center == pytest.approx(data.geometry.beam_center)
    assert start.geometry.wavelength == pytest.approx(data.geometry.wavelength)
    assert np.array_equal(start.masks["data"] != 0, data.mask != 0)
    opening = files.open("plain.h5")
    assert opening.series.start.geometry is None
    assert "geometry" in " ".join(opening.notes)
    again = files.open("plain.h5", geometry="geometry.json", mask=["mask.npy"]).series
    assert again is not opening.series
    assert again.start.geometry.distance == data.geometry.distance
    assert (again.start.masks["data"][:10] != 0).all()
    assert not (again.start.masks["data"][10:] != 0).any()
    assert [str(each.key) for each in files.all()] == ["file:plain.h5", "file:run_master.h5"]


def test_what_is_found_is_what_the_command_finds(files, made, data, engine):
    control, images = looking(files, engine)
    files.open("run_master.h5")
    expected = crystint.read_peaks(made / "peaks.h5")
    frame = images.frame(2)
    result = images.result(frame)
    peaks = expected[expected["frame"] == 2]
    assert len(peaks) > 5
    assert result.peaks["slow"] == pytest.approx(peaks["slow"])
    assert result.row["n_spots"][0] == len(peaks)
    assert images.result(frame) is result
    control.change_settings({"snr": 20.0})
    fewer = images.result(frame)
    assert 0 < len(fewer.peaks) < len(peaks)
    assert (fewer.peaks["significance"] >= 20.0).all()
    tried, _ = images.examine(frame, {"snr": 5.0})
    assert tried.peaks["slow"] == pytest.approx(peaks["slow"])
    control.change_rois({"rois": [{"name": "a", "type": "box", "slow_min": 10, "slow_max": 19, "fast_min": 10,
                                   "fast_max": 19}]})  # fmt: skip
    assert images.result(frame).rois["sum"][0] == np.asarray(data[2])[10:20, 10:20].sum()


def test_the_detector_of_a_stream_is_not_that_of_a_file(files, data, engine):
    control, images = looking(files, engine)
    files.open("run_master.h5")
    now = control.configuration
    now.settings = now.settings.model_copy(update={"distance": 9.0, "beam": (1.0, 2.0)})
    assert images.analysis(images.frame(0)).geometry.distance == pytest.approx(data.geometry.distance)


def test_the_control_knows_the_detector_of_the_file(files, data, engine):
    control, images = looking(files, engine)
    with pytest.raises(RefusedError, match="no series came"):
        control.mask("detector")
    control.look_at(files.open("run_master.h5").series)
    assert np.array_equal(control.mask("detector") != 0, data.mask != 0)
    mask = np.zeros(data.shape, bool)
    mask[5, 7] = True
    control.change_mask(mask)
    assert images.analysis(images.frame(0)).mask[5, 7]
    assert control.mask("total")[5, 7]
    for name in ("stop", "abort"):
        with pytest.raises(RefusedError, match="finished files are looked at"):
            getattr(control, name)()
    with pytest.raises(RefusedError, match=r"crystint online serve"):
        control.start({})
    assert control.status()["series"]["series"] == "file:run_master.h5"


# --------------------------------------------------------------------------------------------------- peak lists


@pytest.mark.parametrize("name", ["peaks.cxi", "peaks.h5", "peaks.refl", "peaks.json", "SPOT.XDS"])
def test_a_peak_list_has_its_spots_over_the_frames_that_it_names(files, made, data, name):
    opening = files.open(name)
    series, whole = opening.series, crystint.read_peaks(made / name)
    assert opening.overlay is None
    assert len(series.frames) == N
    assert np.array_equal(files.frame(1, str(series.key)).pixels, data[1])
    assert whole["frame"].max() == N - 1
    for number in range(N):
        expected = whole[whole["frame"] == number]
        spots = series.spots(number)
        for column in ("slow", "fast", "intensity"):
            assert spots[column].tolist() == expected[column].tolist()
        assert set(spots["frame"]) <= {number}
    assert len(series.spots(N)) == 0
    assert series.sums.spots == len(whole)
    table = series.arrived.table
    counts = np.bincount(whole["frame"], minlength=N)
    assert table["n_spots"].tolist() == counts.tolist()


def test_spots_are_shown_on_empty_images_where_the_frames_are_not(folder, engine):
    os.remove(folder / "run_master.h5")
    files = OpenedFiles(folder, History(), lambda: engine)
    opening = files.open("peaks.cxi")
    text = " ".join(opening.notes)
    assert "empty images" in text
    assert "run_master.h5" in text
    assert opening.series.frames.shape == (150, 161)
    assert not files.frame(0, "file:peaks.cxi").pixels.any()
    assert len(opening.series.spots(0))
    assert opening.series.start.geometry is not None


def test_a_peak_list_lies_over_frames_that_are_open(files, made):
    frames = files.open("run_master.h5").series
    assert not frames.looked_at
    opening = files.open("peaks.cxi")
    assert opening.series is frames
    assert opening.overlay.described() == {"name": "peaks.cxi", "source": "file:peaks.cxi"}
    expected = crystint.read_peaks(made / "peaks.cxi")
    assert files.spots("file:run_master.h5", "peaks.cxi", 3)["slow"].tolist() == (
        expected["slow"][expected["frame"] == 3].tolist()
    )
    assert frames.arrived.table["n_spots"].tolist() == crystint.read_frame_table(made / "peaks.cxi")["n_spots"].tolist()
    assert frames.last_hit == 3
    second = files.open("peaks.refl")
    assert list(frames.overlays) == ["peaks.cxi", "peaks.refl"]
    assert second.overlay.name == "peaks.refl"
    apart = files.open("peaks.h5", apart=True)
    assert str(apart.series.key) == "file:peaks.h5"
    with pytest.raises(RefusedError, match=r"there are peaks\.cxi, peaks\.refl"):
        files.spots("file:run_master.h5", "none", 3)


def test_images_of_series_are_counted_by_their_names(files, made):
    """DIALS numbers images as their names do: run_00011.cbf reaches from 10 to 11."""
    whole = crystint.read_peaks(made / "scan.refl")
    frames = files.open("scan_*.cbf").series
    assert files.open("scan.refl").series is frames
    numbers = np.unique(whole["frame"])
    for image in range(N):
        spots = files.spots("file:scan_*.cbf", "scan.refl", image)
        mine = whole[whole["frame"] == numbers[image]]
        assert len(mine)
        assert spots["slow"].tolist() == mine["slow"].tolist()


def test_lists_of_other_programs_count_images_by_their_names_too(folder, engine):
    """dials.find_spots leaves no note of the files beside its list."""
    whole = crystint.read_peaks(folder / "scan.refl")
    os.remove(folder / "scan.refl.json")
    refl = whole.copy()
    refl["frame"] += 10 - whole["frame"].min()
    crystint.write_peaks(folder / "dials.refl", refl, shape=(150, 161), n_frames=14)
    os.remove(folder / "dials.refl.json")
    assert crystint.read_peaks(folder / "dials.refl")["frame"].tolist() == refl["frame"].tolist()
    files = OpenedFiles(folder, History(), lambda: engine, DetectorSettings())
    frames = files.open("scan_*.cbf").series
    opening = files.open_named([folder / "dials.refl"])
    assert opening.series is frames
    assert "by the numbers in their names" in opening.notes[0]
    numbers = np.unique(whole["frame"])
    for image in range(N):
        expected = whole["slow"][whole["frame"] == numbers[image]]
        assert frames.spots(image)["slow"].tolist() == expected.tolist()
    assert frames.arrived.table["n_spots"].tolist() == [len(frames.spots(image)) for image in range(N)]


def test_a_list_of_some_of_the_frames_lies_over_those(folder, engine, data):
    peaks = crystint.read_peaks(folder / "peaks.h5")
    some = peaks[np.isin(peaks["frame"], (1, 3))].copy()
    some["frame"] = (some["frame"] - 1) // 2
    sources = [FrameSource(str(folder / "run_master.h5"), index, "/entry/data/data") for index in (1, 3)]
    crystint.write_peaks(folder / "some.h5", some, shape=data.shape, n_frames=2, frames_per_file=sources)
    files = OpenedFiles(folder, History(), lambda: engine)
    alone = files.open("some.h5").series
    assert np.array_equal(files.frame(1, str(alone.key)).pixels, data[3])
    assert len(alone.frames) == 2
    frames = files.open("run_master.h5").series
    files.open("some.h5", over="file:run_master.h5")
    counts = [len(frames.spots(image)) for image in range(N)]
    assert counts == [0, np.count_nonzero(peaks["frame"] == 1), 0, np.count_nonzero(peaks["frame"] == 3)]


def test_a_list_of_other_frames_lies_over_none(folder, engine):
    with h5py.File(folder / "other.h5", "w") as file:
        file["entry/data/data"] = np.zeros((2, 30, 40), np.uint16)
    files = OpenedFiles(folder, History(), lambda: engine)
    files.open("other.h5")
    assert str(files.open("peaks.cxi").series.key) == "file:peaks.cxi"
    with pytest.raises(RefusedError, match="no spots, or no rows"):
        files.open("peaks.h5", over="file:other.h5")


# ------------------------------------------------------------------------------------------- sparse files, tables


def test_a_sparse_file_has_images_rows_and_spots(files, made, engine):
    opening = files.open("sparse.h5")
    with crystint.open_sparse(made / "sparse.h5") as sparse:
        dense = sparse.dense(engine=engine)
        for number in range(N):
            assert np.array_equal(files.frame(number, "file:sparse.h5").pixels, dense[number])
        peaks, results = sparse.peaks, sparse.results
        assert opening.series.start.geometry.distance == sparse.geometry.distance
    assert opening.series.arrived.table["n_spots"].tolist() == results["n_spots"].tolist()
    for number in range(N):
        assert opening.series.spots(number)["slow"].tolist() == peaks["slow"][peaks["frame"] == number].tolist()
    assert "drawn from the background" in opening.notes[0]


def test_tables_have_plots_and_no_images(files, made):
    opening = files.open("frames.csv")
    expected = crystint.read_frame_table(made / "frames.csv")
    assert opening.series.arrived.table["score"] == pytest.approx(expected["score"])
    assert opening.described()["shape"] is None
    assert files.held("file:frames.csv")[1] == []
    with pytest.raises(RefusedError, match="it has none"):
        files.frame(-1, "file:frames.csv")
    regions = files.open("roi.h5").series.arrived
    table = crystint.read_rois(made / "roi.h5")
    assert regions.roi_names == ("a",)
    assert regions.region("a")["sum"].tolist() == table.values["a"]["sum"].tolist()


def test_a_table_given_beside_frames_is_theirs(made, engine):
    files = OpenedFiles(made, History(), lambda: engine, DetectorSettings())
    series = files.open_named([made / "run_master.h5"]).series
    opening = files.open_named([made / "frames.csv"])
    assert opening.series is series
    assert opening.overlay is None
    assert "does not name its frames" in opening.notes[0]
    assert (series.arrived.table["n_spots"] > 0).all()


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("../secret.h5", "forbidden", "outside of the data root"),
        ("../*.h5", "forbidden", "outside of the data root"),
        ("/etc/passwd", "forbidden", "outside of the data root"),
        ("link.h5", "forbidden", "outside of the data root"),
        ("external.h5", "forbidden", "shows data of 'secret.h5'"),
        ("virtual.h5", "forbidden", "shows data of 'secret.h5'"),
        ("raw.h5", "forbidden", "shows data of 'secret.raw'"),
        ("none.h5", "not_found", "there is no file"),
        ("none*.h5", "not_found", "no file matches"),
        ("a\0b", "bad_value", "zero byte"),
        ("", "bad_value", "empty"),
        ("empty.h5", "bad_value", "empty"),
        ("text.h5", "bad_value", "no kind that crystint knows"),
        ("geometry.json", "bad_value", "is a geometry"),
        ("mask.npy", "bad_value", "give it with -m"),
    ],
)
def test_what_is_refused(folder, engine, name, reason, words):
    secret = folder.parent / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["entry/data/data"] = np.ones((2, 30, 40), np.uint16)
    (folder.parent / "secret.raw").write_bytes(bytes(2400))
    os.symlink(secret, folder / "link.h5")
    with h5py.File(folder / "external.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("../secret.h5", "/entry/data/data")
    with h5py.File(folder / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((2, 30, 40), np.uint16)
        layout[:] = h5py.VirtualSource("../secret.h5", "entry/data/data", (2, 30, 40))
        file.create_virtual_dataset("entry/data/data", layout)
    with h5py.File(folder / "raw.h5", "w") as file:
        file.create_dataset(
            "entry/data/data", (30, 40), np.uint16, external=[(str(folder.parent / "secret.raw"), 0, 2400)]
        )
    (folder / "empty.h5").touch()
    (folder / "text.h5").write_text("nothing of the kind")
    files = OpenedFiles(folder, History(), lambda: engine)
    with pytest.raises(RefusedError, match=words) as caught:
        files.open(name)
    assert caught.value.reason == reason
    assert str(folder) not in str(caught.value)
    assert files.all() == []


def test_a_peak_list_does_not_show_frames_from_outside(folder, engine, data):
    secret = folder.parent / "secret_master.h5"
    shutil.move(folder / "run_master.h5", secret)
    peaks = crystint.read_peaks(folder / "peaks.h5")
    sources = [FrameSource("../secret_master.h5", index, "/entry/data/data") for index in range(N)]
    crystint.write_peaks(folder / "leak.json", peaks, shape=data.shape, n_frames=N, frames_per_file=sources)
    files = OpenedFiles(folder, History(), lambda: engine)
    opening = files.open("leak.json")
    assert not files.frame(0, "file:leak.json").pixels.any()
    assert "may not be read" in " ".join(opening.notes)


def test_without_a_root_nothing_is_opened(engine):
    with pytest.raises(RefusedError, match="without --data-root"):
        OpenedFiles(None, History(), lambda: engine).open("run_master.h5")


def test_a_series_is_closed_and_forgotten(files):
    files.open("run_master.h5")
    files.close_series("file:run_master.h5")
    assert files.held() == (None, [])
    for ask in (files.series, files.close_series):
        with pytest.raises(RefusedError, match="POST /api/v1/files opens it"):
            ask("file:run_master.h5")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("scan_0001.cbf", "scan_*.cbf"),
        ("a1_b2.tif", "a1_b*.tif"),
        ("plain.npy", "plain.npy"),
        ("7", "*"),
        ("l-cyst_01_00001.cbf.bz2", "l-cyst_01_*.cbf.bz2"),
        ("frame_12.mar3450", "frame_*.mar3450"),
        ("none.mar3450", "none.mar3450"),
        ("a12b.cbf", "a*b.cbf"),
    ],
)
def test_names_of_series(name, pattern):
    assert numbered(name) == pattern


# ------------------------------------------------------------------------------------------------------- routes


@pytest.fixture
def web(folder, engine):
    from crystint.online.auth import Access
    from crystint.online.file_control import FileControl
    from crystint.online.server import create_app
    from tests.online.asgi import TOKENS, Client

    pytest.importorskip("httpx", reason="httpx is not installed")
    history = History()
    control = FileControl(engine, AnalysisSettings(**SETTINGS), history)
    app = create_app(control, history, access=Access(TOKENS), data_root=folder, source="files")
    app.state.broker.engine = lambda: engine
    with Client(app, TOKENS.control) as client:
        client.app = app
        yield client
    app.state.broker.close()


def test_all_routes_know_the_series_of_a_file(web, data, folder):
    from crystint.online.api_files import ListingModel, OpenedFileModel
    from crystint.online.api_models import SeriesModel, StatusModel

    opened = web.post("/api/v1/files", json={"path": "run_master.h5"})
    assert opened.status_code == 200, opened.text
    OpenedFileModel.model_validate(opened.json())
    web.post("/api/v1/files", json={"path": "peaks.cxi"})
    key = "series=file:run_master.h5"
    answer = web.get(f"/api/v1/images/1?{key}", headers={"Accept": "application/x-npy"})
    assert np.array_equal(np.load(io.BytesIO(answer.content)), data[1])
    assert web.get(f"/api/v1/images?{key}").json() == {"series": "file:run_master.h5", "images": [0, 1, 2, 3]}
    assert web.get("/api/v1/images/-2").headers["x-image"] == "3"
    for layer in ("counts", "background", "significance"):
        assert web.get(f"/api/v1/images/1/view?layer={layer}&{key}").status_code == 200
    table = crystint.read_frame_table(folder / "peaks.cxi")
    columns = web.get(f"/api/v1/results?{key}&columns=n_spots").json()["columns"]
    assert columns["n_spots"] == table["n_spots"].tolist()
    curve = web.get(f"/api/v1/plots/n_spots?{key}").json()["series"][0]
    assert curve["y"] == table["n_spots"].tolist()
    tried = web.post(f"/api/v1/images/1/try?{key}", json={"snr": 9.0}).json()
    assert 0 < tried["n_spots"] < table["n_spots"][1]
    spots = web.get(f"/api/v1/files/opened/spots?{key}&overlay=peaks.cxi&image=1").json()["spots"]
    expected = crystint.read_peaks(folder / "peaks.cxi")
    assert spots["slow"] == pytest.approx(expected["slow"][expected["frame"] == 1].tolist())
    assert web.get(f"/api/v1/strip?{key}&width=4").status_code == 200
    StatusModel.model_validate(web.get("/api/v1/status").json())
    for each in web.get("/api/v1/series").json():
        SeriesModel.model_validate(each)
    listing = ListingModel.model_validate(web.get("/api/v1/files").json())
    kinds = {entry.name: (entry.kind, entry.files) for entry in listing.entries}
    assert kinds["run_master.h5"] == ("frames", 1)
    assert kinds["scan_*.cbf"] == ("frames", 4)
    assert kinds["peaks.cxi"] == ("peak list", 1)
    assert web.get("/api/v1/session").json()["source"] == "files"
    assert web.post("/api/v1/start", json={}).status_code == 409
    assert web.delete("/api/v1/files/opened?series=file:run_master.h5").status_code == 200
    assert web.get("/api/v1/files/opened").json() == []
    assert web.get(f"/api/v1/images/1/view?{key}").status_code == 404


def test_folders_are_listed_below_the_root_alone(web, folder):
    (folder / "inner").mkdir()
    (folder / "inner" / "<img src=x onerror=alert(1)>.txt").write_text("x")
    (folder / ".hidden").touch()
    os.symlink(folder.parent, folder / "out")
    os.symlink("/etc/passwd", folder / "passwd")
    names = {entry["name"]: entry["kind"] for entry in web.get("/api/v1/files").json()["entries"]}
    assert names["inner"] == "folder"
    assert "out" not in names
    assert ".hidden" not in names
    assert names.get("passwd") is None
    inner = web.get("/api/v1/files?path=inner")
    assert inner.json()["path"] == "inner"
    assert inner.json()["entries"][0]["name"] == "<img src=x onerror=alert(1)>.txt"
    assert inner.headers["content-type"].startswith("application/json")
    for path, status in (("..", 403), ("out", 403), ("/", 403), ("none", 404), ("run_master.h5", 404)):
        assert web.get("/api/v1/files", params={"path": path}).status_code == status


def test_who_may_only_look_opens_nothing(web, folder):
    from tests.online.asgi import TOKENS, Client

    with Client(web.app, TOKENS.view) as viewer:
        assert viewer.post("/api/v1/files", json={"path": "run_master.h5"}).status_code == 403
        assert viewer.get("/api/v1/files").status_code == 200
    assert web.post("/api/v1/files", json={"path": "run_master.h5", "nonsense": 1}).status_code == 400


def test_damaged_files_are_an_error_and_no_more(folder, engine):
    whole = (folder / "run_master.h5").read_bytes()
    (folder / "cut.h5").write_bytes(whole[: len(whole) // 2])
    files = OpenedFiles(folder, History(), lambda: engine)
    with pytest.raises((RefusedError, CrystintError), match="cut"):
        files.open("cut.h5")
