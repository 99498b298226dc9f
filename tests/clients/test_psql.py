"""psql, as a person uses it: meta commands, scripts, variables, \\copy, errors with their place, notices.

What psql prints is compared with what PostgreSQL 15 makes it print, except where the name of the default schema stands.
"""

from __future__ import annotations

import gzip
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.servers import Server

SCHEMA_NAMES = ("public", "commons")


@pytest.fixture(scope="module", autouse=True)
def shop(server: Server) -> Iterator[None]:
    server.psql(
        """
        CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, since date, tags text[]);
        CREATE TABLE orders (
            customer int, number smallint, amount numeric(10,2) NOT NULL DEFAULT 0, note varchar(20),
            placed timestamptz DEFAULT now(), paid boolean, detail jsonb,
            PRIMARY KEY (customer, number));
        INSERT INTO customers VALUES (1, 'ada', '2015-12-10', '{first,"a b"}'), (2, 'bob', NULL, NULL), (3, 'ève', '2020-02-29', '{}');
        INSERT INTO orders (customer, number, amount, note, paid, detail, placed) VALUES
            (1, 1, 12.5, 'rush', true, '{"gift": true}', '2024-01-01 10:00:00+00'),
            (1, 2, 7, NULL, false, NULL, '2024-01-02 10:00:00+00'),
            (3, 1, 100.25, 'a,"b"', NULL, '[1, 2]', '2024-01-03 10:00:00+00');
        """,
        "-v",
        "ON_ERROR_STOP=1",
    )
    yield


def output(server: Server, script: str, *arguments: str) -> str:
    """What psql prints, without trailing blanks and with one name for the default schema."""
    outcome = server.psql(textwrap.dedent(script), "-v", "ON_ERROR_STOP=1", *arguments)
    assert outcome.stderr == "", outcome.stderr
    return lines(outcome.stdout)


def lines(text: str) -> str:
    text = text.replace(*SCHEMA_NAMES)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def expected(text: str) -> str:
    return lines(textwrap.dedent(text))


def test_select_is_aligned(server: Server) -> None:
    assert output(server, "SELECT * FROM customers ORDER BY id;") == expected(
        """\
         id | name |   since    |     tags
        ----+------+------------+---------------
          1 | ada  | 2015-12-10 | {first,"a b"}
          2 | bob  |            |
          3 | ève  | 2020-02-29 | {}
        (3 rows)
        """
    )


def test_expanded_output_and_null(server: Server) -> None:
    assert output(
        server,
        "\\x\n\\pset null (null)\nSELECT number, amount, note, paid, detail FROM orders WHERE customer = 1 ORDER BY number;",
    ) == expected(
        """\
        Expanded display is on.
        Null display is "(null)".
        -[ RECORD 1 ]----------
        number | 1
        amount | 12.50
        note   | rush
        paid   | t
        detail | {"gift": true}
        -[ RECORD 2 ]----------
        number | 2
        amount | 7.00
        note   | (null)
        paid   | f
        detail | (null)
        """
    )


def test_command_tags(server: Server) -> None:
    script = """
        CREATE TABLE tags (a int PRIMARY KEY, b text);
        INSERT INTO tags VALUES (1, 'x'), (2, 'y'), (3, 'z');
        INSERT INTO tags VALUES (3, 'again'), (4, 'new') ON CONFLICT DO NOTHING;
        INSERT INTO tags VALUES (3, 'again') ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b || tags.b RETURNING *;
        UPDATE tags SET b = upper(b) WHERE a < 3;
        DELETE FROM tags WHERE b = 'none';
        DELETE FROM tags WHERE a > 3 RETURNING a, b;
        TRUNCATE tags;
        CREATE TABLE IF NOT EXISTS fresh (a int PRIMARY KEY);
        DROP TABLE fresh, tags;
        BEGIN;
        SELECT 1 AS one;
        COMMIT;
    """
    assert output(server, script) == expected(
        """\
        CREATE TABLE
        INSERT 0 3
        INSERT 0 1
         a |   b
        ---+--------
         3 | againz
        (1 row)

        INSERT 0 1
        UPDATE 2
        DELETE 0
         a |  b
        ---+-----
         4 | new
        (1 row)

        DELETE 1
        TRUNCATE TABLE
        CREATE TABLE
        DROP TABLE
        BEGIN
         one
        -----
           1
        (1 row)

        COMMIT
        """
    )


