"""Alarms: rules, what they make of the results as they come, and how they are kept."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from crystint.errors import RefusedError
from crystint.model.frame_table import FrameStatus
from crystint.model.rois import empty_roi_values
from crystint.online.alarm_watch import AlarmWatch
from crystint.online.alarms import AlarmFile, Alarms
from crystint.online.history import History
from crystint.online.result import empty_results
from crystint.online.sink import Event
from crystint.online.state_folder import StateFolder
from crystint.stream.messages import SeriesKey
from tests.online.test_web_security import error
from tests.oracles.alarms import alarm_events

KEY = SeriesKey(7, "a")


class Watched:
    """A watch on a history that a test feeds."""

    def __init__(self, folder, *rules):
        self.history, self.now, self.told = History(), 0.0, []
        self.file = AlarmFile(StateFolder(folder))
        self.file.write({"alarms": list(rules)})
        self.watch = self.again()

    def again(self):
        """As a process that is started anew has it."""
        self.watch = AlarmWatch(self.history, self.file, self.record, lambda: self.now)
        return self.watch

    def record(self, name, data):
        assert name == "alarm"
        json.dumps(data, allow_nan=False)
        self.told.append(dict(data))

    def add(self, values, column="n_spots", now=None, key=KEY, **more):
        rows = empty_results(len(values))
        series = self.history._of(key)
        first = 0 if series is None else series.came
        rows["frame"] = first + np.arange(len(values))
        rows[column] = values
        for name, value in more.items():
            rows[name] = value
        self.now = self.now if now is None else now
        self.history.add(key, rows)
        self.watch.look()

    @property
    def states(self):
        return {each["name"]: each["state"] for each in self.watch.states()}

    @property
    def events(self):
        return [(each["state"], each["image"]) for each in self.told]


FEW = {"name": "few", "column": "n_spots", "below": 10.0}


def test_it_trips_once_and_clears_once_with_a_margin_and_after_a_second(tmp_path):
    it = Watched(tmp_path, FEW)
    assert it.states == {"few": "waiting"}
    it.add([50, 60])
    assert it.states == {"few": "ok"}
    it.add([9, 8, 10, 7], now=1.0)
    assert it.events == [("tripped", 2)]
    told = it.told[0]
    assert (told["series"], told["value"], told["column"], told["roi"]) == (str(KEY), 9.0, "n_spots", None)
    assert told["text"] == "few: n_spots: 9, below 10"
    it.add([10, 10, 10], now=9.0)  # 10 is within the margin
    it.add([11, 11], now=10.0)
    it.add([11, 9, 11], now=10.5)  # not back for a second
    it.add([12], now=11.4)
    assert it.states == {"few": "tripped"}
    it.add([12], now=11.5)
    assert it.events == [("tripped", 2), ("cleared", it.history.current.came - 1)]
    assert it.states == {"few": "ok"}


@pytest.mark.parametrize("seed", range(12))
def test_as_one_value_after_the_other_would(tmp_path, seed):
    random = np.random.default_rng(seed)
    over, hold = int(random.choice([1, 2, 7, 40])), float(random.choice([0.0, 0.4, 2.5]))
    margin = float(random.choice([0.0, 3.0]))
    side = {"below": 20.0} if seed % 2 else {"above": 20.0}
    it = Watched(tmp_path, {"name": "a", "column": "background", "over": over, "hold": hold, "margin": margin, **side})
    batches, numbers = [], 0
    level = 20.0
    for _ in range(120):
        level += float(random.normal(0, 3)) + 0.1 * (20.0 - level)
        values = np.round(random.normal(level, 4.0, random.integers(0, 30)))
        values[random.random(len(values)) < 0.2] = np.nan
        numbers += len(values)
        batches.append((it.now + float(random.exponential(0.4)), values.tolist()))
        it.add(values, "background", now=batches[-1][0])
    wanted = alarm_events(batches, over=over, hold=hold, margin=margin, **side)
    told = [each for each in it.told if each["state"] != "no values"]
    assert [(each["state"], each["image"]) for each in told] == [event[:2] for event in wanted]
    np.testing.assert_allclose([each["value"] for each in told], [event[2] for event in wanted], rtol=1e-12)
    assert len(wanted) > 1 or over > 1 or hold > 2


def test_a_mean_needs_as_many_images_as_it_is_of(tmp_path):
    it = Watched(tmp_path, {**FEW, "over": 4})
    it.add([0, 0, 0])
    assert it.states == {"few": "collecting"}
    assert it.watch.states()[0]["text"] == "3 of 4 images"
    it.add([0])
    assert it.events == [("tripped", 3)]


def test_images_that_were_not_looked_at_are_left_out(tmp_path):
    it = Watched(tmp_path, {**FEW, "over": 3})
    it.add([40, 40, 40])
    it.add([-1] * 50, status=FrameStatus.SKIPPED)
    it.add([5])
    assert it.told == []
    assert it.watch.states()[0]["value"] == pytest.approx(85 / 3)


def test_a_column_without_values_says_so_once(tmp_path):
    it = Watched(tmp_path, {"name": "d", "column": "d_min", "above": 3.0}, FEW)
    for _ in range(5):
        it.add([50] * 60)
    assert it.states == {"d": "no values", "few": "ok"}
    assert [each["state"] for each in it.told] == ["no values"]
    assert "d_min is not known of the last" in it.told[0]["text"]
    it.add([2.0], "d_min")
    assert it.states["d"] == "ok"


def test_a_region_and_one_that_is_not_there(tmp_path):
    it = Watched(
        tmp_path,
        {"name": "beam", "column": "roi_sum", "roi": "beam", "above": 100},
        {"name": "none", "column": "roi_mean", "roi": "gone", "below": 1},
    )
    rows, values = empty_results(150), empty_roi_values(150).reshape(150, 1)
    rows["frame"] = np.arange(150)
    values["sum"][:, 0] = np.arange(150)
    it.history.add(KEY, rows, regions=values, roi_names=("beam",))
    it.watch.look()
    assert it.events == [("tripped", 101), ("no values", 149)]
    assert "there is no region 'gone'" in it.told[1]["text"]


def test_lost_images_and_hit_rate_go_on_from_batch_to_batch(tmp_path):
    it = Watched(
        tmp_path,
        {"name": "lost", "column": "lost", "above": 12, "margin": 0},
        {"name": "hits", "column": "hit_rate", "below": 0.25, "margin": 0},
    )
    status = np.zeros(6000, int)
    status[::500] = FrameStatus.SKIPPED  # 12 of them
    hit = np.where(status, -1, np.arange(6000) % 3 == 0)
    for begin in range(0, 6000, 250):
        some = slice(begin, begin + 250)
        it.add(hit[some], "hit", status=status[some])
    assert it.told == []
    assert it.watch.states()[0]["value"] == 12
    it.add([-1], "hit", status=FrameStatus.FAILED)
    it.add([0] * 51, "hit")
    assert it.events == [("tripped", 6000), ("tripped", 6051)]
    rate = it.history.current.ordered().column("hit")[-200:].tolist().count(1) / 200
    assert it.told[1]["value"] == pytest.approx(rate, abs=1.0 / 200)


def test_a_new_series_begins_anew_and_what_had_tripped_is_over(tmp_path):
    it = Watched(tmp_path, FEW)
    it.add([1, 1])
    it.add([1], key=SeriesKey(8, "b"), now=0.1)
    assert [(each["state"], each["series"]) for each in it.told] == [
        ("tripped", str(KEY)), ("cleared", str(KEY)), ("tripped", str(SeriesKey(8, "b"))),
    ]  # fmt: skip
    assert "ends with its series" in it.told[1]["text"]


def test_what_changes_is_watched_anew_and_the_rest_goes_on(tmp_path):
    it = Watched(tmp_path, FEW, {**FEW, "name": "other"})
    it.add([1])
    it.file.write({"alarms": [{**FEW, "below": 5.0}, {**FEW, "name": "other"}]})
    it.add([6], now=5.0)
    assert [(each["name"], each["state"]) for each in it.told] == [
        ("few", "tripped"), ("other", "tripped"), ("few", "cleared"),
    ]  # fmt: skip
    assert it.states == {"few": "ok", "other": "tripped"}
    it.file.write({"alarms": []})
    it.add([1])
    assert it.told[-1]["name"], it.told[-1]["state"] == ("other", "cleared")


def test_a_process_that_is_started_anew_does_not_tell_it_again(tmp_path):
    it = Watched(tmp_path, FEW)
    it.add([1])
    it.history.event(Event("alarm", it.told[0], 1, 1))
    it.again()
    it.add([1])
    assert it.events == [("tripped", 0)]
    assert it.states == {"few": "tripped"}


def test_what_is_not_taken_is_told_later(tmp_path):
    it = Watched(tmp_path, FEW)

    def busy(_name, _data):
        raise RefusedError("busy", "wait")

    it.watch._record = busy
    it.add([1])
    assert it.watch.trouble == "an alarm could not be told: wait"
    it.watch._record = it.record
    it.add([1])
    assert it.events == [("tripped", 0)]
    assert it.watch.trouble == ""


def test_it_looks_by_itself_and_who_feeds_does_not_wait(tmp_path):
    import threading

    it = Watched(tmp_path, FEW)
    asked, go_on = threading.Event(), threading.Event()

    def slow(name, data):
        asked.set()
        go_on.wait(30)
        it.record(name, data)

    it.watch._record = slow
    it.watch.start()
    rows = empty_results(1)
    rows["n_spots"] = 1
    try:
        it.history.add(KEY, rows)
        assert asked.wait(30)
        it.history.add(KEY, rows)  # although nobody takes the event
        assert it.told == []
    finally:
        go_on.set()
        it.watch.close()
    assert it.events == [("tripped", 0)]


@pytest.mark.parametrize(
    ("rule", "field", "text"),
    [
        ({"column": "hitrate", "below": 1}, "column", "did you mean hit_rate?"),
        ({"column": "shells", "below": 1}, "column", "several numbers"),
        ({"column": "t_done", "below": 1}, "column", "a time"),
        ({"column": "roi_sum", "below": 1}, "roi", "name it"),
        ({"column": "n_spots", "roi": "a", "below": 1}, "roi", "not of a region"),
        ({"column": "n_spots"}, "below", "either below or above"),
        ({"column": "n_spots", "below": 1, "above": 2}, "below", "either below or above"),
    ],
)
def test_what_cannot_be_watched_is_refused_by_its_field(api, rule, field, text):
    response = api.put("/api/v1/alarms", json={"alarms": [{"name": "ok", **rule}]})
    assert text in error(response, 400, "bad_value")
    assert response.json()["field"] == f"alarms.0.{field}"


@pytest.mark.parametrize(
    "body",
    [
        {"alarms": [{"name": "a b", "column": "n_spots", "below": 1}]},
        {"alarms": [{"name": "a", "column": "n_spots", "below": 1, "over": 0}]},
        {"alarms": [{"name": "a", "column": "n_spots", "below": 1, "hold": -1}]},
        {"alarms": [{"name": "a", "column": "n_spots", "below": "<img>"}]},
        {"alarms": [FEW, FEW]},
        {"alarms": [{**FEW, "name": f"a{n}"} for n in range(65)]},
        {"alarms": [{**FEW, "colour": "red"}]},
        {},
    ],
)
def test_a_document_that_is_none(api, body):
    error(api.put("/api/v1/alarms", json=body), 400, "bad_value")
    assert api.get("/api/v1/alarms").json()["revision"] == 0


def test_two_who_change_alarms_are_told_of_each_other(api, viewer):
    first = api.get("/api/v1/alarms")
    assert (first.headers["etag"], first.json()["document"]) == ('"0"', {"alarms": []})
    tag = {"If-Match": '"0"'}
    changed = api.put("/api/v1/alarms", json={"alarms": [FEW]}, headers=tag)
    assert changed.headers["etag"] == '"1"'
    full = {**FEW, "roi": None, "above": None, "over": 1, "hold": 0.0, "margin": None}
    assert changed.json()["document"] == {"alarms": [full]}
    assert [state["state"] for state in changed.json()["states"]] == ["waiting"]
    assert "revision is 1" in error(api.put("/api/v1/alarms", json={"alarms": []}, headers=tag), 412, "conflict")
    assert viewer.get("/api/v1/alarms").json()["revision"] == 1
    error(viewer.put("/api/v1/alarms", json={"alarms": []}), 403, "forbidden")


def test_alarms_outlive_the_process_and_others_see_them(tmp_path):
    one, two = AlarmFile(StateFolder(tmp_path)), AlarmFile(StateFolder(tmp_path))
    one.write({"alarms": [FEW]})
    assert two.read() == one.read()
    two.write({"alarms": []}, revision=1)
    assert one.read() == Alarms((), 2)
    with pytest.raises(RefusedError, match="revision is 2"):
        one.write({"alarms": []}, revision=1)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"revision": 1, "alarms": [{"name": "a"}]}', b"[" * 100_000, b"\xff"])
def test_a_damaged_file_is_told_and_replaced(app, api, tmp_path, text):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/alarms.json").write_bytes(text)
    told = api.get("/api/v1/alarms").json()
    assert "damaged" in told["trouble"]
    assert told["document"] == {"alarms": []}
    assert api.put("/api/v1/alarms", json={"alarms": [FEW]}).json()["trouble"] == ""


def test_a_folder_that_cannot_be_written_is_told(app, api, tmp_path):
    (tmp_path / "file").write_text("")
    app.state.broker.state = StateFolder(tmp_path / "file")
    message = error(api.put("/api/v1/alarms", json={"alarms": [FEW]}), 409, "wrong_state")
    assert "--state-dir" in message
    assert api.get("/api/v1/alarms").json()["document"] == {"alarms": []}


def test_the_folder_is_that_of_the_user(monkeypatch, tmp_path):
    from crystint.online.state_folder import default_state

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state() == tmp_path / "crystint"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_state() == tmp_path / "home/.local/state/crystint"
    StateFolder(tmp_path / "a/b").changing().__enter__()
    assert os.stat(tmp_path / "a/b").st_mode & 0o777 == 0o700
