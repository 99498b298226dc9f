"""Runs statements and gives back exactly what came over the wire: text of each value, type of each column, SQLSTATE."""

from __future__ import annotations

from dataclasses import dataclass, field

from psycopg import pq

STATEMENT_MS_MAX = 20_000


@dataclass
class Outcome:
    """Rows, or an error."""

    sqlstate: str = ""
    message: str = ""
    types: list[int] = field(default_factory=list)
    rows: list[tuple[str | None, ...]] = field(default_factory=list)
    tag: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.sqlstate)

    def __str__(self) -> str:
        if self.failed:
            return f"{self.sqlstate} {self.message}"
        shown = "\n".join(" | ".join("NULL" if cell is None else cell for cell in row) for row in self.rows[:12])
        return f"{self.tag}, {len(self.rows)} rows, types {self.types}\n{shown}"


class Engine:
    """One session on a server that speaks PostgreSQL's protocol."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.connection = self._connect()

    def _connect(self) -> pq.PGconn:
        connection = pq.PGconn.connect(self.conninfo.encode())
        assert connection.status == pq.ConnStatus.OK, connection.error_message
        for setting in (f"statement_timeout = {STATEMENT_MS_MAX}", "TimeZone = 'UTC'", "client_min_messages = error"):
            connection.exec_(f"SET {setting}".encode())
        return connection

    def run(self, sql: str) -> Outcome:
        result = self.connection.exec_(sql.encode())
        if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            columns = range(result.nfields)
            rows = [tuple(decoded(result.get_value(row, column)) for column in columns) for row in range(result.ntuples)]
            tag = (result.command_status or b"").decode()
            return Outcome(types=[result.ftype(column) for column in columns], rows=rows, tag=tag)
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or self.connection.error_message
        if self.connection.status != pq.ConnStatus.OK:
            return Outcome(sqlstate="08006", message=message.decode(errors="replace"))
        return Outcome(sqlstate=(state or b"?????").decode(), message=message.decode(errors="replace"))

    def must(self, sql: str) -> Outcome:
        outcome = self.run(sql)
        assert not outcome.failed, f"{outcome}\n{sql}"
        return outcome

    def close(self) -> None:
        self.connection.finish()


def decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
