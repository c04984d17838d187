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
    fn burn_is_what_we_say() {
        let lock = include_str!("../Cargo.lock");
        let entry = format!("name = \"burn\"\nversion = \"{}\"", super::BURN);
        assert!(
            lock.contains(&entry),
            "Cargo.lock has another version of Burn"
        );
    }
}
