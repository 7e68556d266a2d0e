//! Room on the stack for deep syntax trees.

use crate::error::{Error, Result};

/// Bytes of stack for work on a deep tree; only what is touched is really used.
const STACK_BYTES: usize = 64 << 20;

/// Runs `work` on a thread with 64 MiB of stack and waits for it.
///
/// The limits let through trees about 1,000 levels deep. Dropping and visiting those fits in 2 MiB, cloning and comparing them
/// does not (sqlparser's derived code takes several KiB per level in a debug build). A panic in `work` goes on in the caller.
///
/// # Errors
/// `Exhausted` if the system gives no thread.
pub fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("velo-sql".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::exhausted("no thread for a large statement").with_cause(error))?;
        match thread.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
