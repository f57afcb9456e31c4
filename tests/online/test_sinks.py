"""The sinks that settings ask for."""

from __future__ import annotations

import threading

import pytest

from crystint.errors import SettingError
from crystint.online.settings import ServeSettings
from crystint.online.sinks import sinks_of

ANY = "tcp://127.0.0.1:*"


def test_every_sink_can_be_asked_for(tmp_path):
    settings = ServeSettings(results=ANY, preview=ANY, metadata=ANY, crystfel=ANY, json_lines=str(tmp_path / "x.jsonl"))
    sinks = sinks_of(settings, lambda _event: None)
    for sink in sinks:
        sink.close()
    assert [sink.name for sink in sinks] == ["results", "preview", "metadata", "json_lines", "crystfel"]
    assert sinks_of(ServeSettings(), lambda _event: None) == []


def test_where_one_cannot_be_made_none_is_left(tmp_path):
    before = threading.active_count()
    settings = ServeSettings(results=ANY, json_lines=str(tmp_path / "no" / "x.jsonl"))
    with pytest.raises(SettingError, match="json_lines"):
        sinks_of(settings, lambda _event: None)
    assert threading.active_count() == before


@pytest.mark.parametrize("name", ["results", "preview", "metadata", "crystfel"])
def test_other_machines_must_be_allowed(name):
    with pytest.raises(SettingError, match=f"{name} is .*allow-remote"):
        sinks_of(ServeSettings(**{name: "tcp://*:0"}), lambda _event: None)
    (sink,) = sinks_of(ServeSettings(**{name: "tcp://0.0.0.0:*", "allow_remote": True}), lambda _event: None)
    sink.close()
