"""Cuts a statement down while it still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable

from .tree import Node, expr, nothing

TRIES_MAX = 1500


def smallest(tree: Node, fails: Callable[[Node], bool]) -> Node:
    """The smallest tree found that still fails."""
    best = tree.copy()
    tries = 0
    progress = True
    while progress and tries < TRIES_MAX:
        progress = False
        for place in range(sum(1 for _ in best.walk())):
            nodes = list(best.walk())
            if place >= len(nodes):
                break
            for smaller in cuts(nodes[place]):
                trial = best.copy()
                list(trial.walk())[place].become(smaller)
                tries += 1
                if fails(trial):
                    best, progress = trial, True
                    break
                if tries >= TRIES_MAX:
                    return best
    return best


def cuts(node: Node) -> list[Node]:
    """What may stand in a node's place, the smallest first."""
    if not node.parts:
        return []
    if node.kind == "optional":
        return [nothing()]
    if node.kind == "list" and len(node.parts) > node.least:
        singles = [[part] for part in node.parts] if node.least == 1 and len(node.parts) > 2 else []
        rests = [node.parts[:place] + node.parts[place + 1 :] for place in range(len(node.parts))]
        return [Node("list", parts, node.type, node.between, node.least) for parts in singles + rests]
    inside = [each for each in node.walk() if each is not node]
    if node.kind == "expr":
        # Only what is made of something becomes NULL, and only what has a type of SQL.
        constants = [expr(node.type, f"NULL::{node.type}")] if any(node.children()) else []
        return constants + [each.copy() for each in inside if each.kind == "expr" and each.type == node.type]
    if node.kind in ("relation", "query"):
        return [each.copy() for each in inside if each.kind == node.kind]
    return []


def fewest(items: list, fails: Callable[[list], bool]) -> list:
    """The fewest items that still fail: halves, quarters, …, single items are left out."""
    best = list(items)
    chunk = max(1, len(best) // 2)
    while best:
        cut = False
        place = 0
        while place < len(best):
            trial = best[:place] + best[place + chunk :]
            if fails(trial):
                best, cut = trial, True
            else:
                place += chunk
        if chunk == 1 and not cut:
            return best
        chunk = max(1, chunk // 2)
    return best
