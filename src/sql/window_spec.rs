//! [`WindowSpec`]: the one internal form of every streaming window, and its text form.

use std::fmt::Write as _;
use std::num::NonZeroI64;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::sql::suggest::nearest;
use crate::time::{AlignedWindow, LateRule, SessionWindow, WindowShape};

/// Which rows a window puts together. All lengths are in milliseconds and greater than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// Windows of one size, end to end.
    Tumbling {
        /// Length of a window.
        size_ms: i64,
    },
    /// Windows of one size, a new one every slide; the slide is at most the size.
    Hopping {
        /// Length of a window.
        size_ms: i64,
        /// From the start of one window to the start of the next.
        slide_ms: i64,
    },
    /// Windows that grow with their rows, per key, until a gap.
    Session {
        /// A row this long after the last one, or longer, starts a new session.
        gap_ms: i64,
        /// Cuts a session this long after its start.
        max_ms: Option<i64>,
    },
    /// Windows that grow by a step up to a size; the size is a multiple of the step.
    Cumulate {
        /// How much each window is longer than the one before.
        step_ms: i64,
        /// Length of the longest window.
        size_ms: i64,
    },
}

/// A streaming window in its one internal form, whatever its spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// Kind and lengths.
    pub kind: WindowKind,
    /// The time column as SQL (`ts`, `e.ts`, `"Ts"`), unquoted names in lower case; `None` means the input's event time.
    pub time_column: Option<String>,
    /// Further columns of `SESSION(ts, gap, key, …)`, as SQL.
    pub partition_by: Vec<String>,
    /// Shifts the window bounds, in milliseconds.
    pub offset_ms: i64,
    /// The zone whose local clock large windows follow; `None` means the job's `timezone`.
    pub time_zone: Option<String>,
    /// How long after its end a window waits for late rows, in milliseconds.
    pub grace_ms: Option<i64>,
    /// Where rows go whose windows are all closed.
    pub late: LateRule,
}

impl WindowSpec {
    /// Creates a window over the input's event time with no further arguments.
    pub fn new(kind: WindowKind) -> Self {
        Self {
            kind,
            time_column: None,
            partition_by: Vec::new(),
            offset_ms: 0,
            time_zone: None,
            grace_ms: None,
            late: LateRule::Drop,
        }
    }

    /// Returns the text form that [`FromStr`] reads, such as `tumbling;size=60000;offset=0`.
    ///
    /// Two windows are the same exactly if their texts are.
    pub fn to_text(&self) -> String {
        let mut text = match self.kind {
            WindowKind::Tumbling { size_ms } => format!("tumbling;size={size_ms}"),
            WindowKind::Hopping { size_ms, slide_ms } => format!("hopping;size={size_ms};slide={slide_ms}"),
            WindowKind::Session { gap_ms, max_ms: None } => format!("session;gap={gap_ms}"),
            WindowKind::Session { gap_ms, max_ms: Some(max) } => format!("session;gap={gap_ms};max={max}"),
            WindowKind::Cumulate { step_ms, size_ms } => format!("cumulate;step={step_ms};size={size_ms}"),
        };
        let mut add = |key: &str, value: &str| {
            // Writing to a `String` cannot fail.
            write!(text, ";{key}={value}").unwrap_or_default();
        };
        add("offset", &self.offset_ms.to_string());
        if let Some(column) = &self.time_column {
            add("time", &escape(column));
        }
        for column in &self.partition_by {
            add("by", &escape(column));
        }
        if let Some(zone) = &self.time_zone {
            add("zone", &escape(zone));
        }
        if let Some(grace) = self.grace_ms {
            add("grace", &grace.to_string());
        }
        match self.late {
            LateRule::Drop => {}
            LateRule::NextOpen => add("late", "next"),
            LateRule::Correct => add("late", "correct"),
        }
        text
    }
}

impl WindowSpec {
    /// Returns the windows that lie at fixed places, or none for sessions.
    ///
    /// # Errors
    /// Invalid: a time zone is unknown, or a length is zero.
    pub fn aligned(&self) -> Result<Option<AlignedWindow>> {
        let length = |ms| NonZeroI64::new(ms).ok_or_else(|| Error::invalid("a window whose length is zero"));
        let shape = match self.kind {
            WindowKind::Session { .. } => return Ok(None),
            WindowKind::Tumbling { size_ms } => WindowShape::Tumbling { size: length(size_ms)? },
            WindowKind::Hopping { size_ms, slide_ms } => {
                WindowShape::Hopping { size: length(size_ms)?, slide: length(slide_ms)? }
            }
            WindowKind::Cumulate { step_ms, size_ms } => {
                WindowShape::Cumulate { step: length(step_ms)?, size: length(size_ms)? }
            }
        };
        let mut windows = AlignedWindow::new(shape);
        windows.offset_ms = self.offset_ms;
        windows.grace_ms = self.grace_ms.unwrap_or(0);
        windows.late = self.late;
        Ok(Some(match &self.time_zone {
            Some(zone) => windows.in_zone(time_zone(zone)?),
            None => windows,
        }))
    }

