//! What the process takes of the machine.

/// Returns the highest resident memory of this process in bytes, 0 where the system does not say.
pub fn peak_memory() -> u64 {
    status("VmHWM:")
}

/// Returns the resident memory of this process in bytes, 0 where the system does not say.
pub fn resident_memory() -> u64 {
    status("VmRSS:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
