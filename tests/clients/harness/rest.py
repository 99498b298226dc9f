"""A REST client that hides nothing: status, headers and body as they came."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

ANSWER_SECONDS_MAX = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> dict:
        return json.loads(self.text)

    @property
    def results(self) -> list[dict]:
        assert self.status == 200, f"{self.status}: {self.text[:1000]}"
        assert "query_errors" not in self.body, self.text[-1000:]
        return self.body["results"]

    def assert_error(self, status: int, kind: str, message: str = "") -> dict:
        """Every error has a message and a type (rockset.md 1.0)."""
        assert self.status == status, f"{self.status}, expected {status}: {self.text[:1000]}"
        assert self.body["type"] == kind, self.text
        assert message.lower() in self.body["message"].lower(), self.text
        assert self.body["message"], self.text
        return self.body


class Rest:
    """Requests to one server, each on a connection of its own."""

    def __init__(self, address: str, *, api_key: str | None = None) -> None:
        self.address = address
        self.api_key = api_key

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """`body` is sent as it is if it is bytes, else as JSON."""
        all_headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.api_key is not None:
            all_headers["Authorization"] = f"ApiKey {self.api_key}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request(method, path, data, all_headers | (headers or {}))
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read().decode()
            )
        finally:
            connection.close()

    def query(self, sql: str, parameters: list[dict] | None = None, **more: object) -> Answer:
        return self.request("POST", "/v1/orgs/self/queries", {"sql": {"query": sql, "parameters": parameters or [], **more}})

    def add(self, collection: str, documents: list[object], workspace: str = "commons") -> Answer:
        return self.request("POST", docs(workspace, collection), {"data": documents})

    def delete(self, collection: str, keys: list[object], workspace: str = "commons") -> Answer:
        return self.request("DELETE", docs(workspace, collection), {"data": keys})


def docs(workspace: str, collection: str) -> str:
    return f"/v1/orgs/self/ws/{workspace}/collections/{collection}/docs"
