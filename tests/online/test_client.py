"""The client and the commands beside a real server on a port of the system."""

from __future__ import annotations

import json
import socket
import threading

import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import RefusedError, SettingError
from crystint.model.rois import Roi
from crystint.online import connect
from crystint.online.auth import Access
from crystint.online.client_text import status_rows
from crystint.online.history import History
from crystint.online.result import RESULT_DTYPE, empty_results
from crystint.online.sink import Event
from crystint.online.watch import watch
from crystint.stream.messages import SeriesKey
from tests.online.asgi import TOKENS
from tests.online.fake_control import FakeControl
from tests.online.web_server import serving

KEY = SeriesKey(7, "abc")


@pytest.fixture(scope="module")
def server():
    """A server in a thread: its application, and its address."""
    pytest.importorskip("uvicorn", reason="the extra crystint[online] is not installed")
    from crystint.online.server import create_app

    app = create_app(FakeControl(), History(), access=Access(TOKENS))
    with serving(app) as address:
        yield app, address


@pytest.fixture
def url(server, control, history, tmp_path):
    app, address = server
    broker = app.state.broker
    broker.control, broker.history, broker.data_root = control, history, tmp_path
    return address


@pytest.fixture
def client(url):
    return connect(url, TOKENS.control)


def test_state_and_settings(client, control):
    assert client.status()["state"] == "idle"
    assert client.start(prefix="a/b")["state"] == "arming"
    assert control.armed == {"prefix": "a/b"}
    assert client.stop()["state"] == "idle"
    assert client.abort()["state"] == "idle"
    assert client.clear_error()["state"] == "idle"
    control.next_image = 17
    applied = client.set(snr=4.5)
    assert (applied.first_image, applied.version, applied.revision) == (17, 2, 2)
    assert client.settings["snr"] == 4.5
    client.set(snr=9.0, dry_run=True)
    assert client.settings["snr"] == 4.5
    with pytest.raises(RefusedError, match="the revision is 2") as refusal:
        client.set(snr=3.0, revision=1)
    assert refusal.value.reason == "conflict"
    with pytest.raises(RefusedError, match="did you mean snr") as refusal:
        client.set(snrr=3.0)
    assert (refusal.value.reason, refusal.value.field) == ("bad_value", "snrr")
    assert client.series()[0]["series"] == "7-abc"


def test_regions_and_mask(client, control):
    box = Roi.box("a", slow=(1, 2), fast=(3, 5))
    client.rois = [box]
    assert client.rois["a"] == box
    assert client.roi_map().shape == control.shape
    mask = np.random.default_rng(1).random(control.shape) < 0.2
    client.set_mask(mask)
    assert np.array_equal(client.mask("user") == 0x100, mask)
    client.set_mask(None)
    assert client.mask().sum() == 1


def test_results_plots_and_events(client, history):
    rows = empty_results(3000)
    rows["n_spots"], rows["shells"] = np.arange(3000), 3
    rows["d_min"][:] = np.nan
    history.begin(KEY, {"grid": {"n_fast": 100}})
    history.add(KEY, rows)
    for number in (1, 2):
        history.event(Event("state", {"n": number}, number, number))
    table = client.results()
    assert table.dtype == RESULT_DTYPE
    assert table.tobytes() == rows.tobytes()
    assert len(client.results(first=10, last=20)) == 10
    assert client.plot("n_spots", bin=1000)["series"][0]["y"].tolist() == [499.5, 1499.5, 2499.5]
    assert client.grid("n_spots")["z"].shape == (30, 100)
    assert [event.number for event in client.events()] == [1, 2]
    with pytest.raises(RefusedError, match="is not remembered"):
        client.results(series="9")


def test_waiting_ends_when_the_results_are_here(client, history):
    with pytest.raises(RefusedError, match=r"after 0.2 s the state is still idle") as refusal:
        client.wait(0.2)  # there was no series yet, or its results are not remembered
    assert refusal.value.reason == "busy"
    history.begin(KEY, {})
    history.add(KEY, empty_results(3))
    with pytest.raises(RefusedError, match="still idle"):
        client.wait(0.2)
    timer = threading.Timer(0.2, lambda: history.end(KEY, {}))
    timer.start()
    assert client.wait(60)["state"] == "idle"
    assert len(client.results()) == 3
    timer.join()


def test_waiting_for_what_is_not_remembered_ends(client, monkeypatch):
    monkeypatch.setattr("crystint.online.client._UNKNOWN_S", 0.2)
    assert client.wait(60)["state"] == "idle"


def test_an_error_ends_the_waiting(client, control):
    control.state = "error"
    with pytest.raises(RefusedError, match="in an error"):
        client.wait(60)


def test_events_are_followed(client, history):
    events = client.events(follow=True)
    timer = threading.Timer(0.1, lambda: history.event(Event("file", {"path": "a.h5"}, 5, 1)))
    timer.start()
    event = next(events)
    timer.join()
    events.close()
    assert (event.name, event.number, event.data) == ("file", 1, {"path": "a.h5"})


def test_results_are_followed_by_the_publisher(client, control, history, tmp_path):
    pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")
    from crystint.online.publish import ResultsPublisher
    from tests.online.made_up import made_up_run, result

    run = made_up_run()
    status = control.status()
    publisher = ResultsPublisher(f"ipc://{tmp_path}/results")
    try:
        control.status = lambda: {**status, "sinks": {"results": {"address": publisher.address}}}
        results = client.results(follow=True)
        publisher.begin(run)
        sending = threading.Event()

        def send():
            number = 0
            while not sending.wait(0.05):
                publisher.results(run, [result(run, number, 2)])
                number += 1

        thread = threading.Thread(target=send)
        thread.start()
        first = next(results)
        sending.set()
        thread.join()
        results.close()
    finally:
        publisher.close()
    assert first.series == KEY
    assert len(first.peaks) == 2
    assert first.roi_names == ("beam",)


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
def test_what_is_no_service_is_told(said):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(RefusedError, match="no service answers at"):
            connect(f"127.0.0.1:{server.getsockname()[1]}", TOKENS.view).status()
        thread.join()
    with pytest.raises(RefusedError, match="no service answers at"):
        connect("http://127.0.0.1:port", TOKENS.view).status()


