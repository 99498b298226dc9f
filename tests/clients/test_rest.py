"""The REST interface, through http.client and curl: queries, documents, errors, and web pages that must stay out."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from harness.rest import Answer, Rest, docs
from harness.servers import OutcropServer

pytestmark = pytest.mark.outcrop_only


@pytest.fixture(scope="module")
def rest(server: OutcropServer) -> Rest:
    return Rest(server.http_address)


@pytest.fixture(autouse=True)
def table(server: OutcropServer) -> Iterator[None]:
    server.psql(
        """
        CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, price numeric(10,2), weight double precision,
                            tags text[], made date, seen timestamptz, detail jsonb, is_new boolean DEFAULT true);
        CREATE TABLE pairs (a int, b text, n int, PRIMARY KEY (a, b));
        """,
        *("-v", "ON_ERROR_STOP=1"),
    )
    yield
    server.psql("DROP TABLE items, pairs;", "-v", "ON_ERROR_STOP=1")


def test_greeting(rest: Rest) -> None:
    answer = rest.request("GET", "/")
    assert answer.status == 200
    assert answer.body["message"] == "GO ROCKSET!"
    assert answer.body["version"]


def test_a_query_tells_its_columns_and_its_position(rest: Rest) -> None:
    rest.add("items", [{"id": 1, "name": "one"}])
    answer = rest.query("SELECT id, name, price FROM items")
    assert answer.results == [{"id": 1, "name": "one", "price": None}]
    assert [column["name"] for column in answer.body["column_fields"]] == ["id", "name", "price"]
    assert answer.body["query_id"] and answer.body["commit_seq"]
    assert answer.body["collections"] == ["commons.items"]
    assert answer.body["stats"]["elapsed_time_ms"] >= 0
    # The Python client refuses a null anywhere outside the results.
    assert all(value is not None for name, value in answer.body.items() if name != "results")


def test_types_as_rockset_writes_them(rest: Rest) -> None:
    answer = rest.query(
        """SELECT 1 AS i, 1.0::double precision AS f, 'x' AS s, true AS b, NULL AS n, date '2024-02-29' AS d,
                  timestamptz '2024-02-29 12:00:00.25+00' AS t, timestamp '2024-02-29 12:00:00' AS dt, '{"a": [1]}'::jsonb AS j,
                  ARRAY[1, 2] AS a"""
    )
    assert answer.results == [
        {
            "i": 1,
            "f": 1.0,
            "s": "x",
            "b": True,
            "n": None,
            "d": {"__rockset_type": "DATE", "value": "2024-02-29"},
            "t": "2024-02-29T12:00:00.250000Z",
            "dt": {"__rockset_type": "DATETIME", "value": "2024-02-29T12:00:00.000000"},
            "j": {"a": [1]},
            "a": [1, 2],
        }
    ]
    assert '"f":1.0' in answer.text.replace(" ", ""), "a float keeps its point"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "20", 20),
        ("int", 20, 20),
        ("float", "2.5", 2.5),
        ("bool", "true", True),
        ("bool", False, False),
        ("string", "it's; -- :x", "it's; -- :x"),
        ("timestamp", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000000Z"),
        ("int", None, None),
    ],
)
def test_named_parameters(rest: Rest, kind: str, value: object, expected: object) -> None:
    answer = rest.query("SELECT :p AS v, ':p' AS quoted", [{"name": "p", "type": kind, "value": value}])
    assert answer.results == [{"v": expected, "quoted": ":p"}]


def test_parameters_in_a_condition(rest: Rest) -> None:
    rest.add("items", [{"id": i, "name": f"n{i}", "price": i / 4} for i in range(10)])
    answer = rest.query(
        "SELECT id FROM items WHERE price > :least AND name <> :name ORDER BY id",
        [{"name": "least", "type": "float", "value": "1.5"}, {"name": "name", "type": "string", "value": "n8"}],
    )
    assert [row["id"] for row in answer.results] == [7, 9]


def test_default_row_limit(rest: Rest) -> None:
    answer = rest.query("SELECT g FROM generate_series(1, 100) AS s(g)", default_row_limit=7)
    assert len(answer.results) == 7
    answer = rest.query("SELECT g FROM generate_series(1, 100) AS s(g) LIMIT 50", default_row_limit=7)
    assert len(answer.results) == 50, "a LIMIT in the text wins"


def test_a_large_result_is_streamed(rest: Rest) -> None:
    answer = rest.query("SELECT g AS n, 'row ' || g AS name FROM generate_series(1, 50000) AS s(g)")
    assert answer.headers.get("transfer-encoding") == "chunked"
    assert [row["n"] for row in answer.results] == list(range(1, 50_001))
    assert answer.body["results_total_doc_count"] == 50_000


def test_an_error_after_the_first_rows_is_told_in_the_body(rest: Rest) -> None:
    answer = rest.query("SELECT 100000 / (g - 40000) AS n FROM generate_series(1, 50000) AS s(g)")
    if answer.status == 200:
        assert answer.body["query_errors"][0]["type"] == "QUERY_ERROR"
        assert "division by zero" in answer.body["query_errors"][0]["message"]
    else:
        answer.assert_error(400, "QUERY_ERROR", "division by zero")


def test_writes_through_a_query(rest: Rest) -> None:
    answer = rest.query("INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b')")
    assert answer.results == [{"num_docs_inserted": 2}]
    assert answer.body["last_offset"]
    assert rest.query("UPDATE items SET name = 'c' WHERE id = 2 RETURNING id, name").results == [{"id": 2, "name": "c"}]


def test_documents_are_added_and_replaced_in_order(rest: Rest) -> None:
    answer = rest.add(
        "items",
        [
            {
                "id": 1,
                "name": "first",
                "price": 1.5,
                "tags": ["a", "b c"],
                "made": "2024-01-02",
                "detail": {"deep": [1, {"x": None}]},
            },
            {"id": 2, "name": "second", "seen": "2024-01-02T03:04:05.678901Z"},
            {"id": 1, "name": "first again", "is_new": False},
        ],
    )
    assert answer.status == 200, answer.text
    assert [(each["_id"], each["status"]) for each in answer.body["data"]] == [("1", "ADDED"), ("2", "ADDED"), ("1", "REPLACED")]
    assert {each["_collection"] for each in answer.body["data"]} == {"commons.items"}
    rows = rest.query("SELECT id, name, price, is_new, seen FROM items ORDER BY id").results
    assert rows[0] == {"id": 1, "name": "first again", "price": None, "is_new": False, "seen": None}, "the last one wins, whole"
    assert rows[1] == {"id": 2, "name": "second", "price": None, "is_new": True, "seen": "2024-01-02T03:04:05.678901Z"}
    assert [each["status"] for each in rest.add("items", [{"id": 2, "name": "third"}]).body["data"]] == ["REPLACED"]


def test_each_bad_document_has_its_own_error(rest: Rest) -> None:
    answer = rest.add(
        "items",
        [
            {"id": 1, "name": "good"},
            {"id": "one", "name": "bad key"},
            {"id": 2},
            {"id": 3, "name": "x", "colour": "red"},
            {"id": 4, "name": "x", "price": "12345678901.00"},
            {"name": "no key"},
            17,
            {"id": 5, "name": "x", "made": "2024-02-30"},
            {"id": 6, "name": "also good", "price": "0.10"},
        ],
    )
    assert answer.status == 200, answer.text
    statuses = [each["status"] for each in answer.body["data"]]
    assert statuses == ["ADDED", *["ERROR"] * 7, "ADDED"]
    for each in answer.body["data"]:
        if each["status"] == "ERROR":
            assert each["error"]["message"] and each["error"]["type"], each
    assert rest.query("SELECT id FROM items ORDER BY id").results == [{"id": 1}, {"id": 6}]


def test_documents_are_deleted_by_key(rest: Rest) -> None:
    rest.add("items", [{"id": i, "name": "x"} for i in range(5)])
    rest.add("pairs", [{"a": 1, "b": "x", "n": 1}, {"a": 1, "b": "y", "n": 2}])
    answer = rest.delete("items", [{"_id": "1"}, {"_id": 2}, {"id": 3}])
    assert [each["status"] for each in answer.body["data"]] == ["DELETED"] * 3, answer.text
    assert rest.query("SELECT id FROM items ORDER BY id").results == [{"id": 0}, {"id": 4}]
    answer = rest.delete("pairs", [{"a": 1, "b": "x"}, {"a": 1}])
    assert [each["status"] for each in answer.body["data"]] == ["DELETED", "ERROR"], answer.text
    assert rest.query("SELECT b FROM pairs").results == [{"b": "y"}]


def test_documents_are_visible_to_sql_at_once(rest: Rest, server: OutcropServer) -> None:
    rest.add("items", [{"id": 1, "name": "one"}])
    assert server.sql("SELECT name FROM items WHERE id = 1") == [("one",)]


def test_collections_are_listed_and_described(rest: Rest) -> None:
    names = {each["name"] for each in rest.request("GET", "/v1/orgs/self/ws/commons/collections").body["data"]}
    assert {"items", "pairs"} <= names
    described = rest.request("GET", "/v1/orgs/self/ws/commons/collections/items").body["data"]
    assert described["name"] == "items" and described["workspace"] == "commons"


def test_errors_have_message_type_and_place(rest: Rest) -> None:
    error = rest.query("SELECT 1,\n  2 +* 3").assert_error(400, "INVALIDINPUT", "syntax error")
    assert (error["line"], error["column"]) == (2, 6), error
    rest.query("SELECT * FROM nowhere").assert_error(400, "INVALIDINPUT", "nowhere")
    error = rest.query("SELECT id, colour FROM items").assert_error(400, "INVALIDINPUT", "colour")
    assert error["sqlstate"] == "42703"
    rest.query("SELECT 1 / 0").assert_error(400, "QUERY_ERROR", "division by zero")
    rest.query("SELECT :missing").assert_error(400, "INVALIDINPUT", "missing")
    rest.query("SELECT :p", [{"name": "p", "type": "int", "value": "twenty"}]).assert_error(400, "QUERY_ERROR", "twenty")
    rest.query("SELECT :p", [{"name": "p", "type": "colour", "value": "x"}]).assert_error(400, "INVALIDINPUT", "colour")
    rest.query("").assert_error(400, "INVALIDINPUT")
    rest.query("SELECT 1; SELECT 2").assert_error(400, "INVALIDINPUT", "one statement")


def test_duplicate_key_by_insert(rest: Rest) -> None:
    rest.add("items", [{"id": 1, "name": "one"}])
    error = rest.query("INSERT INTO items (id, name) VALUES (1, 'two')").assert_error(409, "CONFLICT", "duplicate key")
    assert error["detail"] == "Key (id)=(1) already exists."


def test_bad_requests(rest: Rest) -> None:
    rest.request("POST", "/v1/orgs/self/queries", b"{not json").assert_error(400, "INVALIDINPUT")
    rest.request("POST", "/v1/orgs/self/queries", b'{"sql": {"query": "\xff"}}').assert_error(400, "INVALIDINPUT", "utf-8")
    rest.request("POST", "/v1/orgs/self/queries", {"query": "SELECT 1"}).assert_error(400, "INVALIDINPUT")
    rest.request("POST", docs("commons", "items"), {"data": {"id": 1}}).assert_error(400, "INVALIDINPUT")
    rest.add("nothing", [{"id": 1}]).assert_error(404, "NOTFOUND", "nothing")
    rest.add("items", [{"id": 1}], workspace="elsewhere").assert_error(404, "NOTFOUND", "elsewhere")
    rest.request("GET", "/v1/orgs/self/unheard").assert_error(404, "NOTFOUND")
    rest.request("PUT", "/v1/orgs/self/queries", {}).assert_error(405, "METHODNOTALLOWED")
    error = rest.query("SELECT 'a\x00b'").assert_error(400, rest.query("SELECT 'a\x00b'").body["type"])
    assert error["message"]


def test_a_body_that_is_too_large(server: OutcropServer) -> None:
    """The header alone must be refused: nobody sends 65 MiB to be told no."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as connection:
        head = f"POST {docs('commons', 'items')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {65 << 20}\r\n\r\n"
        connection.sendall(head.encode())
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413"), answer
    assert "CONTENTTOOLARGE" in answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "localhost.evil.example", "rebound.test"])
