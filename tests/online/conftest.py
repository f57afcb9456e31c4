"""A web interface in this process, without a port."""

from __future__ import annotations

import pytest


@pytest.fixture
def control():
    from tests.online.fake_control import FakeControl

    return FakeControl()


@pytest.fixture
def history():
    from crystint.online.history import History

    return History()


@pytest.fixture(scope="session")
def shared_app():
    """Making one takes as long as fifty requests."""
    pytest.importorskip("fastapi", reason="the extra crystint[online] is not installed")
    pytest.importorskip("httpx", reason="httpx is not installed")
    from crystint.online.auth import Access
    from crystint.online.history import History
    from crystint.online.server import create_app
    from tests.online.asgi import TOKENS

    return create_app(None, History(), access=Access(TOKENS))


@pytest.fixture
def app(shared_app, control, history, tmp_path):
    from crystint.online.state_folder import StateFolder

    broker = shared_app.state.broker
    broker.control, broker.history, broker.data_root = control, history, tmp_path
    broker.state, broker.alarms = StateFolder(tmp_path / "state"), None
    broker.access.__post_init__()
    broker.access.failures = 0
    return shared_app


@pytest.fixture
def access():
    from crystint.online.auth import Access
    from tests.online.asgi import TOKENS

    return Access(TOKENS)


def _client(app, role):
    from tests.online.asgi import TOKENS, Client

    return Client(app, None if role is None else getattr(TOKENS, role))


@pytest.fixture
def api(app):
    """Who may change things."""
    with _client(app, "control") as client:
        yield client


@pytest.fixture
def viewer(app):
    """Who may look."""
    with _client(app, "view") as client:
        yield client


@pytest.fixture
def nobody(app):
    """Who has no token."""
    with _client(app, None) as client:
        yield client


@pytest.fixture(scope="module")
def looked_at():
    """A service that took a series of three images, its ring, and the results."""
    from tests.online.looking import served

    with served() as all_of_it:
        yield all_of_it


@pytest.fixture
def images(app, looked_at, history, api):
    """Who may look at these images, and change things."""
    from tests.online.looking import FRAMES
    from tests.online.streams import GEOMETRY, KEY

    service, reader, results = looked_at
    history.begin(KEY, {"shape": list(FRAMES[0].shape), "geometry": GEOMETRY.to_dict()})
    for result in results:
        history.add(KEY, result.row, [result.peaks])
    broker = app.state.broker
    before = broker.control, broker.ring
    broker.control, broker.ring = service, reader
    yield api
    broker.control, broker.ring = before
