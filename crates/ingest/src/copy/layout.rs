//! How COPY writes rows as bytes.

/// Text, CSV or binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Lines with a delimiter and backslash escapes.
    Text,
    /// Comma-separated values.
    Csv,
    /// Tuples of sized fields in the binary format of their types. The rest of the layout means nothing then.
    Binary,
}

/// Whether a line of column names comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// No.
    Absent,
    /// Yes: it is skipped.
    Present,
    /// Yes, and it must name the columns in order.
    Match,
}

/// The layout of COPY data. Which combinations make sense was checked when the statement was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Text, CSV or binary.
    pub style: Style,
    /// Between columns.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
    /// Line of names.
    pub header: Header,
    /// CSV's quote.
    pub quote: u8,
    /// CSV's escape inside quotes.
    pub escape: u8,
    /// Positions of columns that CSV output always quotes.
    pub force_quote: Vec<usize>,
    /// Positions of columns whose CSV input is never NULL.
    pub force_not_null: Vec<usize>,
    /// Positions of columns whose CSV input is NULL also when the NULL text is quoted.
    pub force_null: Vec<usize>,
}

impl Layout {
    /// COPY's defaults for a style.
    pub fn new(style: Style) -> Self {
        let (delimiter, null) = match style {
            Style::Text | Style::Binary => (b'\t', "\\N"),
            Style::Csv => (b',', ""),
        };
        Self {
            style,
            delimiter,
            null: null.to_owned(),
            header: Header::Absent,
            quote: b'"',
            escape: b'"',
            force_quote: Vec::new(),
            force_not_null: Vec::new(),
            force_null: Vec::new(),
        }
    }
}
