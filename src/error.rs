//! [`Error`]: the one error type that users and callers see, sorted by who has to act.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;

/// A `Result` whose error is [`Error`] unless stated otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The user: the SQL, an option or the configuration is wrong. Never retried.
    Invalid,
    /// The producer: a record does not fit. The job's `on.error` policy decides.
    Data,
    /// Nobody yet: an outside system is away. Worth another try later.
    Unavailable,
    /// The operator: a limit on memory, state or disk was reached.
    Exhausted,
    /// The authors of Velostream: an invariant is broken.
    Internal,
}

impl ErrorKind {
    /// Returns the process exit code for an error of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::Data => 3,
            Self::Unavailable => 4,
            Self::Exhausted => 5,
            Self::Internal => 70,
        }
    }
}

/// What went wrong, where, and what to do next.
///
/// `Display` prints the message and the hint but not the cause; [`report`](Error::report) prints the whole chain.
///
/// ```
/// use velostream::{Error, ErrorKind};
///
/// let error = Error::invalid("unknown option `gruop.id`").with_hint("did you mean `group.id`?");
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert_eq!(error.to_string(), "unknown option `gruop.id`\nHint: did you mean `group.id`?");
/// ```
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    span: Option<Range<usize>>,
    absent: bool,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error without hint, place or cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            message: message.into(),
            hint: None,
            span: None,
            absent: false,
            cause: None,
        }))
    }

    /// Creates an error that the user has to mend.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Creates an error about something outside that the user named and that is not there: it may never come, or be
    /// there a moment later.
    pub fn absent(message: impl Into<String>) -> Self {
        let mut error = Self::invalid(message);
        error.0.absent = true;
        error
    }

    /// Creates an error about a record.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// Creates an error about something outside that is away.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Creates an error about a limit.
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Exhausted, message)
    }

    /// Creates an error about a broken invariant of our own.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Creates the error for something that the language has but this version cannot run yet.
    pub fn not_yet(what: impl fmt::Display) -> Self {
        Self::invalid(format!("{what} is not available yet"))
    }

    /// Adds the reader's next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the byte range of the SQL text that the error is about; an earlier, more exact one stays.
    #[must_use]
    pub fn with_span(mut self, span: Range<usize>) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    /// Moves the span by `offset` bytes: what was parsed was part of a larger text.
    #[must_use]
    pub fn shifted(mut self, offset: usize) -> Self {
        if let Some(span) = &mut self.0.span {
            *span = span.start + offset..span.end + offset;
        }
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Puts `context` and a colon before the message.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Copies all but the cause.
    pub(crate) fn copied(&self) -> Self {
        Self(Box::new(Details {
            kind: self.0.kind,
            message: self.0.message.clone(),
            hint: self.0.hint.clone(),
            span: self.0.span.clone(),
            absent: self.0.absent,
            cause: None,
        }))
    }

    /// Returns who has to act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns whether the same may go well a moment later, without anybody mending what was asked for.
    pub fn may_pass(&self) -> bool {
        self.0.absent || self.0.kind == ErrorKind::Unavailable
    }

    /// Returns what went wrong, without hint and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the reader's next step.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the byte range of the SQL text that the error is about.
    pub fn span(&self) -> Option<Range<usize>> {
        self.0.span.clone()
    }

    /// Returns message, causes and hint, ready for a person.
    pub fn report(&self) -> String {
        let mut text = self.0.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        if let Some(hint) = &self.0.hint {
            text.push_str(&format!("\nHint: {hint}"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, "\nHint: {hint}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError;
        match error {
            ArrowError::ExternalError(cause) => match cause.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(cause) => Self::internal(cause.to_string()),
            },
            ArrowError::ArithmeticOverflow(_) | ArrowError::DivideByZero | ArrowError::CastError(_) => {
                Self::data(error.to_string())
            }
            ArrowError::ComputeError(_) | ArrowError::ParseError(_) => Self::data(error.to_string()),
            other => Self::internal(other.to_string()),
        }
    }
}

/// Finds our error in one that several threads of a plan share.
fn ours_within<'a>(mut error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    loop {
        match error.downcast_ref() {
            Some(ours) => return Some(ours),
            None => error = error.source()?,
        }
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError;
        match error {
            DataFusionError::External(cause) => match cause.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(cause) => Self::data(cause.to_string()),
            },
            DataFusionError::ArrowError(cause, _) => Self::from(*cause),
            DataFusionError::Context(_, cause) | DataFusionError::Diagnostic(_, cause) => Self::from(*cause),
            DataFusionError::Shared(cause) => match ours_within(&cause) {
                Some(ours) => ours.copied(),
                None => Self::data(cause.strip_backtrace()),
            },
            DataFusionError::Collection(mut causes) if !causes.is_empty() => {
                Self::from(causes.swap_remove(0))
            }
            DataFusionError::ResourcesExhausted(message) => Self::exhausted(message),
            DataFusionError::Execution(message) => Self::data(message),
            DataFusionError::NotImplemented(message) => Self::not_yet(message),
            error @ (DataFusionError::Plan(_)
            | DataFusionError::SQL(..)
            | DataFusionError::SchemaError(..)
            | DataFusionError::Configuration(_)) => Self::invalid(error.strip_backtrace()),
            other => Self::internal(other.strip_backtrace()),
        }
    }
}