def test_describe_a_table(server: Server) -> None:
    title, *found = output(server, "\\d orders").splitlines()
    assert title.strip() == 'Table "commons.orders"'
    assert "\n".join(found) == expected(
        """\
          Column  |           Type           | Collation | Nullable | Default
        ----------+--------------------------+-----------+----------+---------
         customer | integer                  |           | not null |
         number   | smallint                 |           | not null |
         amount   | numeric(10,2)            |           | not null | 0
         note     | character varying(20)    |           |          |
         placed   | timestamp with time zone |           |          | now()
         paid     | boolean                  |           |          |
         detail   | jsonb                    |           |          |
        Indexes:
            "orders_pkey" PRIMARY KEY, btree (customer, number)
        """
    )


def test_an_altered_table_is_described_as_it_is_now(server: Server) -> None:
    script = """
        CREATE TABLE parts (id smallint PRIMARY KEY, name varchar(5), gone int, price real NOT NULL);
        INSERT INTO parts VALUES (1, 'bolt', 1, 0.5);
        ALTER TABLE parts ADD COLUMN stock int NOT NULL DEFAULT 7, DROP COLUMN gone, ALTER COLUMN name TYPE text,
            ALTER COLUMN price TYPE double precision, ALTER COLUMN price DROP NOT NULL, ALTER COLUMN id TYPE bigint;
        ALTER TABLE parts RENAME COLUMN name TO label;
        COMMENT ON TABLE parts IS 'what is in the boxes';
        COMMENT ON COLUMN parts.label IS 'as printed';
    """
    assert output(server, script, "-q") == ""
    assert output(server, "SELECT * FROM parts;") == expected(
        """\
         id | label | price | stock
        ----+-------+-------+-------
          1 | bolt  |   0.5 |     7
        (1 row)
        """
    )
    _, *found = output(server, "\\d parts").splitlines()
    assert "\n".join(found) == expected(
        """\
         Column |       Type       | Collation | Nullable | Default
        --------+------------------+-----------+----------+---------
         id     | bigint           |           | not null |
         label  | text             |           |          |
         price  | double precision |           |          |
         stock  | integer          |           | not null | 7
        Indexes:
            "parts_pkey" PRIMARY KEY, btree (id)
        """
    )
    described = output(server, "\\d+ parts")
    assert "as printed" in next(line for line in described.splitlines() if line.startswith(" label"))
    assert "what is in the boxes" in output(server, "\\dt+ parts")
    numbers = "SELECT attname, attnum FROM pg_attribute WHERE attrelid = 'parts'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 2;"
    assert output(server, numbers, "-At") == "id|1\nlabel|2\nprice|4\nstock|5"
    skipped = server.psql("ALTER TABLE parts DROP COLUMN IF EXISTS gone; ALTER TABLE IF EXISTS nowhere ADD a int; ALTER TABLE parts ADD COLUMN IF NOT EXISTS stock int;")
    assert skipped.stderr.splitlines() == [
        'NOTICE:  column "gone" of relation "parts" does not exist, skipping',
        'NOTICE:  relation "nowhere" does not exist, skipping',
        'NOTICE:  column "stock" of relation "parts" already exists, skipping',
    ]
    assert skipped.stdout.split() == ["ALTER", "TABLE"] * 3
    assert output(server, "DROP TABLE parts;", "-q") == ""


def test_lists_of_tables_schemas_and_databases(server: Server) -> None:
    tables = output(server, "\\dt")
    assert squeezed("commons | customers | table | tester") in squeezed(tables)
    assert squeezed("commons | orders | table | tester") in squeezed(tables)
    assert "orders" in output(server, "\\dt ord*")
    assert "customers" not in output(server, "\\dt ord*")
    assert "commons" in output(server, "\\dn")
    assert "outcrop" in output(server, "\\l")
    assert "customers" in output(server, "\\d")


@pytest.mark.parametrize(
    "command",
    ["\\dt+", "\\d+ orders", "\\dv", "\\di", "\\ds", "\\du", "\\df", "\\dx", "\\dp", "\\dT", "\\dn+", "\\l+", "\\db", "\\z", "\\conninfo", "\\encoding"],
)
def test_meta_commands_do_not_fail(server: Server, command: str) -> None:
    outcome = server.psql(command, "-v", "ON_ERROR_STOP=1")
    assert "ERROR" not in outcome.stderr, outcome.stderr


