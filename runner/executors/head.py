"""Is there a Ray head at an address? Ray itself takes minutes to give up."""

from __future__ import annotations

import os
import re
import socket

from zoo.contract import BadInput, JobFailed

_ANSWER_S = 5.0
_AUTO = "auto"
_ADDRESS = re.compile(r"(?P<host>[^\s:/@]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2, and so of gRPC, says first: the preface and empty settings."""
_SETTINGS = 4
"""Frame type of a server's first answer."""


def require_head(address: str) -> None:
    """Raise BadInput for what is no address, JobFailed where nothing that speaks gRPC answers within seconds."""
    if address == _AUTO:
        return
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise BadInput(f"{address!r} is no address of a Ray cluster. Expected HOST:PORT of its head node, or auto.")
    try:
        with socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=_ANSWER_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(_HELLO)
                speaks = len(frame := connection.recv(9)) == 9 and frame[3] == _SETTINGS
            else:
                speaks = True
    except (OSError, UnicodeError) as error:
        raise JobFailed(
            f"No Ray cluster answers at {address} ({error}). Start one with `ray start --head` and pass the address it "
            f"prints, or leave --address out to start one here."
        ) from error
    if not speaks:
        raise JobFailed(f"What answers at {address} is no Ray head. Pass the address that `ray start --head` printed.")
