"""Expressions of a type over the columns in scope."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import grammar, values
from .tree import Node, expr

NULL_SHARE = 0.08
BARE_SHARE = 0.12
BOUNDED = "1000"


@dataclass(frozen=True)
class Leaf:
    """Something in scope that has a value: a column, or a grouped expression."""

    type: str
    sql: str
    tame: bool = False


class Expressions:
    """Draws expressions. Without `may_fail` none of them raises an error, whatever the values."""

    def __init__(self, chance: random.Random, leaves: list[Leaf], *, may_fail: bool = False) -> None:
        self.chance = chance
        self.leaves = leaves
        self.may_fail = may_fail
        self.subquery: Subqueries | None = None

    def draw(self, type_name: str, depth: int, *, tame: bool = False) -> Node:
        """An expression of exactly this type."""
        if depth <= 0 or self.chance.random() < 0.2:
            return self.leaf(type_name, tame=tame)
        if type_name == "bool" and self.subquery is not None and self.chance.random() < 0.12:
            return self.subquery.predicate(self, depth)
        if self.subquery is not None and self.chance.random() < 0.04 and not tame:
            return self.subquery.scalar(type_name)
        choices = [each for each in grammar.PRODUCTIONS[type_name] if self.may_fail or not each.may_fail]
        if tame:
            choices = [each for each in choices if "interval" not in each.template] or choices
        return self.fill(grammar.draw(self.chance, choices), depth, tame=tame)

    def fill(self, production: grammar.Production, depth: int, *, tame: bool = False, enclose: bool = True) -> Node:
        """An expression of the form of a production."""
        chance = self.chance
        drawn = {name: chance.choice(values.ORDERED) for name in "AB"} | {"X": chance.choice(values.ALL)}
        drawn |= {name: chance.choice(values.NUMBERS) for name in "NM"}
        # Types that the scope has are more telling than constants.
        present = [leaf.type for leaf in self.leaves if leaf.type in values.ORDERED]
        if present and chance.random() < 0.8:
            drawn["A"] = chance.choice(present)
        parts: list[str | Node] = []
        seen: set[str] = set()
        is_bare = False
        # The parser takes `IN ((SELECT …), …)` for `IN (SELECT …)`.
        subquery, self.subquery = self.subquery, None if " IN (" in production.template else self.subquery
        for place, piece in enumerate(production.pieces()):
            if place % 2 == 0:
                parts.append(piece)
                continue
            again = piece in seen and piece in "AB" and "DISTINCT" not in production.template
            seen.add(piece)
            made = self.operand(piece, drawn.get(piece), depth - 1, again=again and not is_bare, tame=tame)
            is_bare |= made.type.startswith("bare ")
            parts.append(made)
        self.subquery = subquery
        if enclose:
            parts = ["(", *parts, ")"]
        return expr(production.type, *parts)

    def operand(self, hole: str, drawn: str | None, depth: int, *, again: bool, tame: bool) -> Node:
        if drawn is not None:
            if again and self.chance.random() < BARE_SHARE:
                return expr(f"bare {drawn}", values.bare(self.chance, drawn))
            return self.draw(drawn, depth, tame=tame and drawn in values.TAME)
        if hole == "=4":
            number = self.chance.choice((0, 1, 2, 3, 4, -1, -2))
            return expr("small", f"({number})" if number < 0 else str(number))
        if hole == "pattern":
            return expr("pattern", self.chance.choice(grammar.PATTERNS))
        if hole == "regex":
            return expr("regex", self.chance.choice(grammar.REGEXES))
        name = hole.rstrip("%~=")
        if hole.endswith("%"):
            return expr(name, "(", self.draw(name, depth), f" % {BOUNDED})") if name != "int2" else self.draw(name, depth)
        if hole.endswith("="):
            return expr(name, values.literal(self.chance, name))
        return self.draw(name, depth, tame=tame or hole.endswith("~"))

    def leaf(self, type_name: str, *, tame: bool = False) -> Node:
        choices = [each for each in self.leaves if each.type == type_name and (each.tame or not tame)]
        if choices and self.chance.random() < 0.85:
            return expr(type_name, self.chance.choice(choices).sql)
        if self.chance.random() < NULL_SHARE:
            return expr(type_name, f"NULL::{type_name}")
        return expr(type_name, values.literal(self.chance, type_name, wild=not tame))


class Subqueries:
    """What makes subqueries inside of expressions; the query generator is one."""

    def predicate(self, outer: Expressions, depth: int) -> Node:
        raise NotImplementedError

    def scalar(self, type_name: str) -> Node:
        raise NotImplementedError