def test_who_may_not_is_told(url):
    viewer = connect(url, TOKENS.view)
    assert viewer.status()["state"] == "idle"
    with pytest.raises(RefusedError, match="may look") as refusal:
        viewer.abort()
    assert refusal.value.reason == "forbidden"
    with pytest.raises(RefusedError, match="wrong token"):
        connect(url, "x" * 30).status()
    with pytest.raises(RefusedError, match="no service answers"):
        connect("http://127.0.0.1:9", "x" * 30).status()
    with pytest.raises(SettingError, match="no token"):
        connect(url)
    with pytest.raises(SettingError, match="expected an address"):
        connect("ftp://x", "y")
    assert TOKENS.control not in repr(connect(f"{url}/#token={TOKENS.control}"))
    assert connect(f"{url}/#token={TOKENS.control}").stop()["state"] == "idle"


@pytest.fixture
def command(url, tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text(f"control {TOKENS.control}\n")
    path.chmod(0o600)
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        options = ["--url", url, "--token-file", str(path)]
        result = CliRunner().invoke(main, ["online", words[0], *options, *words[1:]])
        assert result.exit_code == code, result.output
        if code:
            assert result.stderr.startswith("crystint: error: ")
            assert len(result.stderr.splitlines()) == 1
        return result.stderr if code else result.stdout

    return run


def test_commands(command, control, tmp_path):
    text = command("status")
    assert "state     idle" in text
    assert "7-abc" in text
    assert json.loads(command("status", "--json"))["state"] == "idle"
    control.state = "measuring"
    assert command("stop") == "idle\n"
    assert command("abort", "-q") == ""
    control.next_image = 12
    assert command("set", "snr=4.5", "hit-peaks=3") == "settings: version 2, from image 12 on\n"
    assert (control.values["snr"], control.values["hit_peaks"]) == (4.5, 3)
    assert json.loads(command("set", "d_min=null", "--json"))["first_image"] == 12
    assert "did you mean snr?" in command("set", "snrr=4", code=2)
    assert "KEY=VALUE" in command("set", "snr", code=2)
    document = {"rois": [{"name": "a", "type": "box", "slow_min": 1, "slow_max": 2, "fast_min": 3, "fast_max": 5}]}
    (tmp_path / "rois.json").write_text(json.dumps(document))
    assert "a: 1 px" in command("roi", "rois.json")
    assert json.loads(command("roi")) == document
    (tmp_path / "bad.json").write_text("{")
    assert "bad.json is not JSON" in command("roi", "bad.json", code=1)
    assert "absent.json" in command("roi", "absent.json", code=1)
    np.save("mask.npy", np.ones(control.shape, np.uint8))
    assert "mask: version" in command("mask", "mask.npy")
    assert control.user.all()
    command("mask", "--remove")
    assert not control.user.any()
    np.save("mask.npy", np.ones((4, 5), np.uint8))
    assert "(4, 5), expected (40, 50)" in command("mask", "mask.npy", code=1)
    assert "--remove" in command("mask", code=2)


def test_the_token_comes_from_the_environment_or_the_address(url, monkeypatch):
    monkeypatch.setenv("CRYSTINT_TOKEN", TOKENS.view)
    monkeypatch.setenv("CRYSTINT_URL", url)
    assert CliRunner().invoke(main, ["online", "status"]).exit_code == 0
    monkeypatch.setenv("CRYSTINT_TOKEN", "x" * 30)
    assert CliRunner().invoke(main, ["online", "status"]).exit_code == 1
    assert CliRunner().invoke(main, ["online", "status", "--url", f"{url}/#token={TOKENS.view}"]).exit_code == 0


def test_watch_prints_lines_and_what_happens(client, history, monkeypatch):
    said = []
    history.event(Event("state", {"to": "idle"}, 1, 1))

    def say(text):
        said.append(text)
        if len(said) == 1:
            history.event(Event("file", {"path": "a.h5"}, 2, 2))
        if len(said) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("crystint.online.watch._LINES", 0.2)
    with pytest.raises(KeyboardInterrupt):
        watch(client, 0.2, terminal=False, say=say)
    assert said[0].startswith("state idle; series 7-abc run; images received 0")
    assert said[1] == "file: path a.h5"


def test_ctrl_c_is_the_way_to_end_watch(url, monkeypatch):
    def interrupted(*_arguments, **_more):
        raise KeyboardInterrupt

    monkeypatch.setenv("CRYSTINT_TOKEN", TOKENS.view)
    monkeypatch.setattr("crystint.online.watch.watch", interrupted)
    result = CliRunner().invoke(main, ["online", "watch", "--url", url])
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_series_that_is_called_as_its_number_is_named_once():
    series = {"series": "7-abc", "name": "7-abc", "books": dict.fromkeys(("received", "analysed"), 0), "files": []}
    status = {"state": "idle", "stalled": False, "series": series}
    rows = status_rows(status)
    assert [next(rows), next(rows)][1] == ("series", "7-abc")


def test_watch_draws_on_a_terminal(client, capsys):
    watch(client, 0.2, seconds=0.5, terminal=True)
    drawn = capsys.readouterr().out
    assert "crystint online: idle" in drawn
    assert "7-abc" in drawn