def test_a_name_that_is_not_there(server: Server) -> None:
    assert server.psql("\\d nothing_here").stderr == 'Did not find any relation named "nothing_here".\n'


def test_variables_and_conditions(server: Server) -> None:
    script = """
        \\set who 'ada'
        SELECT id, :'who' AS who FROM customers WHERE name = :'who';
        SELECT count(*) AS orders FROM orders \\gset
        \\echo :orders orders
        SELECT :orders > 2 AS is_many \\gset
        \\if :is_many
        SELECT 'many' AS answer;
        \\else
        SELECT 'none' AS answer;
        \\endif
        \\echo :ROW_COUNT :SQLSTATE
    """
    assert output(server, script, "-A", "-t") == "1|ada\n3 orders\nmany\n1 00000"


def test_prepared_statements(server: Server) -> None:
    script = """
        PREPARE find (int) AS SELECT name FROM customers WHERE id = $1;
        EXECUTE find(2);
        DEALLOCATE find;
    """
    assert output(server, script, "-A", "-t") == "PREPARE\nbob\nDEALLOCATE"


def test_copy_in_and_out(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text('id,name,born\n1,"Hopper, Grace",1906-12-09\n2,"says ""hi""",\n3,"two\nlines",1815-12-10\n')
    script = f"""
        CREATE TABLE people (id bigint PRIMARY KEY, name text, born date);
        \\copy people FROM '{source}' WITH (FORMAT csv, HEADER)
        COPY people TO STDOUT;
        COPY (SELECT name, born FROM people WHERE id = 2) TO STDOUT WITH (FORMAT csv, HEADER, NULL 'none');
        \\copy (SELECT * FROM people ORDER BY id) TO '{tmp_path / "out.csv"}' WITH (FORMAT csv, HEADER)
        COPY people (id, name) FROM STDIN;
        4\tfour\\tfields
        5\t\\N
        \\.
        SELECT id, name FROM people WHERE id > 3 ORDER BY id;
        DROP TABLE people;
    """
    found = output(server, script, "-A", "-t")
    assert found.splitlines() == [
        "CREATE TABLE",
        "COPY 3",
        "1\tHopper, Grace\t1906-12-09",
        '2\tsays "hi"\t\\N',
        "3\ttwo\\nlines\t1815-12-10",
        "name,born",
        '"says ""hi""",none',
        "COPY 3",
        "COPY 2",
        "4|four\tfields",
        "5|",
        "DROP TABLE",
    ]
    assert (tmp_path / "out.csv").read_text() == source.read_text()


def test_an_error_points_at_its_place(server: Server) -> None:
    outcome = server.psql("SELECT 1 +;\nSELECT name, nme FROM customers;\nSELECT * FROM nowhere;\n", check=False)
    assert outcome.returncode == 0
    errors = lines(outcome.stderr)
    assert 'ERROR:  syntax error at or near ";"\nLINE 1: SELECT 1 +;\n                  ^' in errors, errors
    assert 'ERROR:  column "nme" does not exist\nLINE 1: SELECT name, nme FROM customers;\n                     ^' in errors, (
        errors
    )
    assert 'ERROR:  relation "nowhere" does not exist\nLINE 1: SELECT * FROM nowhere;\n                      ^' in errors, errors


def test_detail_and_state_of_a_violation(server: Server) -> None:
    outcome = server.psql("\\set VERBOSITY verbose\nINSERT INTO customers VALUES (1, 'double');\n", check=False)
    assert 'ERROR:  23505: duplicate key value violates unique constraint "customers_pkey"' in outcome.stderr
    assert "DETAIL:  Key (id)=(1) already exists." in outcome.stderr
    outcome = server.psql("INSERT INTO customers VALUES (9, NULL);\n", check=False)
    assert 'ERROR:  null value in column "name" of relation "customers" violates not-null constraint' in outcome.stderr


def test_a_failing_script_stops_with_code_3(server: Server) -> None:
    outcome = server.psql("SELECT 1;\nSELECT 1/0;\nSELECT 2 AS never;\n", "-v", "ON_ERROR_STOP=1", check=False)
    assert outcome.returncode == 3
    assert "division by zero" in outcome.stderr
    assert "never" not in outcome.stdout


def test_a_notice_is_shown(server: Server) -> None:
    outcome = server.psql("CREATE TABLE IF NOT EXISTS customers (id int PRIMARY KEY);\nDROP TABLE IF EXISTS never_there;\n")
    assert 'NOTICE:  relation "customers" already exists, skipping' in outcome.stderr
    assert 'NOTICE:  table "never_there" does not exist, skipping' in outcome.stderr


def test_a_read_block_is_one_snapshot(server: Server) -> None:
    with server.connect() as reader, server.connect() as writer:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = reader.execute("SELECT count(*) FROM orders").fetchall()
        writer.execute("INSERT INTO orders (customer, number) VALUES (77, 1)")
        assert reader.execute("SELECT count(*) FROM orders").fetchall() == before
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM orders").fetchall() == [(before[0][0] + 1,)]
        writer.execute("DELETE FROM orders WHERE customer = 77")


@pytest.mark.outcrop_only
def test_a_write_in_a_block_is_refused_with_a_hint(server: Server) -> None:
    outcome = server.psql(
        "BEGIN;\nINSERT INTO customers VALUES (50, 'block');\nSELECT 1;\nROLLBACK;\n", "-v", "VERBOSITY=verbose", check=False
    )
    assert "ERROR:  0A000:" in outcome.stderr and "HINT:" in outcome.stderr
    assert "25P02" in outcome.stderr
    assert server.sql("SELECT count(*) FROM customers WHERE id = 50") == [(0,)]


@pytest.mark.outcrop_only
def test_two_writes_in_one_message_are_refused(server: Server) -> None:
    outcome = server.psql(
        "",
        "-v",
        "VERBOSITY=verbose",
        "-c",
        "INSERT INTO customers VALUES (60, 'a'); INSERT INTO customers VALUES (61, 'b')",
        check=False,
    )
    assert "ERROR:  0A000:" in outcome.stderr, outcome.stderr
    assert server.sql("SELECT count(*) FROM customers WHERE id IN (60, 61)") == [(0,)]


def test_a_single_transaction_of_reads(server: Server) -> None:
    outcome = server.psql("SELECT count(*) FROM customers;\nSELECT 2;\n", "-1", "-A", "-t", "-v", "ON_ERROR_STOP=1")
    assert outcome.stdout.split() == ["3", "2"]


def test_explain_shows_a_plan(server: Server) -> None:
    found = output(server, "EXPLAIN SELECT * FROM orders WHERE customer = 1;")
    assert "QUERY PLAN" in found and "orders" in found


def test_settings(server: Server) -> None:
    script = """
        SET timezone = 'America/New_York';
        SHOW timezone;
        SELECT placed FROM orders WHERE customer = 1 AND number = 1;
        RESET timezone;
        SET application_name = 'clerk';
        SHOW application_name;
        SHOW server_version_num;
    """
    found = output(server, script, "-A", "-t").splitlines()
    assert found[:6] == ["SET", "America/New_York", "2024-01-01 05:00:00-05", "RESET", "SET", "clerk"]
    assert found[6].startswith("15")


def test_a_large_result_arrives_whole(server: Server) -> None:
    found = output(server, "COPY (SELECT g FROM generate_series(1, 200000) AS s(g)) TO STDOUT;", "-A", "-t")
    assert found.split() == [str(number) for number in range(1, 200_001)]


@pytest.mark.outcrop_only
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_load_creates_the_table_it_describes(server: Server, tmp_path: Path, suffix: str) -> None:
    table = "loaded" + suffix.replace(".", "_")
    text = "id,when,price,open,name\n" + "".join(
        f"{i},2024-01-{i:02},{i}.5,{'true' if i % 2 else 'false'},n{i}\n" for i in range(1, 29)
    )
    path = tmp_path / f"data{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    server.load(path, table, ["id"])
    found = server.sql(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position", [table]
    )
    assert found == [("id", "bigint"), ("when", "date"), ("price", "double precision"), ("open", "boolean"), ("name", "text")]
    assert server.sql(f'SELECT count(*), min("when")::text, sum(price) FROM {table}') == [(28, "2024-01-01", 420.0)]


def squeezed(text: str) -> str:
    return " ".join(text.split())
