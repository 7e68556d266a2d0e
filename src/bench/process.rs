//! [`Usage`]: what this process has taken of the machine, as Linux tells it.

/// Clock ticks in a second as `/proc` counts them: fixed for all programs, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time of this process up to now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    cpu_ticks: Option<u64>,
    /// Whether the highest memory counts from here on.
    counts_memory: bool,
}

impl Usage {
    /// Starts to count; the highest memory counts from here on where the system can do that.
    pub(super) fn start() -> Self {
        // "5" lowers the high-water mark of resident memory to what is resident now.
        let counts_memory = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        Self { cpu_ticks: cpu_ticks(), counts_memory }
    }

    /// Returns the processor seconds since the start, over all threads.
    #[expect(clippy::cast_precision_loss, reason = "a measured time needs no more than 52 bits")]
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        Some(cpu_ticks()?.saturating_sub(self.cpu_ticks?) as f64 / TICKS_PER_SECOND)
    }

    /// Returns the highest resident memory since the start in bytes, with what was resident before it.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        if !self.counts_memory {
            return None;
        }
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        kilobytes.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }
}

/// Returns the user and system time of the process.
fn cpu_ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name, may hold anything but ends at the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system) = (times.next()?, times.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

/// Says what machine this is.
pub(super) fn environment() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("processor unknown", |(_, model)| model.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let build = if cfg!(debug_assertions) { ", DEBUG BUILD: figures mean nothing" } else { "" };
    format!(
        "{cores} cores, {model}, {} {} {}; velostream {}, datafusion {}{build}",
        std::env::consts::OS,
        kernel.trim(),
        std::env::consts::ARCH,
        env!("CARGO_PKG_VERSION"),
        datafusion::DATAFUSION_VERSION
    )
}
