import socket
from contextlib import ExitStack

import pytest

from atlas.embedded import own_stack
from atlas.errors import StartupError


def test_free_ports_are_free_and_in_a_row() -> None:
    first = own_stack.free_ports(5)
    with ExitStack() as held:
        for port in range(first, first + 5):
            held.enter_context(socket.create_server(("127.0.0.1", port)))


def test_ports_in_use_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        monkeypatch.setattr(own_stack.random, "sample", lambda *_: [port])
        with pytest.raises(StartupError, match="no 3 free ports"):
            own_stack.free_ports(3)
