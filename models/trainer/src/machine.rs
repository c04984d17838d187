//! Where a run took place.

use std::process::Command;
use std::thread::available_parallelism;

/// The processor, and how many threads it runs.
pub(crate) fn describe() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let threads = available_parallelism().map_or(1, usize::from);
    format!("{name}, {threads} threads")
}

/// Ticks of the clock that the kernel tells processor time by; the same on all machines that Linux runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor time of this process so far, all its threads together; 0 where the system doesn't tell.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before the bracket may hold spaces; `utime` and `stime` are the 12th and 13th after it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_A_SECOND
}

/// The revision of the repository around the working directory; `-dirty` if it has changes.
pub(crate) fn revision() -> Option<String> {
    let git = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(git.stdout).ok()?;
    (git.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// This program's version, and that of what it trains with.
pub(crate) fn versions() -> String {
    format!("dunlin-train {}, Burn {BURN}", env!("CARGO_PKG_VERSION"))
}

/// Held against `Cargo.lock` by a test.
const BURN: &str = "0.22.1";

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn processor_time_passes_with_work() {
        let (begun, before) = (std::time::Instant::now(), super::processor_seconds());
        while super::processor_seconds() < before + 0.05 {
            assert!(begun.elapsed().as_secs() < 60, "{before} s, and no more");
        }
    }

    #[test]
    fn burn_is_what_we_say() {
        let lock = include_str!("../Cargo.lock");
        let entry = format!("name = \"burn\"\nversion = \"{}\"", super::BURN);
        assert!(
            lock.contains(&entry),
            "Cargo.lock has another version of Burn"
        );
    }
}