def test_a_foreign_host_is_refused(rest: Rest, host: str) -> None:
    """A name that someone else can point at 127.0.0.1 (DNS rebinding)."""
    rest.request("GET", "/v1/orgs/self/collections", headers={"Host": host}).assert_error(421, "FORBIDDEN", "host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:8090", "localhost:8090"])
def test_an_own_host_is_served(rest: Rest, host: str) -> None:
    assert rest.request("GET", "/", headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_a_foreign_origin_is_refused(rest: Rest, origin: str) -> None:
    """A web page must not reach a local database: neither read nor write."""
    rest.add("items", [{"id": 1, "name": "stays"}])
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    body = json.dumps({"sql": {"query": "DELETE FROM items"}}).encode()
    rest.request("POST", "/v1/orgs/self/queries", body, headers).assert_error(403, "FORBIDDEN")
    assert rest.query("SELECT count(*) AS n FROM items").results == [{"n": 1}]


def test_curl_as_the_guide_has_it(server: OutcropServer) -> None:
    def curl(*arguments: str) -> dict:
        outcome = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=60, check=True)
        return json.loads(outcome.stdout)

    base = f"http://{server.http_address}/v1/orgs/self"
    json_type = ("-H", "Content-Type: application/json")
    added = curl(f"{base}/ws/commons/collections/items/docs", *json_type, "-d", '{"data":[{"id":3,"name":"eve","price":5}]}')
    assert added["data"][0]["status"] == "ADDED"
    found = curl(f"{base}/queries", *json_type, "-d", '{"sql":{"query":"SELECT count(*) AS n FROM items"}}')
    assert found["results"] == [{"n": 1}]
    gone = curl("-X", "DELETE", f"{base}/ws/commons/collections/items/docs", *json_type, "-d", '{"data":[{"id":3}]}')
    assert gone["data"][0]["status"] == "DELETED"


