"""Generated statements that change a table."""

from __future__ import annotations

import random

from . import values
from .expressions import Expressions, Leaf
from .schema import Column, Table
from .tree import Node, expr, listed, nothing, optional, plain


class Changes:
    """Draws INSERT, UPDATE, DELETE and upserts."""

    def __init__(self, chance: random.Random, tables: list[Table]) -> None:
        self.chance = chance
        self.tables = tables

    def statement(self) -> tuple[Node, Table]:
        table = self.chance.choice(self.tables)
        draw = self.chance.choice((self.insert, self.insert, self.update, self.update, self.delete, self.insert_select))
        return draw(table), table

    def returning(self, table: Table, alias: str = "") -> Node:
        if self.chance.random() < 0.5:
            return nothing()
        prefix = f"{alias}." if alias else ""
        leaves = [Leaf(column.type, f"{prefix}{column.name}", column.tame) for column in table.columns]
        drawn = Expressions(self.chance, leaves)
        items = [expr(leaf.type, leaf.sql) for leaf in leaves] + [drawn.draw(self.chance.choice(values.ALL), 1)]
        return optional(" RETURNING ", listed(items))

    def insert(self, table: Table) -> Node:
        columns = [column for column in table.columns if column.is_key or column.not_null or self.chance.random() < 0.8]
        rows = [plain(row) for row in table.rows(self.chance, self.chance.randint(1, 8), columns)]
        names = ", ".join(column.name for column in columns)
        return plain(
            f"INSERT INTO {table.name} AS t ({names}) VALUES ", listed(rows), self.conflict(table), self.returning(table, "t")
        )

    def insert_select(self, table: Table) -> Node:
        source = self.chance.choice(self.tables)
        drawn = Expressions(self.chance, [Leaf(column.type, f"s.{column.name}", column.tame) for column in source.columns])
        # Which of several rows with one key stays is open, so that only rows with their own keys meet a conflict clause.
        itself = source is table and bool(table.keys)
        items = [
            expr(column.type, f"s.{column.name}") if itself and column.is_key else self.stored(drawn, column)
            for column in table.columns
        ]
        names = ", ".join(column.name for column in table.columns)
        where = optional(" WHERE ", drawn.draw("bool", 2))
        return plain(
            f"INSERT INTO {table.name} AS t ({names}) SELECT ",
            listed(items, least=len(items)),
            f" FROM {source.name} AS s",
            where,
            self.conflict(table) if itself else nothing(),
            self.returning(table, "t"),
        )

    def stored(self, drawn: Expressions, column: Column, depth: int = 1) -> Node:
        """An expression whose value the column can hold."""
        if column.type == "numeric":
            return expr(
                "numeric", f"{values.quoted(values.fitting(self.chance, column.declared, 'numeric', wild=True))}::numeric(60,20)"
            )
        made = drawn.draw(column.type, depth)
        if column.type == "text" and column.declared != "text":
            made = expr("text", "left(", made, ", 300)")
        if column.not_null:
            return expr(column.type, "coalesce(", made, f", {values.literal(self.chance, column.type)})")
        return made

    def conflict(self, table: Table) -> Node:
        chance = self.chance
        if not table.keys:
            return nothing()
        keys = ", ".join(column.name for column in table.keys)
        others = [column for column in table.columns if not column.is_key]
        draw = chance.random()
        if draw < 0.25:
            return nothing()
        if draw < 0.5 or not others:
            return optional(f" ON CONFLICT ({keys}) DO NOTHING" if chance.random() < 0.6 else " ON CONFLICT DO NOTHING")
        leaves = [Leaf(column.type, f"t.{column.name}", column.tame) for column in table.columns]
        leaves += [Leaf(column.type, f"EXCLUDED.{column.name}", column.tame) for column in table.columns]
        drawn = Expressions(chance, leaves)
        sets = []
        for column in chance.sample(others, chance.randint(1, len(others))):
            new = expr(column.type, f"EXCLUDED.{column.name}") if chance.random() < 0.5 else self.stored(drawn, column)
            sets.append(plain(f"{column.name} = ", new))
        where = optional(" WHERE ", drawn.draw("bool", 2)) if chance.random() < 0.3 else nothing()
        return optional(f" ON CONFLICT ({keys}) DO UPDATE SET ", listed(sets), where)

    def update(self, table: Table) -> Node:
        chance = self.chance
        leaves = [Leaf(column.type, f"t.{column.name}", column.tame) for column in table.columns]
        drawn = Expressions(chance, leaves)
        others = [column for column in table.columns if not column.is_key or chance.random() < 0.1]
        sets = [
            plain(f"{column.name} = ", self.stored(drawn, column))
            for column in chance.sample(others, min(len(others), chance.randint(1, 3)))
        ]
        if not sets:
            return self.delete(table)
        return plain(f"UPDATE {table.name} AS t SET ", listed(sets), self.where(table, drawn), self.returning(table))

    def delete(self, table: Table) -> Node:
        leaves = [Leaf(column.type, f"t.{column.name}", column.tame) for column in table.columns]
        drawn = Expressions(self.chance, leaves)
        return plain(f"DELETE FROM {table.name} AS t", self.where(table, drawn, always=True), self.returning(table))

    def where(self, table: Table, drawn: Expressions, *, always: bool = False) -> Node:
        chance = self.chance
        if table.keys and chance.random() < 0.4:
            key = chance.choice(table.keys)
            constants = [plain(key.value(chance)) for _ in range(chance.randint(1, 3))]
            return optional(f" WHERE t.{key.name} IN (", listed(constants), ")")
        test = drawn.draw("bool", 2)
        if always:
            other = chance.choice(self.tables)
            pairs = [(a, b) for a in table.columns for b in other.columns if a.type == b.type and a.type in values.ORDERED]
            if pairs and chance.random() < 0.3:
                a, b = chance.choice(pairs)
                test = expr("bool", f"EXISTS (SELECT 1 FROM {other.name} AS o WHERE o.{b.name} = t.{a.name})")
        return optional(" WHERE ", test)
