"""A server that speaks enough of TDS 7.4 (MS-TDS) for Microsoft's driver. It runs no SQL: it records what a client
sends, and answers as it was told to.

One request of a client is one round trip. A parameter is decoded to its declared type and its value, so that a test
sees what goes over the wire, whatever the driver made of it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import abc
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

_SQL_BATCH, _RPC, _ATTENTION, _TRANSACTION, _LOGIN, _PRELOGIN, _RESPONSE = 0x01, 0x03, 0x06, 0x0E, 0x10, 0x12, 0x04
_PREPARE, _PREPARE_AND_EXECUTE, _EXECUTE, _EXECUTE_SQL, _UNPREPARE = 11, 13, 12, 10, 15
_DONE, _DONE_IN_PROCEDURE, _DONE_PROCEDURE = 0xFD, 0xFF, 0xFE
_SELECT, _UPDATE = 0xC1, 0xC5
_COLLATION = bytes((0x09, 0x04, 0xD0, 0x00, 0x34))
_PACKET_BYTES = 4096


@dataclass(frozen=True)
class Parameter:
    """A parameter as it was declared and sent: `nvarchar(max)`, `varbinary(60)`, `bigint`, …"""

    type: str
    value: Any


@dataclass(frozen=True)
class Call:
    """One statement with its parameters."""

    sql: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Rows:
    """An answer with rows. A column is a name and a type: `int`, `bigint`, `nvarchar`, `varbinary` or `datetime2`."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True)
class Failure:
    """An ERROR token. The connection ends after a `severity` of 20 or more."""

    number: int
    message: str = "refused by the test"
    severity: int = 16


HANG_UP = object()
"""An answer that ends the connection without a word."""

Answer = int | Rows | Failure | object
Respond = abc.Callable[[Call], abc.Sequence[Answer]]


@dataclass
class Recorder:
    """Listens on a port of this machine until it is closed. `respond` gives the results of each statement, in order: a
    number of rows that it changed, rows, or an error."""

    respond: Respond
    login: Failure | None = None
    requests: list[tuple[Call, ...]] = field(default_factory=list)
    """What each round trip carried, the ends of transactions that are no SQL included."""
    _open: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def calls(self) -> list[Call]:
        """Every statement, in order."""
        return [call for request in self.requests for call in request]

    def close(self) -> None:
        """End every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=_Session(self, connection).serve, daemon=True).start()


class _Session:
    def __init__(self, recorder: Recorder, connection: socket.socket) -> None:
        self._recorder = recorder
        self._connection = connection
        self._prepared: dict[int, str] = {}

    def serve(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                kind, body = self._read()
                answer = self._answer(kind, body)
                if answer is None:
                    self._connection.shutdown(socket.SHUT_RDWR)
                    return
                self._write(answer)

    def _answer(self, kind: int, body: bytes) -> bytes | None:
        if kind == _PRELOGIN:
            return _prelogin()
        if kind == _LOGIN:
            refused = self._recorder.login
            return _logged_in() if refused is None else _error(refused) + _done(_DONE, 0x0002)
        if kind == _ATTENTION:
            return _done(_DONE, 0x0020)
        if kind == _TRANSACTION:
            (request,) = struct.unpack_from("<H", body, _headers(body))
            self._recorder.requests.append((Call({5: "(begin)", 7: "(commit)", 8: "(rollback)"}[request]),))
            return _transaction(request) + _done(_DONE, 0)
        if kind == _SQL_BATCH:
            call = Call(body[_headers(body) :].decode("utf-16-le"))
            self._recorder.requests.append((call,))
            return self._results(call, _DONE, 0)
        if kind != _RPC:
            return None  # as a server does that is spoken to in TLS, and knows no TDS 8
        return self._remote_calls(_Reader(body, _headers(body)))

    def _remote_calls(self, reader: _Reader) -> bytes | None:
        """One RPC message: several calls, of which those that only release a plan are no statements."""
        answers, calls = b"", []
        self._recorder.requests.append(())
        while not reader.at_end():
            procedure, parameters = reader.call()
            last = reader.at_end()
            handle = b""
            if procedure in (_PREPARE, _PREPARE_AND_EXECUTE):
                number = len(self._prepared) + 1
                self._prepared[number] = sql = parameters[2].value
                handle = _return_value(number)
                call = None if procedure == _PREPARE else Call(sql, tuple(parameters[3:]))
            elif procedure == _EXECUTE:
                call = Call(self._prepared[parameters[0].value], tuple(parameters[1:]))
            elif procedure == _EXECUTE_SQL:
                call = Call(parameters[0].value, tuple(parameters[2:]))
            else:
                call = None if procedure == _UNPREPARE else Call(f"(procedure {procedure})", tuple(parameters))
            results: bytes | None = b""
            if call is not None:
                calls.append(call)
                self._recorder.requests[-1] = tuple(calls)
                results = self._results(call, _DONE_IN_PROCEDURE, 0x0001)
                if results is None:
                    return None
            status = b"\x79" + struct.pack("<i", 0)
            answers += results + status + handle + _done(_DONE_PROCEDURE, 0x0000 if last else 0x0001)
        return answers

    def _results(self, call: Call, token: int, always: int) -> bytes | None:
        """`always` is the status that every DONE of a procedure's statement has: more is to come."""
        answers = self._recorder.respond(call)
        tokens = b""
        for number, answer in enumerate(answers, 1):
            more = always | (number < len(answers))
            if answer is HANG_UP:
                return None
            if isinstance(answer, Failure):
                return tokens + _error(answer) + _done(token, 0x0002 | always)
            if isinstance(answer, Rows):
                tokens += _rows(answer) + _done(token, 0x0010 | more, len(answer.rows))
            else:
                assert isinstance(answer, int)
                tokens += _done(token, 0x0010 | more, answer, _UPDATE)
        return tokens if answers else _done(token, always)

    def _read(self) -> tuple[int, bytes]:
        body = b""
        while True:
            kind, status, length = struct.unpack(">BBH", self._exactly(8)[:4])
            body += self._exactly(length - 8)
            if status & 1:
                return kind, body

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            part = self._connection.recv(count - len(got))
            if not part:
                raise EOFError
            got += part
        return got

    def _write(self, body: bytes) -> None:
        size = _PACKET_BYTES - 8
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        for number, part in enumerate(parts, 1):
            head = struct.pack(">BBHHBB", _RESPONSE, number == len(parts), len(part) + 8, 1, number & 0xFF, 0)
            self._connection.sendall(head + part)