def test_metrics(rest: Rest) -> None:
    answer = rest.request("GET", "/metrics")
    assert answer.status == 200
    samples = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    assert samples and all(len(line.rsplit(" ", 1)) == 2 and line.startswith("outcrop_") for line in samples), answer.text


# Queries whose rows are fetched later.

QUERIES = "/v1/orgs/self/queries"
ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000) a(i), generate_series(1, 1000000) b(j) WHERE i * j % 7 = 3"


def begin(rest: Rest, sql: str, **more: object) -> Answer:
    return rest.request("POST", QUERIES, {"sql": {"query": sql, "parameters": []}} | more)


def ended(rest: Rest, query_id: str) -> dict:
    deadline = time.monotonic() + 60
    while (info := rest.request("GET", f"{QUERIES}/{query_id}").body["data"])["status"] == "RUNNING":
        assert time.monotonic() < deadline, info
        time.sleep(0.01)
    return info


def test_an_asynchronous_query_is_fetched_in_pages(rest: Rest) -> None:
    answer = begin(rest, "SELECT i FROM generate_series(1, 250) g(i) ORDER BY i", **{"async": True})
    assert answer.status == 200 and answer.body["status"] in ("RUNNING", "COMPLETED"), answer.text
    query_id = answer.body["query_id"]
    info = ended(rest, query_id)
    assert info["status"] == "COMPLETED" and info["sql"].startswith("SELECT i") and info["executed_by"] == "outcrop"
    assert info["stats"]["result_set_document_count"] == 250 and info["submitted_at"].endswith("Z") and info["expires_at"] > info["submitted_at"]
    rows, cursor = [], info["pagination"]["start_cursor"]
    while cursor is not None:
        page = rest.request("GET", f"{QUERIES}/{query_id}/pages?cursor={cursor}&docs=100").body
        assert page["results_total_doc_count"] == 250 and page["pagination"]["current_page_doc_count"] == len(page["results"])
        rows += [row["i"] for row in page["results"]]
        cursor = page["pagination"]["next_cursor"]
    assert rows == list(range(1, 251))
    assert rest.request("GET", f"{QUERIES}/{query_id}/pages?offset=248").body["results"] == [{"i": 249}, {"i": 250}]


