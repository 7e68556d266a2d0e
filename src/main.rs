//! The `velo` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Many small batches come and go on several threads, which the system's allocator does not like.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    velostream::cli::main()
}
