"""A detector that is asked how many images it dropped, and what it may answer."""

from __future__ import annotations

import socket
import threading

import pytest

from crystint.online.dropped import dropped_images

HEAD = b"HTTP/1.0 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"no HTTP\r\n\r\n", "BadStatusLine"),
        (HEAD + b"[]", "TypeError"),
        (HEAD + b"{}", "KeyError"),
        (HEAD + b"[" * 9000, "RecursionError"),
        (HEAD + b'{"value": -1}', "-1"),
    ],
)
def test_another_answer_is_an_error_in_words(answer, text):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ValueError, match=text):
            dropped_images(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
