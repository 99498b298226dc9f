"""The PostgreSQL protocol by hand, to say what no driver would say."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

PROTOCOL_3_0 = 196608
ANSWER_SECONDS_MAX = 20


@dataclass(frozen=True)
class Message:
    kind: str
    body: bytes

    def fields(self) -> dict[str, str]:
        """Of an ErrorResponse or NoticeResponse: severity, SQLSTATE (`C`), message (`M`), position (`P`) and so on."""
        parts = self.body.rstrip(b"\0").split(b"\0")
        return {chr(part[0]): part[1:].decode() for part in parts if part}


class Wire:
    """A connection that sends bytes and reads messages."""

    def __init__(self, port: int, *, is_started: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX)
        self.buffer = b""
        if is_started:
            self.send(startup())
            assert self.until("Z")[-1].body == b"I"

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> Message | None:
        """The next message; `None` when the server closed the connection."""
        head = self._take(5)
        if head is None:
            return None
        (length,) = struct.unpack("!I", head[1:])
        body = self._take(length - 4)
        return None if body is None else Message(chr(head[0]), body)

    def until(self, kind: str) -> list[Message]:
        """All messages up to one of a kind, or up to the end of the connection."""
        return list(self._until(kind))

    def error(self) -> dict[str, str]:
        """The next error."""
        last = self.until("E")[-1]
        assert last.kind == "E", last
        return last.fields()

    def is_closed(self) -> bool:
        """Whether the server closes the connection, after whatever it still sends."""
        try:
            while self.read() is not None:
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _until(self, kind: str) -> Iterator[Message]:
        while (message := self.read()) is not None:
            yield message
            if message.kind == kind:
                return

    def _take(self, size: int) -> bytes | None:
        while len(self.buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken


def startup(protocol: int = PROTOCOL_3_0, **more: str) -> bytes:
    options = {"user": "tester", "database": "outcrop"} | more
    body = struct.pack("!I", protocol) + b"".join(text(name) + text(value) for name, value in options.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def text(value: str | bytes) -> bytes:
    return (value.encode() if isinstance(value, str) else value) + b"\0"


def query(sql: str | bytes) -> bytes:
    return message("Q", text(sql))


def parse(sql: str | bytes, name: str = "", types: tuple[int, ...] = ()) -> bytes:
    return message("P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(values: list[bytes | None], statement: str = "", portal: str = "", format_code: int = 0) -> bytes:
    body = text(portal) + text(statement) + struct.pack("!HHH", 1, format_code, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message("B", body + struct.pack("!H", 0))


def execute(portal: str = "", rows_max: int = 0) -> bytes:
    return message("E", text(portal) + struct.pack("!I", rows_max))


SYNC = message("S")
TERMINATE = message("X")
