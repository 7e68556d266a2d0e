//! [`LateRule`]: what becomes of a row that came after all of its windows had ended.

/// Where late rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LateRule {
    /// Into no window.
    #[default]
    Drop,
    /// Into the earliest window that is still open for the row's partition.
    NextOpen,
    /// Into their own windows, which were shown at their end and are corrected during the grace period.
    Correct,
}
