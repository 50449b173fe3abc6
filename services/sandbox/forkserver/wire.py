"""Messages between the executor and the fork server: one JSON object each, with descriptors beside it.

The sockets are AF_UNIX SOCK_SEQPACKET: a message arrives whole or not at all, and an empty one means that
the other side has gone. Nothing a program wrote travels in a message; that is in the descriptors.
"""

from __future__ import annotations

import json
import socket

MAX_BYTES = 64 << 10
MAX_DESCRIPTORS = 8

Message = dict[str, object]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, descriptors: list[int] | None = None) -> None:
    """Send one message.

    Raises:
        OSError: nobody is at the other end any more.
    """
    data = json.dumps(message).encode("ascii")
    if descriptors:
        socket.send_fds(sock, [data], descriptors)
    else:
        sock.send(data)


def receive(sock: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message and its descriptors (close-on-exec); None when the other side has gone.

    Raises:
        OSError: the socket broke, or its timeout passed.
    """
    data, descriptors, _, _ = socket.recv_fds(sock, MAX_BYTES, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None, descriptors
    message: Message = json.loads(data)
    return message, descriptors
