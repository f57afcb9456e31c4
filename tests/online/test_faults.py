"""The script of faults: what is refused, what comes of it."""

from __future__ import annotations

import numpy as np
import pytest

from crystint import SettingError
from crystint.errors import FileError
from crystint.online import Faults
from crystint.online.faults import actions


def _done(images=20, seed=0, first=True, **faults):
    return list(actions(Faults.of(faults), images, seed, first))


def _numbers(done, kind="image"):
    return [action.number for action in done if action.kind == kind]


def test_without_faults_there_is_a_start_every_image_and_an_end():
    done = _done()
    assert [action.kind for action in done] == ["start", *["image"] * 20, "end"]
    assert _numbers(done) == list(range(20))
    assert not any(action.way or action.again or action.late for action in done)


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ({"dorp": 0.1}, "dorp: no such setting (did you mean drop?)"),
        ({"drop": 1.5}, "drop"),
        ({"drop": 3}, "such as [3]"),
        ({"drop": [-1]}, "drop"),
        ({"start": "thrice"}, "once or none or twice|'once', 'none' or 'twice'"),
        ({"silence_s": 0}, "silence_s"),
        ({"corrupt_byte": 200}, "corrupt_byte"),
    ],
)
def test_what_is_no_fault_is_refused_by_name(faults, text):
    with pytest.raises(SettingError) as error:
        Faults.of(faults)
    assert any(part in str(error.value) for part in text.split("|"))


def test_a_script_is_yaml(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text("drop: 0.25\nwrong-shape: [7, 9]\nsilence_at: 4  # one\nend: none\n")
    faults = Faults.read(path)
    assert (faults.drop, faults.wrong_shape, faults.silence_at, faults.end) == (0.25, (7, 9), (4,), "none")
    assert faults.numbers("wrong_shape") == (7, 9)
    assert faults.numbers("drop") == ()
    path.write_text("drop: [")
    with pytest.raises(FileError, match="is not YAML"):
        Faults.read(path)
    path.write_text("- drop")
    with pytest.raises(FileError, match="holds no faults"):
        Faults.read(path)
    with pytest.raises(FileError, match="does not exist"):
        Faults.read(tmp_path / "none.yaml")
    path.write_text("")
    assert Faults.read(path) == Faults()


def test_a_probability_is_kept_to():
    n = 20_000
    done = _done(n, drop=0.1, duplicate=0.05, truncated=0.02)
    dropped, images = len(_numbers(done, "drop")), [a for a in done if a.kind == "image"]
    assert abs(dropped - 0.1 * n) < 5 * np.sqrt(0.1 * n)
    assert abs(sum(a.way == "truncated" for a in images) - 0.9 * 0.02 * n) < 5 * np.sqrt(0.02 * n)
    again = [a.number for a in images if a.again]
    assert abs(len(again) - 0.9 * 0.98 * 0.05 * n) < 5 * np.sqrt(0.05 * n)
    first = {a.number: i for i, a in reversed(list(enumerate(images))) if not a.again}
    assert all(images[first[number]].way == "" for number in again)


def test_a_seed_makes_the_same_series_and_another_one_another():
    faults = {"drop": 0.2, "reorder": 5, "late": 0.1}
    assert _done(200, 3, **faults) == _done(200, 3, **faults)
    assert _done(200, 3, **faults) != _done(200, 4, **faults)


@pytest.mark.parametrize("window", [2, 7, 5000])
def test_images_are_shuffled_among_those_that_follow_each_other(window):
    numbers = np.array(_numbers(_done(9000, reorder=window)))
    assert sorted(numbers) == list(range(9000))
    assert (numbers != np.arange(9000)).mean() > 0.3
    assert (numbers // window == np.arange(9000) // window).all()


def test_late_images_come_after_others_or_after_the_end():
    done = _done(30, late=[4], late_by=10)
    assert _numbers(done, "hold") == [4]
    assert _numbers(done) == [*range(4), *range(5, 15), 4, *range(15, 30)]
    done = _done(30, late=[4, 25], late_s=0.5)
    assert [a.kind for a in done[-4:]] == ["end", "pause", "image", "image"]
    assert [a.number for a in done[-2:]] == [4, 25]
    assert done[-3].seconds == 0.5
    assert _numbers(_done(30, late=[25], late_by=10))[-1] == 25, "beyond the end is after the end"


def test_starts_ends_breaks():
    assert [a.kind for a in _done(2, start="twice", end="none")] == ["start", "start", "image", "image"]
    assert [a.kind for a in _done(1, start="none", end="twice")] == ["image", "end", "end"]
    assert [a.kind for a in _done(9, abort_at=2)] == ["start", "image", "image", "end"]
    assert [a.kind for a in _done(9, restart_at=2)] == ["start", "image", "image"]
    assert len(_numbers(_done(9, restart_at=2, first=False))) == 9
    done = _done(9, silence_at=[3], burst_at=[3, 5], vanish_at=6)
    kinds = [(a.kind, a.number, a.exposing) for a in done if a.kind not in ("image", "start", "end")]
    assert kinds == [("pause", 3, False), ("pause", 3, True), ("pause", 5, True), ("vanish", 6, True)]


def test_repeated_images_come_once_more_with_the_same_or_other_bytes():
    done = _done(50, duplicate=[3, 49], differing=[10])
    again = {a.number: a.way for a in done if a.again}
    assert again == {3: "", 49: "", 10: "other_bytes"}
    assert sorted(_numbers(done)) == sorted([*range(50), 3, 10, 49])
