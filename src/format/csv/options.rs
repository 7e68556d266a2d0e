//! [`CsvOptions`]: the dialect of a CSV file.

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// What stands between two fields (default comma).
    pub delimiter: u8,
    /// What surrounds fields that hold delimiters, quotes or line ends (default double quote).
    pub quote: u8,
    /// What stands before a quote inside quotes, if it is not doubled (default none: doubled).
    pub escape: Option<u8>,
    /// The unquoted text that means NULL (default none: the empty field does).
    pub null_text: Option<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"', escape: None, null_text: None }
    }
}