def test_a_quick_asynchronous_query_is_answered_at_once(rest: Rest) -> None:
    answer = begin(rest, "SELECT 1 AS one", **{"async": True, "async_options": {"client_timeout_ms": 50_000}})
    assert answer.results == [{"one": 1}] and answer.body["status"] == "COMPLETED"
    assert "next_cursor" not in answer.body["pagination"]
    written = begin(rest, "INSERT INTO items (id, name) VALUES (1, 'later')", **{"async": True, "async_options": {"client_timeout_ms": 50_000}})
    assert written.results == [{"num_docs_inserted": 1}]
    info = rest.request("GET", f"{QUERIES}/{written.body['query_id']}").body
    assert info["last_offset"] == info["data"]["last_offset"] == written.body["last_offset"]


def test_the_first_answer_has_as_many_rows_as_asked(rest: Rest) -> None:
    answer = begin(rest, "SELECT i FROM generate_series(1, 30) g(i) ORDER BY i", max_initial_results=10)
    assert [row["i"] for row in answer.results] == list(range(1, 11))
    assert answer.body["results_total_doc_count"] == 30
    page = rest.request("GET", answer.body["pagination"]["next_page_link"]).body
    assert [row["i"] for row in page["results"]] == list(range(11, 31)) and page["pagination"]["next_cursor"] is None
    begin(rest, "SELECT 1", max_initial_results=100_001).assert_error(400, "INVALIDINPUT", "max_initial_results")


