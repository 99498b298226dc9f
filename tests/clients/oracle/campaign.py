"""Cases: a seed gives tables, changes and queries; every oracle looks on, and what fails is cut down."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from . import judges, reduce, schema, values
from .changes import Changes
from .compare import Difference
from .judges import Counts, Engines, Judge
from .queries import Queries
from .schema import Column, Table
from .tree import Node

STAGES = 4
CHANGES = 4
QUERIES = 14
KEPT = 5


@dataclass
class Finding:
    """A mismatch, cut down."""

    seed: int
    place: str
    difference: Difference
    script: str

    def __str__(self) -> str:
        line = f"python tests/clients/run_oracle.py --seed {self.seed} --only {self.place}"
        return f"== {self.difference.kind}    ({line})\n{self.script}\n{self.difference.words}\n"


@dataclass
class Case:
    """One seed on two servers."""

    seed: int
    engines: Engines
    counts: Counts
    restart: Callable[[], None] | None = None
    only: str = ""
    reducing: bool = True
    seen: set[str] = field(default_factory=set)
    """Errors that were reported; shared by the cases of a run."""
    stages: int = STAGES
    queries: int = QUERIES
    findings: list[Finding] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def run(self) -> list[Finding]:
        self.fresh()
        for stage in range(self.stages):
            for number in range(CHANGES if stage else 2):
                if not self.change(f"{stage}.c{number}"):
                    return self.findings
            kept = [kept for number in range(self.queries) if (kept := self.query(f"{stage}.q{number}"))]
            self.maintain(f"{stage}.m", kept[:KEPT])
        return self.findings

    def chance(self, place: str) -> random.Random:
        return random.Random(f"{self.seed} {place}")

    def fresh(self) -> None:
        chance = self.chance("schema")
        self.tables = schema.tables(chance)
        for place in range(3):
            self.engines.must(f"DROP TABLE IF EXISTS t{place}")
        for table in self.tables:
            self.engines.must(table.create())
            rows = table.rows(chance, chance.choice((0, 1, 5, 20, 40)))
            for start in range(0, len(rows), 20):
                twice = " ON CONFLICT DO NOTHING" if table.keys else ""
                self.engines.must(f"INSERT INTO {table.name} VALUES {', '.join(rows[start : start + 20])}{twice}")

    # Changes

    def change(self, place: str) -> bool:
        """Runs a change on both; afterwards the table is the same. False if that broke."""
        chance = self.chance(place)
        tree, table = Changes(chance, self.tables).statement()
        sql = tree.sql()
        outcrop, postgres = self.engines.both(sql)
        self.counts["changes"] += 1
        found = judges.changed(self.engines, outcrop, postgres, sql, table.name, self.counts)
        if found is None:
            return True
        if found.kind.startswith("meant"):
            self.counts[found.kind] += 1
        elif not self.is_repeated(found):
            self.findings.append(Finding(self.seed, place, found, f"{table.create()};\n{sql};"))
        return self.resynchronised(table)

    def resynchronised(self, table: Table) -> bool:
        """After a difference, Outcrop takes PostgreSQL's rows."""
        try:
            self.engines.outcrop.must(f"TRUNCATE {table.name}")
            rows = self.engines.postgres.must(f"SELECT * FROM {table.name}").rows
            for row in rows:
                self.engines.outcrop.must(f"INSERT INTO {table.name} VALUES ({cells(row)})")
        except AssertionError:
            return False
        return True

    # Queries

    def query(self, place: str) -> Node | None:
        """Runs one query past its oracle. Gives it back if its answer is worth asking again."""
        if self.only and self.only != place:
            return None
        chance = self.chance(place)
        queries = Queries(chance, self.tables)
        kind = chance.random()
        engines, outcrop = self.engines, self.engines.outcrop
        if kind < 0.58:
            made = queries.query()
            self.judge(
                place, "PostgreSQL", made.node, judges.against_postgres(engines, self.counts, ordered=made.ordered, certain=False)
            )
            return made.node
        if kind < 0.72:
            made = queries.projection()
            self.judge(
                place, "PostgreSQL, errors", made.node, judges.against_postgres(engines, self.counts, ordered=False, certain=True)
            )
        elif kind < 0.8:
            self.judge(place, "TLP", judges.partitioned(chance, queries), judges.partition(outcrop), 4)
        elif kind < 0.84:
            self.judge(place, "TLP of aggregates", judges.folding(chance, queries), judges.folded(outcrop), 2)
        elif kind < 0.88:
            self.judge(place, "TLP of HAVING", judges.grouping(chance, queries), judges.having(outcrop), 4)
        elif kind < 0.94:
            self.judge(place, "NoREC", judges.partitioned(chance, queries), judges.unoptimised(outcrop), 2)
        else:
            self.judge(place, "access paths", queries.select().node, judges.paths(outcrop), 3)
        return None

    def judge(self, place: str, oracle: str, tree: Node, judge: Judge, queries: int = 1) -> None:
        self.counts["oracle queries"] += queries
        self.counts[f"by {oracle}"] += 1
        found = judge(tree)
        if found is None or self.is_repeated(found):
            return
        if not self.reducing:
            self.findings.append(Finding(self.seed, place, found, tree.sql()))
            return

        def fails(trial: Node) -> bool:
            again = judge(trial)
            return again is not None and again.kind == found.kind

        smaller = reduce.smallest(tree, fails)
        script = self.script(smaller, lambda: fails(smaller))
        self.findings.append(Finding(self.seed, place, judge(smaller) or found, script))

    def is_repeated(self, found: Difference) -> bool:
        """Whether an error like this was reported before. Wrong rows never look alike."""
        if found.kind in ("rows", "partition", "count"):
            return False
        words = re.sub(r"\d+|'.*?'|\".*?\"", "", found.words.split("\n")[0])
        key = f"{found.kind} {words}" if found.kind.split()[0] in ("error", "leak", "internal", "sqlstate") else found.kind
        if key in self.seen:
            self.counts[f"again: {key[:100]}"] += 1
            return True
        self.seen.add(key)
        return False

    # Maintenance

    def maintain(self, place: str, kept: list[Node]) -> None:
        """What must not change an answer: the same queries before and after."""
        chance = self.chance(place)
        outcrop = self.engines.outcrop
        texts = [node.sql() for node in kept]
        before = [outcrop.run(text) for text in texts]
        table = chance.choice(self.tables)
        work = chance.choice(("compact", "compact", "add column", "drop column", "restart"))
        if work == "restart" and self.restart is None:
            work = "compact"
        if work == "compact":
            outcrop.must(f"SELECT outcrop.compact('{table.name}')")
        elif work == "restart" and self.restart is not None:
            self.restart()
        elif work == "add column":
            self.add_column(chance, table)
        else:
            added = [column for column in table.columns if column.name.startswith("z")]
            if added:
                self.engines.must(f"ALTER TABLE {table.name} DROP COLUMN {added[0].name}")
                table.columns.remove(added[0])
        for text, old in zip(texts, before, strict=True):
            if work == "drop column" and re.search(r"\.z\d", text):
                continue
            self.counts["oracle queries"] += 1
            self.counts[f"by {work}"] += 1
            found = judges.same_answer(old, self.engines.outcrop.run(text), f"after {work}")
            if found:
                self.findings.append(Finding(self.seed, place, found, text))

    def add_column(self, chance: random.Random, table: Table) -> None:
        number = 1 + max((int(column.name[1:]) for column in table.columns if column.name.startswith("z")), default=0)
        type_name = chance.choice(("int4", "text", "float8", "timestamp", "numeric"))
        column: Column = schema.column(chance, f"z{number}", type_name)
        column.not_null = False
        value = values.quoted(values.fitting(chance, column.declared, type_name, wild=True))
        default = "" if chance.random() < 0.5 else f" DEFAULT {value}"
        self.engines.must(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.declared}{default}")
        table.columns.append(column)

    # The smallest rows

    def script(self, tree: Node, fails: Callable[[], bool]) -> str:
        """Tables, rows and the query: as few rows as still fail in tables made for them."""
        pieces = [part if isinstance(part, str) else part.sql() for part in tree.parts]
        sql = "\n-- and: ".join(pieces) if tree.tags else tree.sql()
        used = [table for table in self.tables if re.search(rf"\b{table.name}\b", tree.sql())]
        contents = [(table, row) for table in used for row in self.engines.postgres.must(f"SELECT * FROM {table.name}").rows]

        def statements(rows: list[tuple[Table, tuple]]) -> list[str]:
            made = [table.create() for table in used]
            for table in used:
                mine = [f"({cells(row)})" for owner, row in rows if owner is table]
                if mine:
                    made.append(f"INSERT INTO {table.name} VALUES {', '.join(mine)}")
            return made

        def still(rows: list[tuple[Table, tuple]]) -> bool:
            for table in used:
                self.engines.must(f"DROP TABLE IF EXISTS {table.name}")
            for statement in statements(rows):
                self.engines.must(statement)
            return fails()

        self.engines.must("CREATE SCHEMA IF NOT EXISTS reduced")
        self.engines.must("SET search_path = reduced")
        try:
            if not still(contents):
                return f"-- only with the history of this seed\n{sql};"
            return ";\n".join([*statements(reduce.fewest(contents, still)), sql]) + ";"
        finally:
            for table in used:
                self.engines.must(f"DROP TABLE IF EXISTS {table.name}")
            self.engines.must("RESET search_path")


def cells(row: tuple[str | None, ...]) -> str:
    return ", ".join("NULL" if cell is None else values.quoted(cell) for cell in row)
