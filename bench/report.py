"""Figures of a run: collected, compared and written down as ratios."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from harness.oracle import assert_same_rows
from systems import System

# Data directories must be on a disk, and /tmp often is not.
WORK = Path("/var/tmp")


@dataclass
class Results:
    """Figures by measure and system; of a rate more is better, of anything else less."""

    figures: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    units: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[str, list[tuple]]] = field(default_factory=dict)

    def add(self, measure: str, unit: str, system: System, value: float | None) -> None:
        self.units[measure] = unit
        if value is None:
            self.figures[measure].setdefault(system.name, [])
        else:
            self.figures[measure][system.name].append(value)
            print(f"    {measure}: {shown(value, unit)} {unit}", flush=True)

    def agree(self, question: str, system: System, rows: list[tuple]) -> None:
        other, expected = self.answers.setdefault(question, (system.name, rows))
        assert_same_rows(rows, expected, f"{question}: {system.name} against {other}")


def table(results: Results) -> list[str]:
    """The medians of all runs, and how many times better than each other system Outcrop is."""
    names = list(dict.fromkeys(name for figures in results.figures.values() for name in figures))
    peers = [name for name in names if name != "Outcrop"]
    lines = [
        "| " + " | ".join(["measure", "unit", *names, *(f"to {peer}" for peer in peers)]) + " |",
        "|---|---|" + "---:|" * (len(names) + len(peers)),
    ]
    for measure, figures in results.figures.items():
        unit = results.units[measure]
        medians = {name: statistics.median(figures[name]) if figures.get(name) else None for name in names}
        cells = [shown(medians[name], unit) for name in names]
        ratios = [ratio(medians.get("Outcrop"), medians[peer], unit) for peer in peers]
        lines.append(f"| {measure} | {unit} | " + " | ".join(cells + ratios) + " |")
    return lines


def shown(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if abs(value) < 10 and unit != "rows":
        return f"{value:,.2f}"
    return f"{value:,.1f}" if abs(value) < 100 and unit in ("ms", "s", "%") else f"{value:,.0f}"


def ratio(own: float | None, other: float | None, unit: str) -> str:
    if not own or not other:
        return "–"
    times = own / other if unit.endswith("/s") else other / own
    return f"{times:.1f}" if times >= 10 else f"{times:.2f}"


def machine() -> dict[str, str]:
    """Facts about the machine, without a name and without a date."""
    models = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    disk = subprocess.run(["stat", "--file-system", "--format=%T", str(WORK)], capture_output=True, text=True, check=True)
    return {
        "machine": f"{os.cpu_count()} cores ({models[0] if models else platform.machine()}), {memory:.0f} GiB memory, {disk.stdout.strip()}",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
    }
