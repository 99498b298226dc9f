"""Calls of the kernel that fail under the real server (P8, P9): `harness/faults.py` lets every one of them fail once.

Here some of them do, from the first ones of a start to those of flushes and checkpoints.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from harness import faults
from harness.faults import Faults

pytestmark = pytest.mark.outcrop_only

SEED = 3
# A start has about a dozen syncs; what is behind is of statements, flushes and checkpoints.
RUNS = [
    *(("fdatasync", errno.EIO, nth) for nth in (1, 4, 8, 12)),
    *(("fsync", errno.EIO, nth) for nth in (2, 9, 20)),
    *(("pwrite64", errno.EIO, nth) for nth in (3, 15)),
    ("pwrite64", errno.ENOSPC, 10),
    ("rename", errno.EIO, 6),
    ("open64", errno.ENOSPC, 8),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, measured: Callable[[str], None]) -> Iterator[Faults]:
    reason = faults.missing()
    if reason is not None:
        pytest.skip(reason)
    ready = Faults(tmp_path_factory.mktemp("faults"), SEED)
    yield ready
    measured(ready.summary())


@pytest.mark.parametrize(("call", "error", "nth"), RUNS, ids=lambda value: str(value))
def test_a_call_that_fails(prepared: Faults, call: str, error: int, nth: int) -> None:
    assert prepared.run(call, error, nth), f"there is no {call} {nth}"