def test_an_asynchronous_query_is_cancelled(rest: Rest) -> None:
    query_id = begin(rest, ENDLESS, **{"async": True}).body["query_id"]
    assert query_id in [info["query_id"] for info in rest.request("GET", QUERIES).body["data"]]
    rest.request("GET", f"{QUERIES}/{query_id}/pages").assert_error(409, "CONFLICT", "running")
    cancelled = rest.request("DELETE", f"{QUERIES}/{query_id}").body["data"]
    assert cancelled["status"] == "CANCELLED"
    rest.request("GET", f"{QUERIES}/{query_id}/pages").assert_error(408, "QUERY_CANCELLED")
    assert query_id not in [info["query_id"] for info in rest.request("GET", QUERIES).body["data"]]


def test_errors_of_asynchronous_queries(rest: Rest) -> None:
    failed = begin(rest, "SELECT 1 / (i - 5) FROM generate_series(1, 9) g(i)", **{"async": True}).body["query_id"]
    info = ended(rest, failed)
    assert info["status"] == "ERROR" and info["query_errors"][0]["type"] == "QUERY_ERROR"
    rest.request("GET", f"{QUERIES}/{failed}/pages").assert_error(400, "QUERY_ERROR", "division by zero")
    at_once = begin(rest, "SELECT nothing FROM items", **{"async": True, "async_options": {"client_timeout_ms": 50_000}})
    assert at_once.assert_error(400, "INVALIDINPUT", "nothing")["column"] == 8
    timed = begin(rest, ENDLESS, timeout_ms=200, **{"async": True}).body["query_id"]
    assert ended(rest, timed)["query_errors"][0]["type"] == "QUERY_TIMEOUT"
    large = begin(rest, "SELECT repeat('x', 1000000) AS x FROM generate_series(1, 200)", **{"async": True}).body["query_id"]
    assert ended(rest, large)["query_errors"][0]["type"] == "RESOURCEEXCEEDED"
    rest.request("GET", f"{QUERIES}/nonsense").assert_error(404, "NOTFOUND")
    rest.request("DELETE", f"{QUERIES}/nonsense").assert_error(404, "NOTFOUND")
    query_id = begin(rest, "SELECT 1 AS one", max_initial_results=1).body["query_id"]
    for query, word in [("cursor=rubbish", "cursor"), ("docs=0", "docs"), ("docs=many", "docs"), ("docs=100001", "docs")]:
        rest.request("GET", f"{QUERIES}/{query_id}/pages?{query}").assert_error(400, "INVALIDINPUT", word)
