"""Generated tables and their rows."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from . import values

KEYS = (
    ("int4",),
    ("int4",),
    ("int8",),
    ("text",),
    ("uuid",),
    ("date",),
    ("int4", "text"),
    ("timestamp", "int2"),
    ("numeric",),
    (),
)
STORED = tuple(name for name in values.ALL if name != "interval")
NAMES = ("a", "b", "c", "d", "e", "f", "g", '"Mixed"', '"a b"', '"order"')


@dataclass
class Column:
    name: str
    type: str
    declared: str
    tame: bool
    is_key: bool = False
    not_null: bool = False

    def sql(self) -> str:
        return f"{self.name} {self.declared}{' NOT NULL' if self.not_null and not self.is_key else ''}"

    def value(self, chance: random.Random) -> str:
        """SQL for a value to store."""
        if not self.is_key and not self.not_null and chance.random() < 0.2:
            return "NULL"
        return values.quoted(values.fitting(chance, self.declared, self.type, wild=not self.tame))


@dataclass
class Table:
    name: str
    columns: list[Column] = field(default_factory=list)

    @property
    def keys(self) -> list[Column]:
        return [column for column in self.columns if column.is_key]

    def create(self) -> str:
        parts = [column.sql() for column in self.columns]
        if self.keys:
            parts.append(f"PRIMARY KEY ({', '.join(column.name for column in self.keys)})")
        return f"CREATE TABLE {self.name} ({', '.join(parts)})"

    def rows(self, chance: random.Random, count: int, columns: list[Column] | None = None) -> list[str]:
        """Rows to insert, as SQL; no key twice."""
        rows, seen = [], set()
        for _ in range(count):
            cells = [column.value(chance) for column in columns or self.columns]
            key = tuple(cell for cell, column in zip(cells, columns or self.columns, strict=True) if column.is_key)
            if key in seen and key:
                continue
            seen.add(key)
            rows.append(f"({', '.join(cells)})")
        return rows


def column(chance: random.Random, name: str, type_name: str, *, key: bool = False) -> Column:
    declared = chance.choice(values.DECLARED.get(type_name, (type_name,)))
    if key and type_name == "numeric":
        declared = "numeric(10,2)"
    tame = type_name in values.TAME and chance.random() < 0.6
    return Column(name, type_name, declared, tame, key, not_null=key or chance.random() < 0.15)


def table(chance: random.Random, name: str) -> Table:
    made = Table(name)
    for number, type_name in enumerate(chance.choice(KEYS)):
        made.columns.append(column(chance, f"k{number}", type_name, key=True))
    common = ("int4", "int4", "text", "text", "float8", "bool", "numeric", "timestamp", "date", "int8")
    for name_ in chance.sample(NAMES, chance.randint(2, 6)):
        made.columns.append(column(chance, name_, chance.choice(common if chance.random() < 0.5 else STORED)))
    chance.shuffle(made.columns)
    return made


def tables(chance: random.Random) -> list[Table]:
    return [table(chance, f"t{number}") for number in range(chance.randint(2, 3))]
