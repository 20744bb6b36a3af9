"""Messages between processes: one flat JSON object each, UTF-8, length-prefixed by the connection. Never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

MAX_MESSAGE_BYTES = 64 << 20
"""Largest message: room for the timestamps of a day of video or the paths of 100,000 images."""

RESERVED = frozenset({"type", "request_id", "arrays"})
"""Keys the framing itself uses; the fields of a request or answer must not carry them."""


class ProtocolError(Exception):
    """The other side sent, or this side was asked to send, something that is no message."""


def pack(message: Mapping[str, Any]) -> bytes:
    """The bytes of a message. Raises ProtocolError when a value is no JSON or the whole is too long."""
    try:
        # ASCII output keeps file names with bytes that are no UTF-8 (lone surrogates) intact.
        data = json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"message cannot be written as JSON: {error}") from error
    if len(data) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"message of {len(data)} bytes, at most {MAX_MESSAGE_BYTES} are allowed")
    return data


def unpack(data: bytes) -> dict[str, Any]:
    """The message in `data`. Raises ProtocolError when it is no JSON object with a `type`."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"message is no JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("message is no JSON object with a type")
    return message


def send(connection: Connection, message: Mapping[str, Any]) -> None:
    """Send one message. Raises ProtocolError, OSError when the other side is gone."""
    connection.send_bytes(pack(message))


def receive(connection: Connection) -> dict[str, Any]:
    """Wait for one message. Raises ProtocolError, EOFError or OSError when the other side is gone."""
    return unpack(connection.recv_bytes(MAX_MESSAGE_BYTES))


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raise ValueError when `fields` uses a key of the framing."""
    taken = RESERVED & fields.keys()
    if taken:
        raise ValueError(f"fields must not be called {', '.join(sorted(taken))}")
