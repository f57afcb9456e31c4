"""``crystint compare`` in units of reflections: samples, reports, and the audit that sparsify keeps in its file."""

from __future__ import annotations

import hashlib
import json
import shutil

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.compare import Comparison, compare
from crystint.compare.run import auditor_of
from crystint.compare.settings import CompareSettings
from crystint.compare.steps import COMPARE
from crystint.errors import SettingError
from crystint.io.describe import describe
from crystint.io.frame_record import FrameRecord
from crystint.separation import sparsify
from crystint.simulate import simulate
from crystint.summation.frame_audit import FrameAudit, PeakRules
from crystint.summation.report import audit_of, audit_table

FRAMES = "entry/data/data"
TOTAL = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames, one chunk each, and two sparse files of them, one of which has an audit."""
    folder = tmp_path_factory.mktemp("reflections")
    data = simulate((150, 161), TOTAL, dtype=np.uint16, background=2.0, peaks=30, intensity=400.0, seed=3)
    with h5py.File(folder / "run.h5", "w") as file:
        file.create_dataset(FRAMES, data=np.stack(list(data)), chunks=(1, 150, 161), compression="gzip")
    data.geometry.write(folder / "geometry.json")
    settings = {"rings": 60, "geometry": folder / "geometry.json"}
    sparsify(folder / "run.h5", folder / "sparse.h5", settings)
    sparsify(folder / "run.h5", folder / "audited.h5", settings | {"audit": True})
    sparsify(folder / "run.h5", folder / "some.h5", settings | {"audit_every": 3})
    return folder


def compared(folder, *, sparse="sparse.h5", **settings) -> Comparison:
    return COMPARE(folder / "run.h5", folder / sparse, settings=settings).result


def run(code, *words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output[-1500:]
    return result


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [
        ({"every": 3}, [0, 3, 6]),
        ({"every": 100}, [0]),
        ({"sample": 2}, [2, 6]),
        ({"sample": 3}, [1, 4, 6]),
        ({"sample": 8}, list(range(8))),
        ({"sample": 99}, list(range(8))),
        ({}, list(range(8))),
    ],
)
def test_samples_are_spread_evenly(settings, numbers):
    assert CompareSettings.of(settings).chosen(TOTAL).tolist() == numbers


def test_one_sample_at_a_time():
    with pytest.raises(SettingError, match="every is 2 and sample 3"):
        CompareSettings.of({"every": 2, "sample": 3})


def test_a_sample_is_these_frames_and_reads_no_others(folder, tmp_path):
    shutil.copyfile(folder / "run.h5", tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        chunks = {number: file[FRAMES].id.get_chunk_info(number) for number in range(TOTAL)}
    with (tmp_path / "run.h5").open("r+b") as raw:
        for number in set(range(TOTAL)) - {2, 6}:
            raw.seek(chunks[number].byte_offset)
            raw.write(bytes(chunks[number].size))
    sample = COMPARE(tmp_path / "run.h5", folder / "sparse.h5", settings={"sample": 2})
    assert sample.missing == {}
    both = compared(folder, frames="2,6")
    assert (sample.result.frames, sample.result.of, both.frames) == (2, 8, 2)
    for name in ("reflections", "raw", "dense", "missed"):
        np.testing.assert_allclose(sample.result.reflections.sums[name], both.reflections.sums[name])
    np.testing.assert_array_equal(sample.result.sums["pixels"], both.sums["pixels"])
    assert "2 of 8, a sample" in sample.text
    with pytest.warns(match="recorded as missing"):
        few = COMPARE(tmp_path / "run.h5", folder / "sparse.h5", settings={"every": 3})
    assert list(few.missing) == [0, 3]  # the numbers of the frames, not those in the sample


def test_what_is_missing_of_a_sample_gives_3(folder, tmp_path):
    with h5py.File(tmp_path / "run.h5", "w") as file:
        made = file.create_dataset(FRAMES, (TOTAL, 150, 161), np.uint16, chunks=(1, 150, 161))
        with h5py.File(folder / "run.h5") as source:
            made[:4] = source[FRAMES][:4]
    assert (
        "recorded as missing: 6" in run(3, "compare", tmp_path / "run.h5", folder / "sparse.h5", "--sample", 2).stderr
    )


def test_ratios_of_a_sample_are_per_frame(folder):
    whole, sample = compared(folder), compared(folder, sample=4)
    assert sample.quantities["ratio"] == whole.quantities["ratio"]
    assert sample.dense_bytes == whole.dense_bytes / 2
    over = [text.split("plain frames")[1].split("\n")[0].split("=")[1] for text in (sample.summary(), whole.summary())]
    assert over[0] == over[1]


def test_comparisons_of_halves_add_to_the_whole(folder):
    whole = compared(folder)
    halves = compared(folder, frames="0:4") + compared(folder, frames="4:8")
    assert halves.reflections.spots == whole.reflections.spots
    for name in whole.reflections.sums.dtype.names:
        np.testing.assert_allclose(halves.reflections.sums[name], whole.reflections.sums[name], rtol=1e-12)


def test_the_record_of_a_frame_keeps_its_reflections():
    parts = FrameAudit.of_record(FrameRecord(0))
    assert parts is None
    data = simulate((150, 161), dtype=np.uint16, background=2.0, peaks=30, intensity=400.0, seed=3)
    separator = crystint.Separator(data.geometry, data.mask, rings=60)
    sparse = separator.sparsify(data[0])
    dense = crystint.densify(sparse)
    audit = auditor_of(sparse, data.geometry, PeakRules()).audit(5, data[0], sparse, dense, None)
    record = FrameRecord.unpack(FrameRecord(5, facts=audit.facts(), arrays=audit.arrays()).pack())
    again = FrameAudit.of_record(record)
    assert again.facts() == audit.facts()
    assert again.parts.tobytes() == audit.parts.tobytes()
    assert np.isnan(again.parts["clean"]).all()
    assert audit.spots == len(separator.peaks(data[0]))


def test_a_changed_pixel_is_found_in_a_sample_of_its_frame(folder, tmp_path):
    shutil.copyfile(folder / "sparse.h5", tmp_path / "bad.h5")
    with h5py.File(tmp_path / "bad.h5", "r+") as file:
        first = int(file["entry_0000/sparse_frames/frame_ptr"][6])
        values = file["entry_0000/sparse_frames/intensity"]
        values[first] = values[first] + 1
    words = ("compare", folder / "run.h5", tmp_path / "bad.h5", "-q")
    assert "1 picked pixel is WRONG" in run(4, *words, "--sample", 2).stderr  # frames 2 and 6
    run(0, *words, "--every", 4)  # frames 0 and 4


def test_reports_have_files_hashes_settings_and_verdict(folder, tmp_path):
    words = ("compare", folder / "run.h5", folder / "sparse.h5", "-q", "--require", "kept_strong>=99.9")
    outputs = ("-o", tmp_path / "audit.json", "-o", tmp_path / "audit.pdf", "-o", tmp_path / "audit.png")
    lines = run(4, *words, *outputs).stderr.splitlines()
    assert any("kept_strong is " in line and "required >= 99.9" in line for line in lines)
    report = json.loads((tmp_path / "audit.json").read_text())
    assert report["provenance"]["settings"]["require"] == ["kept_strong>=99.9"]
    assert report["versions"]["crystint"] == crystint.__version__
    assert report["broken"][0].startswith("kept_strong is ")
    for entry, name in zip(report["files"], ("run.h5", "sparse.h5"), strict=True):
        content = (folder / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert [one["use"].split()[0] for one in report["comparison"]["reflections"]["verdicts"]] == [
        "spot", "strong", "medium", "weak",
    ]  # fmt: skip
    assert (tmp_path / "audit.pdf").read_bytes().startswith(b"%PDF")
    assert crystint.io.hdf5.provenance.read_provenance(tmp_path / "audit.json")["program"] == "crystint"


def test_files_of_a_sample_are_hashed_on_request(folder, tmp_path):
    words = ("compare", folder / "run.h5", folder / "sparse.h5", "-q", "--sample", 1)
    run(0, *words, "-o", tmp_path / "a.json")
    run(0, *words, "-o", tmp_path / "b.json", "--sha256")
    a, b = (json.loads((tmp_path / name).read_text())["files"] for name in ("a.json", "b.json"))
    assert [entry["sha256"] for entry in a] == [None, None]
    assert all(len(entry["sha256"]) == 64 for entry in b)


def test_the_page_to_sign_says_what_matters(folder, monkeypatch, tmp_path):
    lines = []
    monkeypatch.setattr("crystint.plot.audit.save_pages", lambda pages, path, overwrite: path.write_bytes(b"%PDF"))
    monkeypatch.setattr("crystint.plot.audit._page", lambda part, first: lines.extend(part))
    COMPARE(folder / "run.h5", folder / "sparse.h5", outputs=tmp_path / "a.pdf", command=["crystint", "compare"])
    text = "\n".join(lines)
    digest = hashlib.sha256((folder / "run.h5").read_bytes()).hexdigest()
    for part in ("every pixel that must be exact is so", "spot finding: ", digest, "crystint compare", "shells = 20",
                 "signature", "kept %", "8 frames, all there are"):  # fmt: skip
        assert part in text, part
    assert max(map(len, lines)) <= 104


def test_the_audit_of_sparsify_is_that_of_compare(folder):
    expected = compared(folder).reflections
    with crystint.open_sparse(folder / "audited.h5") as file:
        audit = audit_of(file.audit)
        assert file.audit["every"] == 1
    assert audit.spots == expected.spots
    assert abs(audit.again - expected.again) <= 2  # of the file the background is a little less exact
    assert (audit.by_class["reflections"] == expected.by_class["reflections"]).all()
    np.testing.assert_allclose(audit.sums["raw"], expected.sums["raw"], rtol=0.002)
    np.testing.assert_allclose(audit.total["dense"], expected.total["dense"], rtol=0.005)
    with crystint.open_sparse(folder / "sparse.h5") as file:
        assert file.audit is None


def test_every_third_frame_is_audited(folder):
    with crystint.open_sparse(folder / "some.h5") as file:
        audit = audit_of(file.audit)
    expected = compared(folder, frames="0,3,6").reflections
    assert (audit.by_class["reflections"] == expected.by_class["reflections"]).all()
    text = run(0, "info", folder / "some.h5").stdout
    assert "in every 3rd frame" in text
    assert "spot finding" in text


def test_the_audit_survives_another_form(folder, tmp_path):
    run(0, "convert", folder / "audited.h5", "-o", tmp_path / "compact.h5")
    with crystint.open_sparse(folder / "audited.h5") as one, crystint.open_sparse(tmp_path / "compact.h5") as other:
        assert one.audit == other.audit


def test_values_of_json_are_the_audit(folder):
    audit = compared(folder).reflections
    again = audit_of(json.loads(json.dumps(crystint.compare.Comparison(reflections=audit).to_dict()["reflections"])))
    assert audit_table(again) == audit_table(audit)
    assert "weak ones are not among them: give --reflections MODEL.expt" in audit_table(audit)


def test_spots_that_are_lost_and_invented_are_counted():
    data = simulate((150, 161), dtype=np.uint16, background=2.0, peaks=12, intensity=900.0, seed=5)
    separator = crystint.Separator(data.geometry, data.mask, rings=60)
    sparse = separator.sparsify(data[0])
    peaks = separator.peaks(data[0])
    dense = data[0].copy()
    one = np.argmin(np.hypot(peaks["slow"] - 75, peaks["fast"] - 80))
    slow, fast = int(peaks["slow"][one]), int(peaks["fast"][one])
    dense[slow - 4 : slow + 5, fast - 4 : fast + 5] = 2  # one is lost
    far = [
        (i, j)
        for i in range(20, 130, 10)
        for j in range(20, 140, 10)
        if np.hypot(peaks["slow"] - i, peaks["fast"] - j).min() > 12
    ]
    for i, j in far[:2]:  # two are new
        dense[i - 1 : i + 2, j - 1 : j + 2] = 60
    audit = auditor_of(sparse, data.geometry, PeakRules()).audit(0, data[0], sparse, dense, None)
    assert (audit.spots, audit.again, audit.invented) == (len(peaks), len(peaks) - 1, 2)


def test_info_tells_the_audit_of_a_file(folder):
    with crystint.open_sparse(folder / "audited.h5") as file:
        total = file.audit["total"]
    assert f"{total['reflections']} reflections" in describe(folder / "audited.h5")["audit"]
    assert f"{100 * total['kept']:.1f} % of their counts kept" in describe(folder / "audited.h5")["audit"]


def test_sizes_of_a_part_of_the_frames_say_what_they_are_of(folder, tmp_path):
    part = COMPARE(folder / "run.h5", folder / "sparse.h5", settings={"frames": "2,6"})
    assert part.result.sparse_bytes is None
    assert "x the picked pixels, without the rest of a sparse file" in part.text
    assert "x the sparse form" not in part.text
    settings = {"rings": 60, "geometry": folder / "geometry.json", "frames": "2,6"}
    sparsify(folder / "run.h5", tmp_path / "two.h5", settings)
    two = COMPARE(folder / "run.h5", tmp_path / "two.h5", settings={"frames": "2,6"})
    assert two.result.sparse_bytes == (tmp_path / "two.h5").stat().st_size
    assert two.result.raw_bytes == pytest.approx((folder / "run.h5").stat().st_size * 2 / TOTAL, abs=1)
    assert "x the sparse form" in two.text


def test_vetoed_frames_are_named_and_are_no_loss_of_the_threshold(folder, tmp_path):
    with h5py.File(folder / "run.h5") as source, h5py.File(tmp_path / "run.h5", "w") as file:
        frames = source[FRAMES][:4]
        frames[1, 75:] = 2  # half of its peaks are gone
        file.create_dataset(FRAMES, data=frames)
    settings = {"rings": 60, "geometry": folder / "geometry.json"}
    hits = sparsify(tmp_path / "run.h5", tmp_path / "all.h5", settings).result.peaks
    limit = int(hits.min()) + 1
    assert (hits < limit).sum() == 1
    outcome = sparsify(tmp_path / "run.h5", tmp_path / "hits.h5", settings | {"hits_only": True, "hit_peaks": limit})
    assert "1 vetoed" in outcome.text
    assert "--keep" not in outcome.text
    compared = COMPARE(tmp_path / "run.h5", tmp_path / "hits.h5")
    others = COMPARE(tmp_path / "run.h5", tmp_path / "all.h5", settings={"frames": "0,2,3"})
    assert "1 frame vetoed" in compared.text
    assert compared.data["vetoed"] == compared.result.vetoed == 1
    assert compared.result.total.sums["missed"].sum() == 0
    for name in ("reflections", "raw", "dense", "missed"):
        np.testing.assert_allclose(compared.result.reflections.sums[name], others.result.reflections.sums[name])
    assert compare(tmp_path / "run.h5", tmp_path / "hits.h5").vetoed == 1
