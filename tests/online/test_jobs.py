"""Jobs on files: what may be asked for, what they give, how they end, and what is remembered of them."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import time
from contextlib import contextmanager

import numpy as np
import pytest

import crystint
from crystint.commands.options import options_of
from crystint.commands.program import Command
from crystint.errors import RefusedError
from crystint.io.kinds import kinds
from crystint.online import jobs as module
from crystint.online.job_files import JobFolder
from crystint.online.job_offers import OFFERS, offers_described
from crystint.online.jobs import Job, Jobs
from crystint.run.forms import command_words, kinds_of
from crystint.stills.step_functions import simulate_files
from tests.commands.table import leaves

LONG = 300


@pytest.fixture
def data(tmp_path):
    made = crystint.simulate.simulate((100, 110), frames=4, background=5.0, peaks=8, intensity=900.0, seed=1)
    writer = crystint.DenseWriter(
        tmp_path / "run.h5", made.shape, made.dtype, geometry=made.geometry, mask=None, saturation=None, provenance={}
    )
    with writer:
        for frame in made:
            writer.write(frame)
    return tmp_path


@pytest.fixture
def served(data, api, app):
    """Begins a job, and gives what it is when it is over."""
    app.state.broker.jobs = None

    def run(**body):
        answer = api.post("/api/v1/jobs", json=body)
        assert answer.status_code == 201, answer.text
        return over(lambda: api.get(f"/api/v1/jobs/{answer.json()['id']}").json())

    yield run
    if app.state.broker.jobs is not None:
        app.state.broker.jobs.close()
        app.state.broker.jobs = None


def over(ask):
    until = time.monotonic() + LONG
    while (now := ask())["state"] in ("queued", "running"):
        assert time.monotonic() < until
        time.sleep(0.1)
    return now


@contextmanager
def serving(root):
    jobs = Jobs(root)
    try:
        yield jobs
    finally:
        jobs.close()


def finished(jobs, job):
    return over(lambda: jobs.described(jobs.get(job.id)))


def test_a_job_gives_what_its_command_line_gives(data, api, served):
    job = served(command="peaks", run="run.h5", name="twice", settings={"rings": 30, "snr": 6.0, "frames": "1,3"})
    assert (job["state"], job["error"], job["code"]) == ("done", "", 0), job["log"]
    assert (job["name"], job["inputs"]) == ("run_peaks_twice", {"frames": ["run.h5"]})
    assert job["outputs"] == ["jobs/run_peaks_twice.cxi"]
    assert job["settings"] == {"rings": 30, "snr": 6.0, "frames": "1,3"}
    assert job["progress"] == {"done": 2, "total": 2, "what": "peaks"}
    assert any(line.startswith("wrote") for line in job["log"])
    assert api.get(f"/api/v1/jobs/{job['id']}/log").text.splitlines() == job["log"]
    words = shlex.split(job["command_line"])
    words[words.index("-o") + 1] = str(data / "own.cxi")
    with pytest.raises(SystemExit) as ended:
        crystint.cli.main(words[1:])
    assert ended.value.code == 0
    peaks = crystint.read_peaks(data / "own.cxi")
    for place, image in enumerate((1, 3)):
        answer = api.get(f"/api/v1/jobs/{job['id']}/peaks?image={image}").json()
        assert answer["frame"] == [image] * len(answer["frame"])
        assert answer["spots"]["slow"] == pytest.approx(peaks[peaks["frame"] == place]["slow"].tolist())
    assert api.get(f"/api/v1/jobs/{job['id']}/peaks?image=0").json()["frame"] == []
    answer = api.get(f"/api/v1/jobs/{job['id']}/table?columns=n_spots").json()
    assert {"frame", "n_spots", "background", "angle"} <= set(answer["names"])
    table = answer["columns"]
    assert table == {"frame": [1, 3], "n_spots": np.bincount(peaks["frame"], minlength=2).tolist()}
    answer = api.get(
        f"/api/v1/jobs/{job['id']}/peaks?columns=slow,fast", headers={"accept": "application/octet-stream"}
    )
    assert answer.headers["x-columns"] == f"frame:<i8:{len(peaks)}, slow:<f8:{len(peaks)}, fast:<f8:{len(peaks)}"
    wrong = api.get(f"/api/v1/jobs/{job['id']}/table?columns=n_spot").json()
    assert "did you mean n_spots" in wrong["msg"]


def test_outputs_are_never_replaced(data, served):
    (data / "jobs").mkdir()
    (data / "jobs" / "run_peaks.cxi").write_text("of somebody")
    names = [served(command="peaks", run="run.h5", settings={"rings": 30})["name"] for _ in range(2)]
    assert names == ["run_peaks_2", "run_peaks_3"]
    assert (data / "jobs" / "run_peaks.cxi").read_text() == "of somebody"


def test_sparse_frames_are_compared_with_their_raw_ones(data, api, served):
    sparse = served(command="sparsify", inputs={"frames": ["run.h5"]}, settings={"rings": 30, "peaks": True})
    assert sparse["state"] == "done", sparse["log"]
    assert sparse["results"] == ["peaks", "table"]
    spots = api.get(f"/api/v1/jobs/{sparse['id']}/peaks").json()["frame"]
    assert spots == crystint.read_peaks(data / sparse["outputs"][0])["frame"].tolist()
    body = {"raw": "run.h5", "sparse": sparse["outputs"][0]}
    job = served(command="compare", inputs=body, settings={"shells": 5, "require": ["exact", "signal>=101"]})
    assert (job["state"], job["code"]) == ("done", 4), job["log"]  # what is broken is told, and written
    report = api.get(f"/api/v1/jobs/{job['id']}/report").json()
    assert report["numbers"]["broken"] == json.loads((data / job["outputs"][0]).read_text())["broken"] != []
    assert "signal" in report["text"]


def test_stills_are_integrated_scaled_and_merged(tmp_path, api, served):
    simulate_files(tmp_path / "stills", frames=4, shape=(300, 320), distance=0.05, d_min=4.0, space_group="P 1")
    settings = {"d_min": 4.0, "reference": "stills/reference.mtz"}
    files = {"experiment": "stills/frames.expt", "frames": ["stills/frames.*5"]}
    made = [served(command="stills integrate", inputs=files, settings=settings)]
    for command in ("stills scale", "stills merge"):
        role = next(iter(OFFERS[command].step.arguments)).name
        values = {"reference": "stills/reference.mtz"} | ({"unscaled": False} if command == "stills merge" else {})
        made.append(served(command=command, inputs={role: made[-1]["outputs"][0]}, settings=values))
        assert made[-1]["state"] == "done", made[-1]["log"]
    table = api.get(f"/api/v1/jobs/{made[0]['id']}/table").json()["columns"]
    run = crystint.stills.read_stills(tmp_path / made[0]["outputs"][0])
    assert table["frame"] == [0, 1, 2, 3]
    good = np.isfinite(run.observations.intensity) & (run.observations.sigma > 0)
    assert table["observations"] == [int(np.count_nonzero(good & (run.observations.image == one))) for one in range(4)]
    scaled = crystint.stills.read_stills(tmp_path / made[1]["outputs"][0]).scales
    assert api.get(f"/api/v1/jobs/{made[1]['id']}/table?columns=ln_g").json()["columns"]["ln_g"] == pytest.approx(
        scaled.ln_g.tolist()
    )
    report = api.get(f"/api/v1/jobs/{made[2]['id']}/report").json()
    assert report["text"] == (tmp_path / made[2]["outputs"][1]).read_text()


@pytest.mark.parametrize(
    ("body", "status", "field", "words"),
    [
        ({"command": "densify", "run": "run.h5"}, 400, "command", "peaks"),
        ({"command": "peaks"}, 400, "run", "run or inputs"),
        ({"command": "peaks", "run": "run.h5", "inputs": {}}, 400, "run", "run or inputs"),
        ({"command": "peaks", "inputs": {}}, 400, "inputs.frames", "missing"),
        ({"command": "peaks", "inputs": {"frame": "run.h5"}}, 400, "inputs", "frames"),
        ({"command": "compare", "run": "run.h5"}, 400, "run", "raw, sparse"),
        ({"command": "compare", "inputs": {"raw": "run.h5", "sparse": ["a", "b"]}}, 400, "inputs.sparse", "one file"),
        ({"command": "peaks", "run": "../run.h5"}, 403, "inputs.frames", "outside"),
        ({"command": "peaks", "run": "../*.h5"}, 403, "inputs.frames", "outside"),
        ({"command": "peaks", "run": "/etc/*"}, 403, "inputs.frames", "outside"),
        ({"command": "peaks", "run": "link*"}, 403, "inputs.frames", "outside"),
        ({"command": "peaks", "run": "none.h5"}, 404, "inputs.frames", "no file"),
        ({"command": "peaks", "run": "none*.h5"}, 404, "inputs.frames", "matches"),
        ({"command": "peaks", "run": "run.h5; ls"}, 404, "inputs.frames", "no file"),
        ({"command": "peaks", "run": "--help"}, 404, "inputs.frames", "no file"),
        ({"command": "peaks", "run": "run.h5", "name": "../x"}, 400, "name", "pattern"),
        ({"command": "peaks", "run": "run.h5", "settings": {"srn": 5}}, 400, "settings.srn", "did you mean snr"),
        ({"command": "peaks", "run": "run.h5", "settings": {"snr": -1}}, 400, "settings.snr", "greater than 0"),
        ({"command": "peaks", "run": "run.h5", "settings": {"snr_peak": 4}}, 400, "settings.snr_peak", "no setting"),
        ({"command": "peaks", "run": "run.h5", "settings": {"d_min": 3, "d_max": 2}}, 400, "settings", "d_min below"),
        ({"command": "peaks", "run": "run.h5", "settings": {"geometry": "/etc/passwd"}}, 403, "settings.geometry", ""),
        ({"command": "peaks", "run": "run.h5", "settings": {"mask": ["link.npy"]}}, 403, "settings.mask", "outside"),
        ({"command": "sparsify", "run": "run.h5", "settings": {"maps": "/etc/new.h5"}}, 403, "settings.maps", ""),
        (
            {"command": "stills scale", "run": "run.h5", "settings": {"monitor": "/etc/passwd"}},
            403, "settings.monitor", "outside",
        ),
        (
            {"command": "stills scale", "run": "run.h5", "settings": {"monitor": "../x.h5:/entry/flux"}},
            403, "settings.monitor", "outside",
        ),
    ],
)  # fmt: skip
def test_what_may_not_be_asked_for_is_refused(data, api, app, body, status, field, words):
    app.state.broker.jobs = None
    (data / "link.npy").symlink_to("/etc/passwd")
    try:
        answer = api.post("/api/v1/jobs", json=body)
    finally:
        if app.state.broker.jobs is not None:
            app.state.broker.jobs.close()
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    assert words in answer.json()["msg"]
    assert not (data / "jobs").exists()
    app.state.broker.jobs = None


def test_every_setting_that_names_a_file_is_known_to_do_so():
    """A text that a command opens, but whose kind is not told, could name a file outside of the root."""
    texts = {"dataset", "frames", "space_group", "reference_column", "intensity", "require"}
    for offer in OFFERS.values():
        for name, field in offer.step.settings.model_fields.items():
            names_file = "Path" in str(field.annotation)
            assert bool(kinds_of(field)) >= names_file, name
            if "str" in str(field.annotation) and not names_file and "Literal" not in str(field.annotation):
                assert bool(kinds_of(field)) != (name in texts), name


def test_forms_have_the_options_of_the_commands(api):
    commands = leaves()
    every = {kind.name for kind in kinds()}
    answer = api.get("/api/v1/jobs/commands").json()
    assert [each["command"] for each in answer] == list(OFFERS)
    for each in answer:
        command, step = commands[each["command"]], OFFERS[each["command"]].step
        others = {"config", "device", "threads", "strict", "resume", "part", "dask", "dask_frames", "overwrite",
                  "as_json", "quiet", "output", "debug"}  # fmt: skip
        options = {option.name: option for option in command.params if option.param_type_name == "option"}
        properties = each["settings"]["properties"]
        assert set(properties) == set(options) - others
        for name, form in properties.items():
            assert form["option"] in options[name].opts, name
            assert form["description"] == step.settings.model_fields[name].description
            assert form["group"] != "Settings", name
            assert set(form["kinds"]) <= every, name
            assert set(form) <= _WORDS, name
        arguments = [option.name for option in command.params if option.param_type_name == "argument"]
        assert arguments == [f"input_{one['name']}" for one in each["inputs"]]
        assert all(one["kinds"] and set(one["kinds"]) <= every and one["meaning"] for one in each["inputs"])
    peaks = answer[0]["settings"]["properties"]
    assert peaks["snr_pick"]["exclusiveMinimum"] == 0
    assert (peaks["connected"]["minimum"], peaks["connected"]["maximum"]) == (1, 25)
    assert not peaks["snr"]["advanced"]
    assert peaks["cycles"]["advanced"]
    assert peaks["mask"]["items"]["format"] == "path"


_WORDS = {"title", "description", "default", "type", "anyOf", "enum", "const", "items", "format", "minimum", "maximum",
          "exclusiveMinimum", "exclusiveMaximum", "group", "option", "metavar", "advanced", "kinds", "prefixItems",
          "minItems", "maxItems"}  # fmt: skip
VALUES = {
    "peaks": {"snr": 6.5, "join": False, "mask": ["a.npy", "b.npy"], "beam": (51.5, 60), "min_valid": -5,
              "frames": "3,7:9", "patch": 5, "pixel_size": "75um", "persistent": False, "distance": "0.1",
              "polarization": -0.5},
    "sparsify": {"snr": "auto", "loss": "2%", "compact": True, "keep": "a.expt", "keep_margin": 3, "peaks": True},
    "compare": {"require": ["exact", "signal>=95"], "every": 3, "sha256": False},
    "stills integrate": {"recenter": False, "mask": ["m.npy"], "method": "sum", "bandwidth": 1e-7},
    "stills scale": {"refine_b": False, "fit_width": False, "monitor": "run.h5:/entry/flux"},
    "stills merge": {"error_model": [1.5, 0.02], "min_cc": -0.5, "outliers": 4, "anomalous": True},
}  # fmt: skip


@pytest.mark.parametrize("name", list(OFFERS))
def test_the_command_line_says_the_settings(name):
    step = OFFERS[name].step
    settings = step.settings.of(VALUES[name])
    files = {argument.name: ["a file.h5"] for argument in step.arguments}
    words = command_words(step, files, ["out.h5"], settings, VALUES[name])
    words = shlex.split(shlex.join(words))
    command = Command("x", params=options_of(step.settings, step.hidden), callback=lambda: None)
    begin = 1 + len(name.split()) + len(files) + 2
    assert words[:begin] == ["crystint", *name.split(), *["a file.h5"] * len(files), "-o", "out.h5"]
    values = command.make_context("x", words[begin:]).params
    assert step.settings.of(values) == settings


def test_jobs_wait_for_each_other_are_cancelled_and_need_a_root(data):
    with serving(data) as jobs:
        first, second = (jobs.add("peaks", {"frames": ["run.h5"]}, {"rings": 30}) for _ in range(2))
        assert jobs.cancel(second.id).state == "cancelled"
        assert finished(jobs, first)["state"] == "done"
        assert [job.id for job in jobs.all()] == [second.id, first.id]
        assert jobs.cancel(first.id).state == "done"
    with pytest.raises(RefusedError, match="ends"):
        jobs.add("peaks", {"frames": ["run.h5"]}, {})
    with pytest.raises(RefusedError, match="data-root"):
        Jobs(None).add("peaks", {"frames": ["run.h5"]}, {})
    with serving(data) as jobs, pytest.raises(RefusedError, match="no job 9"):
        jobs.get(9)


def test_a_cancelled_job_leaves_nothing(data):
    """It is stopped in the middle of its frames, and would write those that it has."""
    many = [f"run{number}.h5" for number in range(40)]
    for name in many:
        os.link(data / "run.h5", data / name)
    with serving(data) as jobs:
        job = jobs.add("peaks", {"frames": [name for name in many for _ in range(1)]}, {})
        until = time.monotonic() + LONG
        while not (job.progress and job.progress["done"]) and job.active and time.monotonic() < until:
            time.sleep(0.02)
        assert job.progress["total"] == 160
        assert jobs.cancel(job.id).state == "cancelled"
        jobs._thread.join(0.01)
        until = time.monotonic() + LONG
        while job.ended is None and time.monotonic() < until:
            time.sleep(0.05)
        assert job.state == "cancelled"
    assert sorted(file.name for file in (data / "jobs").iterdir()) == ["run0_peaks.job.json", "run0_peaks.log"]


def test_a_failed_job_says_why(data, served):
    (data / "bad.npy").write_bytes(np.zeros(3).tobytes())
    job = served(command="peaks", run="bad.npy")
    assert (job["state"], job["code"], job["results"]) == ("failed", 1, [])
    assert "crystint: error" in job["log"][-1]


def test_jobs_are_remembered(data):
    with serving(data) as jobs:
        done = finished(jobs, jobs.add("peaks", {"frames": ["run.h5"]}, {"rings": 30}, "a"))
    with serving(data) as jobs:
        (job,) = jobs.all()
        assert jobs.described(job) == done
        second = jobs.add("peaks", {"frames": ["run.h5"]}, {"rings": 30}, "a")
        assert (second.id, second.name) == (done["id"] + 1, "run_peaks_a_2")


def record(data, **changes):
    job = Job(7, "peaks", "left", {"frames": ["run.h5"]}, {}, "crystint peaks", ["jobs/left.cxi"], state="running")
    folder = JobFolder(data)
    folder.made()
    folder.write("left", job.record() | changes)
    (folder.path / "left.log").write_text("line\n")
    return folder


def test_a_job_that_its_service_left_behind_has_failed(data):
    folder = record(data)
    for name in ("left.cxi", "left.cxi.partial", "other.cxi"):
        (folder.path / name).write_text("half")
    with (folder.path / "left.log").open() as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        jobs = Jobs(data)
        assert jobs.get(7).state == "running"  # of another service
        with pytest.raises(RefusedError, match="another service"):
            jobs.cancel(7)
    job = jobs.get(7)
    assert (job.state, job.error) == ("failed", "the service ended while it waited or ran")
    assert not (folder.path / "left.cxi").exists()
    assert not (folder.path / "left.cxi.partial").exists()
    assert (folder.path / "other.cxi").exists()
    assert Jobs(data).get(7).state == "failed"


@pytest.mark.parametrize(
    "changes",
    [{"command": "rm"}, {"state": "odd"}, {"name": "../x"}, {"id": "x"}, {"outputs": 3}, {"inputs": {"a": [1]}},
     {"more": 1}, {"settings": []}, {"progress": 3}],
)  # fmt: skip
def test_records_that_are_none_are_left_out(data, changes):
    record(data, **changes)
    assert Jobs(data).all() == []


def test_outputs_of_a_record_are_no_way_out(data):
    """Whoever may write into the folder can say what he wants in a record."""
    from crystint.online.job_results import JobResults

    record(data, state="done", outputs=["/etc/passwd", "../../etc/passwd"])
    jobs = Jobs(data)
    assert jobs.get(7).state == "done"
    with pytest.raises(RefusedError, match="outside"):
        JobResults(jobs).peaks(7, 0)


def test_the_folder_may_not_be_a_link(data, tmp_path_factory):
    (data / "jobs").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    with serving(data) as jobs, pytest.raises(RefusedError, match="symbolic link"):
        jobs.add("peaks", {"frames": ["run.h5"]}, {})


def test_no_job_outlives_its_service(data, monkeypatch):
    """Its process ends by itself when nobody reads its progress any more."""
    ended = []

    def left(self, job, own, process, reading):
        os.close(reading)
        ended.append(process.wait(LONG))
        os.dup2(os.open(os.devnull, os.O_RDONLY), reading)

    monkeypatch.setattr(module.Jobs, "_follow", left)
    many = ["run.h5"] + [f"run{number}.h5" for number in range(200)]
    for name in many[1:]:
        os.link(data / "run.h5", data / name)
    jobs = Jobs(data)
    jobs.add("peaks", {"frames": many}, {})
    until = time.monotonic() + LONG
    while not ended and time.monotonic() < until:
        time.sleep(0.05)
    assert ended == [143]


def test_offers_are_described_once():
    assert offers_described() is offers_described()
