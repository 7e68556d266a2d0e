//! [`Settings`]: what the process says about an application beside its text.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::ScalarValue;

use crate::config::{Entry, Environment};
use crate::connect::console::OutputForm;
use crate::job::Mode;
use crate::time::Clock;

/// What an application is planned and run with.
#[derive(Clone)]
pub struct Settings {
    /// Job options of the command line and the configuration.
    pub options: Vec<Entry>,
    /// The values of parameters: `1` for `$1`, `name` for `:name`.
    pub parameters: BTreeMap<String, ScalarValue>,
    /// `--mode`, if it was given.
    pub mode: Option<Mode>,
    /// How `stdout` shows rows.
    pub output: OutputForm,
    /// The directory of the `.sql` file, for files that it names.
    pub directory: PathBuf,
    /// The variables that `${…}` means.
    pub environment: Arc<dyn Environment + Send + Sync>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The number of cores to use unless a job says otherwise.
    pub parallelism: NonZeroUsize,
    /// Whether columns may be inferred by looking at data outside.
    pub contact: bool,
}
