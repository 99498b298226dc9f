"""The oracles: each tells whether a statement fails it, and runs again on every smaller one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from . import compare, grammar, values
from .compare import Declared, Difference, declared, difference
from .engines import Engine, Outcome
from .expressions import Expressions, Leaf
from .queries import PLAIN, Queries
from .tree import Node, listed, plain

# A condition is true, false or unknown.
THIRDS = ("({})", "NOT ({})", "({}) IS NULL")

Judge = Callable[[Node], Difference | None]


@dataclass
class Engines:
    """The database under test and its judge."""

    outcrop: Engine
    postgres: Engine

    def both(self, sql: str) -> tuple[Outcome, Outcome]:
        return self.outcrop.run(sql), self.postgres.run(sql)

    def must(self, sql: str) -> None:
        self.outcrop.must(sql)
        self.postgres.must(sql)


class Counts(Counter[str]):
    """What ran, by oracle."""


def against_postgres(engines: Engines, counts: Counts, *, ordered: bool, certain: bool) -> Judge:
    """The same rows, types and errors as PostgreSQL 15."""

    def judge(tree: Node) -> Difference | None:
        sql = tree.sql()
        outcrop, postgres = engines.both(sql)
        still_ordered = ordered and " ORDER BY " in sql
        found = difference(outcrop, postgres, sql, ordered=still_ordered, certain=certain)
        counts["rows seen"] += len(outcrop.rows)
        counts["both raise an error"] += outcrop.failed and postgres.failed
        if found is None:
            return None
        meant: Declared | None = declared(found, outcrop, postgres, sql)
        if meant:
            counts[f"declared: {meant.sentence}"] += 1
            return None
        return found

    return judge


def same_answer(before: Outcome, after: Outcome, words: str) -> Difference | None:
    """An answer of Outcrop's that nothing should have changed."""
    if before.failed or after.failed:
        if before.sqlstate[:2] == after.sqlstate[:2] or "22" in (before.sqlstate[:2], after.sqlstate[:2]):
            return None
        return Difference(f"{words} error", f"before: {before}\nafter: {after}")
    found = compare.rows_differ(after, before, ordered=False) if before.types == after.types else "types"
    return Difference(words, f"{found}\nbefore: {before}\nafter: {after}") if found else None


def paths(engine: Engine) -> Judge:
    """The same rows by every access path."""

    def judge(tree: Node) -> Difference | None:
        sql = tree.sql()
        before = engine.run(sql)
        for path in ("scan", "key"):
            engine.must(f"SET outcrop.access_path = {path}")
            after = engine.run(sql)
            engine.must("RESET outcrop.access_path")
            if path == "key" and after.sqlstate == "0A000":
                continue
            found = same_answer(before, after, f"path {path}")
            if found:
                return found
        return None

    return judge


def parts(*nodes: Node) -> Node:
    """Pieces of several statements, which an oracle puts together."""
    made = plain(*nodes)
    made.tags = frozenset({"parts"})
    return made


def partitioned(chance: random.Random, queries: Queries) -> Node:
    """Columns, a relation and a condition, for [`partition`]."""
    relation = queries.relation(2)
    drawn = Expressions(chance, relation.leaves)
    types = [chance.choice(PLAIN) for _ in range(chance.randint(1, 3))]
    return parts(listed([drawn.draw(each, 1) for each in types]), relation.node, drawn.draw("bool", 3))


def partition(engine: Engine) -> Judge:
    """TLP: rows with the condition, without it, and where it is unknown are all rows."""

    def judge(tree: Node) -> Difference | None:
        items, relation, condition = (part if isinstance(part, str) else part.sql() for part in tree.parts)
        whole = engine.run(f"SELECT {items} FROM {relation}")
        parts = [engine.run(f"SELECT {items} FROM {relation} WHERE {test.format(condition)}") for test in THIRDS]
        return united(whole, parts)

    return judge


def united(whole: Outcome, parts: list[Outcome]) -> Difference | None:
    bad = next((each for each in [whole, *parts] if each.failed and each.sqlstate[:2] in ("XX", "08", "57", "58")), None)
    if bad:
        return Difference(f"internal {bad.sqlstate}", str(bad))
    if whole.failed or any(each.failed for each in parts):
        return None
    together = Outcome(types=whole.types, rows=[row for each in parts for row in each.rows])
    found = compare.rows_differ(together, whole, ordered=False)
    return Difference("partition", f"{found}\nwhole: {whole}\nparts: {together}") if found else None


