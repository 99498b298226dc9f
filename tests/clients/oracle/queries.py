"""Queries over generated tables."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import grammar, values
from .expressions import Expressions, Leaf, Subqueries
from .schema import Table
from .tree import Node, expr, listed, nothing, optional, plain

# Types whose values are the same when they are equal, up to how numbers are written.
PLAIN = tuple(name for name in values.ORDERED if name != "interval")
FRAMES = (
    *("ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "ROWS UNBOUNDED PRECEDING"),
    *("ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING", "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"),
    *("ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING", "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING"),
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
)
PEER_FRAMES = (
    *(
        "",
        "RANGE UNBOUNDED PRECEDING",
        "RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
        "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    ),
    *("GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW", "GROUPS BETWEEN CURRENT ROW AND 1 FOLLOWING", "RANGE CURRENT ROW"),
)


@dataclass
class Relation:
    """What FROM names, its columns, and columns that tell its rows apart."""

    node: Node
    leaves: list[Leaf]
    keys: list[str] | None


@dataclass
class Query:
    """A query and the types of its columns."""

    node: Node
    types: list[str]
    ordered: bool = False


class Queries(Subqueries):
    """Draws queries."""

    def __init__(self, chance: random.Random, tables: list[Table], *, size: int = 3) -> None:
        self.chance = chance
        self.tables = tables
        self.size = size
        self.count = 0
        self.commons: list[tuple[str, list[str]]] = []
        self.nesting = 0

    # Whole queries

    def query(self) -> Query:
        """Any query, maybe ordered."""
        chance = self.chance
        head: Node = nothing()
        if chance.random() < 0.12:
            inner = self.select(depth=1)
            name = self.name("w")
            head = optional(f"WITH {name} AS (", inner.node, ") ")
            self.commons.append((name, inner.types))
        made = self.union() if chance.random() < 0.15 else self.select()
        made.node = plain(head, made.node)
        if chance.random() < 0.45 and all(name in PLAIN for name in made.types):
            places = list(range(1, len(made.types) + 1))
            chance.shuffle(places)
            items = [
                plain(f"{place}{chance.choice(('', ' DESC', ' ASC'))}{chance.choice(('', '', ' NULLS FIRST', ' NULLS LAST'))}")
                for place in places
            ]
            made.node.parts.append(plain(" ORDER BY ", listed(items)))
            made.ordered = True
            if chance.random() < 0.5:
                made.node.parts.append(optional(f" LIMIT {chance.choice((0, 1, 2, 3, 5, 10, 100))}"))
            if chance.random() < 0.25:
                made.node.parts.append(optional(f" OFFSET {chance.choice((0, 1, 2, 7))}"))
        self.commons.clear()
        return made

    def projection(self) -> Query:
        """Expressions over each row of one table, which may raise errors: every row is computed by every engine."""
        relation = self.table()
        expressions = Expressions(self.chance, relation.leaves, may_fail=True)
        types = [self.chance.choice(values.ALL) for _ in range(self.chance.randint(1, 3))]
        items = [expressions.draw(name, self.chance.randint(1, 2)) for name in types]
        return Query(plain("SELECT ", listed(items), " FROM ", relation.node), types)

    def union(self) -> Query:
        types = [self.chance.choice(PLAIN) for _ in range(self.chance.randint(1, 3))]
        branches = [self.select(types, depth=1) for _ in range(self.chance.choice((2, 2, 3)))]
        words = (" UNION ", " UNION ALL ", " INTERSECT ", " EXCEPT ")
        parts: list[str | Node] = []
        for number, branch in enumerate(branches):
            parts += [self.chance.choice(words)] if number else []
            parts += [plain("(", branch.node, ")")]
        return Query(Node("query", parts), types)

    def select(self, types: list[str] | None = None, *, depth: int = 2, outer: list[Leaf] | None = None) -> Query:
        """One SELECT. With `outer`, its conditions may name columns of the query around it."""
        chance = self.chance
        relation = self.relation(depth)
        expressions = self.expressions(relation.leaves + (outer or []))
        where: Node = nothing()
        if chance.random() < 0.6:
            where = optional(" WHERE ", self.condition(expressions, relation))
        types = types or [chance.choice(values.ALL if chance.random() < 0.5 else PLAIN) for _ in range(chance.randint(1, 4))]
        shape = chance.random()
        inside = self.expressions(relation.leaves)
        if shape < 0.3:
            return self.grouped(types, relation, where, inside)
        if shape < 0.42:
            items = [self.windowed(name, relation, inside) for name in types]
            return Query(self.assembled("", items, relation, where), types)
        items = [inside.draw(name, self.size) for name in types]
        distinct = "DISTINCT " if shape < 0.55 and all(name in PLAIN for name in types) else ""
        return Query(self.assembled(distinct, items, relation, where), types)

    def assembled(self, distinct: str, items: list[Node], relation: Relation, where: Node, *rest: Node) -> Node:
        named = [plain(item, f" AS c{place}") for place, item in enumerate(items, 1)]
        head: Node = optional(distinct) if distinct else nothing()
        return Node("query", ["SELECT ", head, listed(named), " FROM ", relation.node, where, *rest])

    def grouped(self, types: list[str], relation: Relation, where: Node, inside: Expressions) -> Query:
        chance = self.chance
        inside.subquery = None
        groups: list[Leaf] = []
        for _ in range(chance.choice((0, 1, 1, 2))):
            name = chance.choice([leaf.type for leaf in relation.leaves if leaf.type in PLAIN] or ["int4"])
            columns = [leaf for leaf in relation.leaves if leaf.type == name]
            made = inside.draw(name, 1) if chance.random() < 0.3 or not columns else expr(name, chance.choice(columns).sql)
            if any(leaf.sql in made.sql() for leaf in relation.leaves):
                groups.append(Leaf(name, made.sql()))
        results = [self.aggregate(chance.choice(values.ALL), inside) for _ in range(2)] + [
            self.aggregate(name, inside) for name in types
        ]
        scope = groups + [Leaf(each.type, each.sql()) for each in results]
        after = Expressions(chance, scope)
        items = [after.draw(name, chance.choice((0, 0, 1, 2))) for name in types]
        rest: list[Node] = []
        if groups:
            names = list(dict.fromkeys(leaf.sql for leaf in groups))
            shape = chance.choice(("", "", "", "", "ROLLUP", "CUBE"))
            listing = listed([plain(name) for name in names])
            rest.append(plain(" GROUP BY ", plain(f"{shape} (", listing, ")") if shape else listing))
        if chance.random() < 0.3 and (groups or any("(" in item.sql() for item in results)):
            rest.append(optional(" HAVING count(*) >= 0 AND ", after.draw("bool", 2)))
        return Query(self.assembled("", items, relation, where, *rest), types)

    def aggregate(self, type_name: str, inside: Expressions) -> Node:
        choices = grammar.AGGREGATE_PRODUCTIONS[type_name]
        if not choices:
            return expr("int8", "count(*)")
        made = inside.fill(grammar.draw(self.chance, choices), 2, enclose=False)
        if self.chance.random() < 0.15:
            made.parts.append(optional(" FILTER (WHERE ", inside.draw("bool", 2), ")"))
        return made

    # Windows

    def windowed(self, type_name: str, relation: Relation, inside: Expressions) -> Node:
        chance = self.chance
        inside.subquery = None
        partition: Node = nothing()
        if chance.random() < 0.6:
            partition = optional("PARTITION BY ", listed([inside.draw(chance.choice(PLAIN), 1)]), " ")
        loose = f"{inside.leaf(chance.choice(PLAIN)).sql()}{chance.choice(('', ' DESC', ' NULLS FIRST'))}"
        exact = ", ".join(f"{key}{chance.choice(('', ' DESC'))}" for key in relation.keys or [])
        kinds = ["peers"] * 2 + (["rows", "rows", "values", "values"] if exact else [])
        kind = chance.choice(kinds)
        if kind == "values":
            call = self.value_function(type_name, inside, offset_ok=True)
            return expr(type_name, call, " OVER (", partition, f"ORDER BY {exact}", ")")
        numbering = {
            "int8": (["rank()", "dense_rank()"], ["row_number()"]),
            "int4": ([], ["ntile(3)", "ntile(1)"]),
            "float8": (["percent_rank()", "cume_dist()"], []),
        }.get(type_name, ([], []))
        if kind == "peers":
            if numbering[0] and chance.random() < 0.4:
                return expr(type_name, chance.choice(numbering[0]), " OVER (", partition, f"ORDER BY {loose})")
            window = [" OVER (", partition, f"ORDER BY {loose} {chance.choice(PEER_FRAMES)})"]
            call = self.aggregate_call(type_name, inside)
            if call is None:
                return expr(type_name, "CASE WHEN count(*)", *window, " > 1 THEN ", inside.draw(type_name, 1), " END")
            return expr(type_name, call, *window)
        if numbering[1] and chance.random() < 0.4:
            return expr(type_name, chance.choice(numbering[1]), " OVER (", partition, f"ORDER BY {exact})")
        call = self.aggregate_call(type_name, inside) if chance.random() < 0.6 else None
        call = call or self.value_function(type_name, inside, offset_ok=False)
        return expr(type_name, call, " OVER (", partition, f"ORDER BY {exact} {chance.choice(FRAMES)})")

    def aggregate_call(self, type_name: str, inside: Expressions) -> Node | None:
        choices = [
            each
            for each in grammar.AGGREGATE_PRODUCTIONS[type_name]
            if "DISTINCT" not in each.template and "ORDER BY" not in each.template
        ]
        return inside.fill(grammar.draw(self.chance, choices), 2, enclose=False) if choices else None

    def value_function(self, type_name: str, inside: Expressions, *, offset_ok: bool) -> Node:
        argument = inside.draw(type_name, 1)
        names = ["first_value({})", "last_value({})", "nth_value({}, 2)"]
        if offset_ok:
            names += ["lag({})", "lead({})", "lag({}, 2)", "lead({}, 0)"] * 2
        before, after = self.chance.choice(names).split("{}")
        return expr(type_name, before, argument, after)

    # FROM

    def name(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def table(self) -> Relation:
        table = self.chance.choice(self.tables)
        alias = self.name("x")
        leaves = [Leaf(column.type, f"{alias}.{column.name}", column.tame) for column in table.columns]
        keys = [f"{alias}.{column.name}" for column in table.keys] or None
        return Relation(Node("relation", [f"{table.name} AS {alias}"]), leaves, keys)

    def relation(self, depth: int) -> Relation:
        chance = self.chance
        kind = chance.random()
        if depth <= 0 or kind < 0.5:
            return self.table()
        if kind < 0.58 and self.commons:
            name, types = chance.choice(self.commons)
            alias = self.name("x")
            return Relation(
                Node("relation", [f"{name} AS {alias}"]),
                [Leaf(each, f"{alias}.c{place}") for place, each in enumerate(types, 1)],
                None,
            )
        if kind < 0.68:
            inner = self.select(depth=depth - 1)
            return self.derived(inner.node, inner.types)
        if kind < 0.73:
            return self.constants()
        return self.join(depth)

    def derived(self, node: Node, types: list[str]) -> Relation:
        alias = self.name("d")
        leaves = [Leaf(each, f"{alias}.c{place}") for place, each in enumerate(types, 1)]
        return Relation(Node("relation", ["(", node, f") AS {alias}"]), leaves, None)

    def constants(self) -> Relation:
        types = [self.chance.choice(values.ALL) for _ in range(self.chance.randint(1, 3))]
        drawn = Expressions(self.chance, [])
        rows = [
            plain("(", listed([drawn.leaf(each) for each in types], least=len(types)), ")")
            for _ in range(self.chance.randint(1, 4))
        ]
        alias = self.name("v")
        names = ", ".join(f"c{place}" for place in range(1, len(types) + 1))
        leaves = [Leaf(each, f"{alias}.c{place}") for place, each in enumerate(types, 1)]
        return Relation(Node("relation", ["(VALUES ", listed(rows), f") AS {alias} ({names})"]), leaves, None)

    def join(self, depth: int) -> Relation:
        chance = self.chance
        left = self.relation(depth - 1)
        right = self.relation(depth - 1)
        if " JOIN " in right.node.sql():
            # The parser does not take ON after ON.
            right.node = Node("relation", ["(", right.node, ")"])
        leaves = left.leaves + right.leaves
        keys = left.keys + right.keys if left.keys and right.keys else None
        word = chance.choice(("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"))
        if word == "CROSS JOIN":
            return Relation(Node("relation", [left.node, " CROSS JOIN ", right.node]), leaves, keys)
        if word == "FULL JOIN":
            keys = None
        pairs = [(a, b) for a in left.leaves for b in right.leaves if a.type == b.type and a.type in PLAIN]
        numbers = [(a, b) for a in left.leaves for b in right.leaves if a.type in values.NUMBERS and b.type in values.NUMBERS]
        terms: list[Node] = []
        for a, b in chance.sample(pairs, min(len(pairs), chance.choice((1, 1, 2)))):
            terms.append(expr("bool", f"{a.sql} = {b.sql}"))
        if not terms and numbers:
            a, b = chance.choice(numbers)
            terms.append(expr("bool", f"{a.sql} = {b.sql}"))
        if (not terms or chance.random() < 0.3) and word != "FULL JOIN":
            terms.append(self.expressions(leaves, subqueries=False).draw("bool", 2))
        if not terms:
            return Relation(Node("relation", [left.node, " CROSS JOIN ", right.node]), leaves, keys)
        return Relation(Node("relation", [left.node, f" {word} ", right.node, " ON ", listed(terms, " AND ")]), leaves, keys)

    # Conditions and subqueries

    def expressions(self, leaves: list[Leaf], *, subqueries: bool = True) -> Expressions:
        made = Expressions(self.chance, leaves)
        if subqueries and self.nesting == 0:
            made.subquery = self
        return made

    def condition(self, expressions: Expressions, relation: Relation) -> Node:
        """A condition; now and then one on a key, which another access path answers."""
        chance = self.chance
        if relation.keys and chance.random() < 0.3:
            key = chance.choice(relation.keys)
            type_name = next(leaf.type for leaf in relation.leaves if leaf.sql == key)
            tame = next(leaf.tame for leaf in relation.leaves if leaf.sql == key)
            constants = [expr(type_name, values.literal(chance, type_name, wild=not tame)) for _ in range(chance.randint(1, 4))]
            test = (
                expr("bool", f"{key} IN (", listed(constants), ")")
                if chance.random() < 0.6
                else expr("bool", f"{key} = ", constants[0])
            )
            if chance.random() < 0.5:
                return listed([test, expressions.draw("bool", self.size - 1)], " AND ")
            return test
        return expressions.draw("bool", self.size)

    def predicate(self, outer: Expressions, depth: int) -> Node:
        chance = self.chance
        self.nesting += 1
        try:
            if chance.random() < 0.45:
                relation = self.relation(1)
                around = outer.leaves if chance.random() < 0.7 else []
                test = Expressions(chance, relation.leaves + around).draw("bool", 2)
                inner = Node("query", ["SELECT 1 FROM ", relation.node, optional(" WHERE ", test)])
                return expr("bool", chance.choice(("(EXISTS (", "(NOT EXISTS (")), inner, "))")
            name = chance.choice([leaf.type for leaf in outer.leaves if leaf.type in PLAIN] or ["int4"])
            inner = self.select([name], depth=1, outer=outer.leaves if chance.random() < 0.25 else None)
            word = chance.choice((" IN (", " IN (", " NOT IN (", " = ANY (", " > ALL (", " <> ALL (", " <= ANY ("))
            return expr("bool", "(", outer.draw(name, 1), word, inner.node, "))")
        finally:
            self.nesting -= 1

    def scalar(self, type_name: str) -> Node:
        self.nesting += 1
        try:
            relation = self.table()
            made = self.aggregate(type_name, Expressions(self.chance, relation.leaves))
            if made.type != type_name:
                return expr(type_name, f"NULL::{type_name}")
            return expr(type_name, "(SELECT ", made, " FROM ", relation.node, ")")
        finally:
            self.nesting -= 1
