"""Power cuts of a real ext4 under a server that writes (P1–P3, P8): `harness/power.py` goes on without end.

The cuts run in a process of their own, whose mounts nobody else sees.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import power

pytestmark = pytest.mark.outcrop_only

SEED = 5
CUTS = 5


def test_acknowledged_writes_survive_power_cuts(tmp_path: Path, measured: Callable[[str], None]) -> None:
    reason = power.missing()
    if reason is not None:
        pytest.skip(reason)
    outcome = subprocess.run(
        [sys.executable, "-m", "harness.power", *("--seed", str(SEED), "--cuts", str(CUTS), "--directory", str(tmp_path))],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    summary = outcome.stdout.splitlines()[-1]
    assert ", 0 failed" in summary, outcome.stdout
    measured(summary)
