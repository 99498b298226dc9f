//! Words that completion offers, and names that need quotes.

/// Words of Outcrop's SQL, sorted.
pub(super) const KEYWORDS: &[&str] = &[
    "all", "analyze", "and", "any", "array", "as", "asc", "begin", "between", "bigint", "boolean", "by", "bytea",
    "case", "cast", "column", "commit", "conflict", "constraint", "copy", "count", "create", "cross", "current_date",
    "current_timestamp", "date", "default", "delete", "desc", "distinct", "do", "double", "drop", "else", "end",
    "except", "excluded", "exists", "explain", "extract", "false", "fetch", "filter", "first", "from", "full", "group",
    "having", "ilike", "in", "inner", "insert", "integer", "intersect", "interval", "into", "is", "join", "jsonb",
    "key", "last", "lateral", "left", "like", "limit", "not", "nothing", "null", "nulls", "numeric", "offset", "on",
    "or", "order", "outer", "over", "partition", "precision", "primary", "real", "recursive", "returning", "right",
    "rollback", "schema", "select", "set", "show", "smallint", "some", "table", "text", "then", "time", "timestamp",
    "timestamptz", "to", "true", "truncate", "union", "unique", "update", "using", "uuid", "values", "varchar", "when",
    "where", "window", "with",
];

/// Whether a lower-case word may mean something else than a name.
pub(crate) fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search(&word).is_ok()
}