    /// Returns the sessions that this is, or none for windows at fixed places.
    pub fn session(&self) -> Option<SessionWindow> {
        let WindowKind::Session { gap_ms, max_ms } = self.kind else { return None };
        Some(SessionWindow { gap_ms, max_ms, grace_ms: self.grace_ms.unwrap_or(0), late: self.late })
    }

    /// Returns how long a window lasts at most, if that is known, in milliseconds.
    pub fn longest_ms(&self) -> Option<i64> {
        // A day with a change of the clock is longer.
        let change_ms = if self.time_zone.is_some() { 2 * 60 * 60 * 1_000 } else { 0 };
        match self.kind {
            WindowKind::Tumbling { size_ms }
            | WindowKind::Hopping { size_ms, .. }
            | WindowKind::Cumulate { size_ms, .. } => Some(size_ms + change_ms),
            WindowKind::Session { gap_ms, max_ms } => max_ms.map(|max_ms| max_ms + gap_ms),
        }
    }

    /// Returns the keyword of the kind.
    pub fn name(&self) -> &'static str {
        match self.kind {
            WindowKind::Tumbling { .. } => "TUMBLING",
            WindowKind::Hopping { .. } => "HOPPING",
            WindowKind::Session { .. } => "SESSION",
            WindowKind::Cumulate { .. } => "CUMULATE",
        }
    }
}

fn time_zone(name: &str) -> Result<chrono_tz::Tz> {
    name.parse().map_err(|_| {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let error = Error::invalid(format!("unknown time zone `{name}` of a window"));
        match nearest(name, names) {
            Some(close) => error.with_hint(format!("did you mean `{close}`?")),
            None => error.with_hint("zones are named like `Europe/London`"),
        }
    })
}

impl FromStr for WindowSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let broken = || Error::internal(format!("not the text of a window: `{text}`"));
        let mut parts = text.split(';');
        let name = parts.next().ok_or_else(broken)?;
        let fields: Vec<(&str, String)> = parts
            .map(|part| part.split_once('=').map(|(key, value)| (key, unescape(value))))
            .collect::<Option<_>>()
            .ok_or_else(broken)?;
        let field = |key: &str| fields.iter().find(|(own, _)| *own == key).map(|(_, value)| value.clone());
        let number = |key: &str| match field(key) {
            Some(value) => value.parse::<i64>().map(Some).map_err(|_| broken()),
            None => Ok(None),
        };
        let length = |key: &str| number(key)?.filter(|ms| *ms > 0).ok_or_else(broken);
        let kind = match name {
            "tumbling" => WindowKind::Tumbling { size_ms: length("size")? },
            "hopping" => WindowKind::Hopping { size_ms: length("size")?, slide_ms: length("slide")? },
            "session" => WindowKind::Session { gap_ms: length("gap")?, max_ms: number("max")? },
            "cumulate" => WindowKind::Cumulate { step_ms: length("step")?, size_ms: length("size")? },
            _ => return Err(broken()),
        };
        Ok(Self {
            kind,
            time_column: field("time"),
            partition_by: fields
                .iter()
                .filter(|(key, _)| *key == "by")
                .map(|(_, value)| value.clone())
                .collect(),
            offset_ms: number("offset")?.unwrap_or(0),
            time_zone: field("zone"),
            grace_ms: number("grace")?,
            late: match field("late").as_deref() {
                None => LateRule::Drop,
                Some("next") => LateRule::NextOpen,
                Some("correct") => LateRule::Correct,
                Some(_) => return Err(broken()),
            },
        })
    }
}

/// Hides the characters that separate fields.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace(';', "%3B").replace('=', "%3D").replace('\'', "%27")
}

/// Undoes [`escape`].
fn unescape(text: &str) -> String {
    text.replace("%27", "'").replace("%3D", "=").replace("%3B", ";").replace("%25", "%")
}