class _Reader:
    """What an RPC message holds, from left to right."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def at_end(self) -> bool:
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def call(self) -> tuple[int | str, list[Parameter]]:
        length = self.number(2)
        procedure = self.number(2) if length == 0xFFFF else self.take(2 * length).decode("utf-16-le")
        self.take(2)
        parameters = []
        while not self.at_end():
            if self._data[self._at] in (0x80, 0xFF):
                self.take(1)
                break
            self.take(2 * self.number(1) + 1)
            parameters.append(self.parameter())
        return procedure, parameters

    def parameter(self) -> Parameter:
        kind = self.number(1)
        if kind in (0x26, 0x68):
            size = self.number(1)
            name = {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"}[size] if kind == 0x26 else "bit"
            got = self.take(self.number(1))
            return Parameter(name, int.from_bytes(got, "little", signed=size > 1) if got else None)
        if kind in (0xE7, 0xEF, 0xA7, 0xAF, 0xA5, 0xAD):
            return self._sized(kind)
        if kind == 0x2A:
            return Parameter(f"datetime2({(scale := self.number(1))})", self._instant(scale))
        if kind == 0x63:
            self.take(4 + 5)
            length = self.number(4)
            return Parameter("ntext", None if length == 0xFFFFFFFF else self.take(length).decode("utf-16-le"))
        raise AssertionError(f"a parameter of the type {kind:#x}, which keysvc never sends")

    def _sized(self, kind: int) -> Parameter:
        name = {0xE7: "nvarchar", 0xEF: "nchar", 0xA7: "varchar", 0xAF: "char", 0xA5: "varbinary", 0xAD: "binary"}[kind]
        size = self.number(2)
        if kind not in (0xA5, 0xAD):
            self.take(5)
        got = self._in_chunks() if size == 0xFFFF else self._short()
        shown = "max" if size == 0xFFFF else str(size // 2 if name.startswith("n") else size)
        encoding = {"n": "utf-16-le", "v": "cp1252", "c": "cp1252"}[name[0]]
        binary = kind in (0xA5, 0xAD) or got is None
        return Parameter(f"{name}({shown})", got if binary else got.decode(encoding))

    def _short(self) -> bytes | None:
        length = self.number(2)
        return None if length == 0xFFFF else self.take(length)

    def _in_chunks(self) -> bytes | None:
        if self.number(8) == 0xFFFFFFFFFFFFFFFF:
            return None
        got = b""
        while length := self.number(4):
            got += self.take(length)
        return got

    def _instant(self, scale: int) -> datetime | None:
        length = self.number(1)
        if not length:
            return None
        since_midnight = timedelta(microseconds=self.number(length - 3) * 10 ** (6 - scale) if scale <= 6 else 0)
        if scale == 7:
            since_midnight = timedelta(microseconds=int.from_bytes(self._data[self._at - 5 : self._at], "little") // 10)
        return datetime.combine(date.fromordinal(1 + self.number(3)), time()) + since_midnight


def _headers(body: bytes) -> int:
    """The bytes of ALL_HEADERS."""
    length: int = struct.unpack_from("<I", body)[0]
    return length


def _prelogin() -> bytes:
    """No encryption, no MARS."""
    options = ((0, bytes((16, 0, 0, 0, 0, 0))), (1, b"\x02"), (2, b"\0"), (3, b""), (4, b"\0"))
    table, data, at = b"", b"", 5 * len(options) + 1
    for kind, content in options:
        table += struct.pack(">BHH", kind, at + len(data), len(content))
        data += content
    return table + b"\xff" + data


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode("utf-16-le")


def _token(kind: int, content: bytes) -> bytes:
    return struct.pack("<BH", kind, len(content)) + content


def _logged_in() -> bytes:
    program = "Microsoft SQL Server"
    return (
        _token(0xE3, b"\x01" + _text("keysvc") + _text("master"))
        + _token(0xE3, b"\x07" + bytes((5,)) + _COLLATION + b"\0")
        + _token(0xAD, b"\x01" + b"\x74\x00\x00\x04" + _text(program) + bytes((16, 0, 0x10, 0)))
        + _token(0xE3, b"\x04" + _text(str(_PACKET_BYTES)) + _text(str(_PACKET_BYTES)))
        + _done(_DONE, 0)
    )


def _transaction(request: int) -> bytes:
    descriptor = bytes((8,)) + struct.pack("<Q", 1)
    changed = {5: b"\x08" + descriptor + b"\0", 7: b"\x09\0" + descriptor, 8: b"\x0a\0" + descriptor}
    return _token(0xE3, changed[request])


def _done(token: int, status: int, rows: int = 0, command: int = _SELECT) -> bytes:
    return struct.pack("<BHHQ", token, status, command, rows)


def _return_value(number: int) -> bytes:
    return b"\xac\0\0\0\x01" + struct.pack("<IH", 0, 0) + b"\x26\x04\x04" + struct.pack("<i", number)


def _error(failure: Failure) -> bytes:
    message = failure.message
    content = struct.pack("<iBB", failure.number, 1, failure.severity)
    content += struct.pack("<H", len(message)) + message.encode("utf-16-le") + _text("stub") + _text("")
    return _token(0xAA, content + struct.pack("<I", 1))


_TYPES = {
    "int": b"\x26\x04",
    "bigint": b"\x26\x08",
    "nvarchar": b"\xe7\xff\xff" + _COLLATION,
    "varbinary": b"\xa5\xff\xff",
    "datetime2": b"\x2a\x06",
}


def _rows(answer: Rows) -> bytes:
    columns = b"".join(struct.pack("<IH", 0, 1) + _TYPES[kind] + _text(name) for name, kind in answer.columns)
    tokens = struct.pack("<BH", 0x81, len(answer.columns)) + columns
    for row in answer.rows:
        cells = (_cell(kind, value) for (_, kind), value in zip(answer.columns, row, strict=True))
        tokens += b"\xd1" + b"".join(cells)
    return tokens


def _cell(kind: str, value: Any) -> bytes:
    if kind in ("nvarchar", "varbinary"):
        content = value.encode("utf-16-le") if isinstance(value, str) else value
        if value is None:
            return b"\xff" * 8
        chunk = struct.pack("<I", len(content)) + content if content else b""
        return struct.pack("<Q", len(content)) + chunk + bytes(4)
    if value is None:
        return b"\0"
    if kind == "datetime2":
        ticks = round((value - datetime.combine(value.date(), time())) / timedelta(microseconds=1))
        return bytes((8,)) + ticks.to_bytes(5, "little") + (value.toordinal() - 1).to_bytes(3, "little")
    size = 4 if kind == "int" else 8
    return bytes((size,)) + value.to_bytes(size, "little", signed=True)
