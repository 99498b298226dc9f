"""The guide's examples, run as they stand.

`sql` blocks run in psql, `sh` blocks in a shell, and the `text` block after one is what it prints, where `…` stands for
anything. `console` blocks are for reading.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.servers import OutcropServer, clean_environment, program, serving

pytestmark = pytest.mark.outcrop_only

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
SETTINGS = GUIDE.parents[1] / "crates" / "server" / "src" / "config" / "tree.rs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    language: str
    text: str
    expected: str | None
    line: int


@pytest.mark.parametrize("page", ["first-steps.md", "loading.md", "rest.md", "feed.md"])
def test_examples(page: str, new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    examples = read(GUIDE / page)
    assert len(examples) >= 4, "the page lost its examples"
    with serving(new_server()) as server:
        for example in examples:
            found = run(example, server, tmp_path)
            if example.expected is not None:
                assert matches(found, example.expected), (
                    f"{page}, line {example.line} prints\n{found}\nand not\n{example.expected}"
                )


def test_the_table_of_settings_is_complete() -> None:
    """The settings on the operations page are those of the program's source."""
    structs = dict(re.findall(r"pub struct (\w+) \{(.*?)^\}", SETTINGS.read_text(), re.MULTILINE | re.DOTALL))
    fields = {name: dict(re.findall(r"^    pub (\w+): (\w+)", body, re.MULTILINE)) for name, body in structs.items()}
    known = set()
    for name, kind in fields["Config"].items():
        known |= {f"{name}.{inner}" for inner in fields[kind]} if kind in fields else {name}
    rows = re.findall(r"^\| (`[^|]+`) \|", (GUIDE / "operations.md").read_text(), re.MULTILINE)
    assert {name.strip("` ") for row in rows for name in row.split(",")} == known


def read(page: Path) -> list[Example]:
    text = page.read_text()
    blocks = [(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in BLOCK.finditer(text)]
    examples = []
    for position, (language, code, line) in enumerate(blocks):
        if language in ("sql", "sh"):
            follows = blocks[position + 1] if position + 1 < len(blocks) else ("", "", 0)
            examples.append(Example(language, code, follows[1] if follows[0] == "text" else None, line))
    return examples


def run(example: Example, server: OutcropServer, directory: Path) -> str:
    if example.language == "sql":
        is_error_wanted = example.expected is not None and example.expected.startswith("ERROR:")
        outcome = server.psql(example.text, *([] if is_error_wanted else ["-v", "ON_ERROR_STOP=1"]))
        assert is_error_wanted or not outcome.stderr, f"line {example.line}: {outcome.stderr}"
        return outcome.stderr if is_error_wanted else outcome.stdout
    # The guide says what a user types: default ports, and a program on the path.
    text = example.text.replace("127.0.0.1:8090", server.http_address)
    text = re.sub(r"outcrop (load|sql)\b", rf"outcrop \1 --pg {server.pg_address}", text)
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    link = programs / "outcrop"
    if not link.exists():
        link.symlink_to(program())
    outcome = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env=clean_environment() | {"PATH": f"{programs}:{os.environ['PATH']}"},
    )
    assert outcome.returncode == 0, f"line {example.line} ended with {outcome.returncode}: {outcome.stdout}{outcome.stderr}"
    return outcome.stdout


def matches(found: str, expected: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in trimmed(expected).split("…"))
    return re.fullmatch(pattern, trimmed(found), re.DOTALL) is not None


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
