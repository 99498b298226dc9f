"""Query oracles: generated schemas, data, changes and queries, judged by PostgreSQL 15, DuckDB and Outcrop itself.

    case (seed) ─▶ schema + rows ─▶ stages: changes, flush, compaction, ALTER, restart
                                       └─▶ queries ─▶ PostgreSQL · DuckDB · TLP · NoREC · access paths · earlier stages
    a mismatch ─▶ reduce ─▶ smallest query and rows, and the line that repeats it

`python tests/clients/run_oracle.py --seed 1` runs one case, `cargo xtask soak --lane oracles` many. Start reading at `campaign`.
"""

# Tiny segments, so that the rows of a case lie in several of them and in memory.
CONFIG = '[engine]\nflush_rows_max = 16\nlog_file_bytes = "1MiB"\n'