def folded(engine: Engine) -> Judge:
    """TLP of aggregates: what the three parts have together is what the whole has."""

    def judge(tree: Node) -> Difference | None:
        items, relation, condition = (part if isinstance(part, str) else part.sql() for part in tree.parts)
        parts = [
            f"SELECT count(*) AS n, min(q.v) AS least, max(q.v) AS most FROM (SELECT {items} AS v FROM {relation} WHERE {test.format(condition)}) AS q"
            for test in THIRDS
        ]
        whole = engine.run(f"SELECT count(*), min(q.v), max(q.v) FROM (SELECT {items} AS v FROM {relation}) AS q")
        sums = engine.run(f"SELECT sum(n)::int8, min(least), max(most) FROM ({' UNION ALL '.join(parts)}) AS p")
        return united(whole, [sums])

    return judge


def folding(chance: random.Random, queries: Queries) -> Node:
    """One column, a relation and a condition, for [`folded`]."""
    relation = queries.relation(2)
    drawn = Expressions(chance, relation.leaves)
    name = chance.choice([each for each in grammar.MINIMAL if each != "interval"])
    return parts(drawn.draw(name, 1), relation.node, drawn.draw("bool", 3))


def having(engine: Engine) -> Judge:
    """TLP of HAVING."""

    def judge(tree: Node) -> Difference | None:
        grouped, condition = (part if isinstance(part, str) else part.sql() for part in tree.parts)
        return united(engine.run(grouped), [engine.run(f"{grouped} HAVING {test.format(condition)}") for test in THIRDS])

    return judge


def grouping(chance: random.Random, queries: Queries) -> Node:
    """A grouped query and a condition on its groups, for [`having`]."""
    relation = queries.relation(1)
    columns = [leaf for leaf in relation.leaves if leaf.type in PLAIN]
    drawn = Expressions(chance, relation.leaves)
    group = chance.choice(columns).sql if columns else "1"
    results = [queries.aggregate(chance.choice(values.NUMBERS), drawn) for _ in range(2)]
    after = queries.expressions(
        [*[leaf for leaf in columns if leaf.sql == group], *[Leaf(each.type, each.sql()) for each in results]], subqueries=False
    )
    head = plain(f"SELECT {group}, ", listed([each.copy() for each in results]), " FROM ", relation.node, f" GROUP BY {group}")
    return parts(head, after.draw("bool", 2))


def unoptimised(engine: Engine) -> Judge:
    """NoREC: as many rows pass the condition as have it true when it is computed for each."""

    def judge(tree: Node) -> Difference | None:
        _, relation, condition = (part if isinstance(part, str) else part.sql() for part in tree.parts)
        fast = engine.run(f"SELECT count(*) FROM {relation} WHERE {condition}")
        slow = engine.run(f"SELECT ({condition}) IS TRUE FROM {relation}")
        for each in (fast, slow):
            if each.failed and each.sqlstate[:2] in ("XX", "08", "57", "58"):
                return Difference(f"internal {each.sqlstate}", str(each))
        if fast.failed or slow.failed:
            return None
        true = sum(row[0] == "t" for row in slow.rows)
        return None if fast.rows[0][0] == str(true) else Difference("count", f"{fast.rows[0][0]} rows pass, {true} are true")

    return judge


def changed(engines: Engines, outcrop: Outcome, postgres: Outcome, sql: str, table: str, counts: Counts) -> Difference | None:
    """A change does the same on both: its answer, its number of rows, and the table afterwards."""
    found = difference(outcrop, postgres, sql, certain=False)
    if found is None and not outcrop.failed and not postgres.failed and outcrop.tag != postgres.tag:
        found = Difference("tag", f"{outcrop.tag} against {postgres.tag}")
    if found:
        meant = declared(found, outcrop, postgres, sql)
        if meant is None:
            return found
        counts[f"declared: {meant.sentence}"] += 1
    mine, theirs = engines.both(f"SELECT * FROM {table}")
    after = difference(mine, theirs, "", certain=True)
    if after is None:
        return None
    # Only one raised an error, which one of a statement's rows meant.
    if outcrop.failed != postgres.failed or found:
        return Difference("meant: one of them raised an error", after.words)
    return Difference(f"table {after.kind}", after.words)
