"""Statements as trees that the reducer can cut: it needs no knowledge of SQL beyond the kinds of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(eq=False)
class Node:
    """A piece of SQL: text and nodes in order.

    Kinds: `expr` (may become a smaller expression of the same type), `list` (elements may go down to `least`), `optional`
    (may go), `relation` and `query` (may become one inside of them), `plain` (stays).
    """

    kind: str
    parts: list[str | Node]
    type: str = ""
    between: str = ""
    least: int = 1
    tags: frozenset[str] = field(default_factory=frozenset)

    def sql(self) -> str:
        texts = [part if isinstance(part, str) else part.sql() for part in self.parts]
        return self.between.join(texts)

    def children(self) -> Iterator[Node]:
        return (part for part in self.parts if isinstance(part, Node))

    def walk(self) -> Iterator[Node]:
        """This node and all below it, from the top."""
        yield self
        for child in self.children():
            yield from child.walk()

    def copy(self) -> Node:
        parts = [part if isinstance(part, str) else part.copy() for part in self.parts]
        return Node(self.kind, parts, self.type, self.between, self.least, self.tags)

    def become(self, other: Node) -> None:
        self.kind, self.parts, self.type = other.kind, other.parts, other.type
        self.between, self.least, self.tags = other.between, other.least, other.tags


def expr(type_name: str, *parts: str | Node) -> Node:
    return Node("expr", list(parts), type_name)


def plain(*parts: str | Node) -> Node:
    return Node("plain", list(parts))


def optional(*parts: str | Node) -> Node:
    return Node("optional", list(parts))


def listed(items: list[Node], between: str = ", ", least: int = 1) -> Node:
    return Node("list", list(items), between=between, least=least)


def nothing() -> Node:
    return Node("plain", [])
