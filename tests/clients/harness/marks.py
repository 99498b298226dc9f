"""The marks of the server (`crates/env/src/marks.rs`): moments at which `OUTCROP_KILL_AT=name:n` ends it for the n-th time.

Only a server with debug assertions has them.
"""

from __future__ import annotations

import mmap
from pathlib import Path

# What a file goes through when it gets its name, and what goes.
_FILES = [
    *(f"{directory}/{moment}" for directory in ("segments", "manifest", "log") for moment in ("written", "synced", "renamed", "published")),
    *(f"{directory}/removed" for directory in ("segments", "manifest", "staged")),
    *(f"staged/{moment}" for moment in ("written", "synced", "renamed", "published")),
]

# While the server works.
WORKING = [
    *_FILES,
    *("commit/sequenced", "log/group-written", "commit/synced", "commit/published", "commit/answered"),
    *("log/marked", "log/file-entered", "log/file-retired"),
    *("install/sequenced", "checkpoint/due", "checkpoint/done", "key-runs/merged", "key-runs/installed"),
    *("stage/segment-written", "fill/sequenced"),
]

# In a start on a directory that has data.
STARTING = [
    *("recovery/replayed", "recovery/manifest-written-again", "recovery/log-written-again", "recovery/log-started", "recovery/swept"),
]

# In a start on an empty directory; the files of the root have no directory before the slash.
CREATING = ["/written", "/synced", "/renamed", "/published", "creation/log-created"]

# In a clean stop.
STOPPING = ["close/marked"]

ALL = [*CREATING, *WORKING, *STARTING, *STOPPING]

# What makes the moments of a subject come soon: settings, and who writes.
SOON: dict[str, tuple[dict[str, int], list[str]]] = {
    "stage": ({"inline": 1}, ["large"]),
    "staged": ({"inline": 1, "rows": 200}, ["crowd"]),
    "key-runs": ({"rows": 50, "age": 50, "inline": 4096}, ["rows 1", "rows 2"]),
    # A cursor that nobody advances keeps the log.
    "log": ({"inline": 4096, "rows": 50}, ["rows 1", "large", "cursors"]),
    "fill": ({}, ["shapes"]),
    "close": ({}, ["rows 1"]),
}


def in_binary(program: str) -> bool:
    """Whether the program has marks."""
    with Path(program).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"OUTCROP_KILL_AT") >= 0
