//! What this machine says of its own operating system.

use std::fs;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::model::host::OsStatus;
use crate::model::text;

/// Written by Debian and Ubuntu when a reboot is due.
const REBOOT_REQUIRED: &str = "/var/run/reboot-required";

/// The operating system that runs.
pub(super) fn os() -> OsStatus {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        short(line.trim_matches(['"', '\'']))
    };
    OsStatus {
        id: field("ID"),
        version: field("VERSION_ID"),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().and_then(|t| short(&t)),
        boot_id: boot_id(),
        boot_time: boot_time(),
        reboot_required: Some(Path::new(REBOOT_REQUIRED).exists()),
    }
}

/// Id of this boot.
pub(super) fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().and_then(|text| short(&text))
}

fn boot_time() -> Option<Time> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_second(seconds).ok().map(Time)
}

fn short(text: &str) -> Option<String> {
    let text: String = text::clean(text.trim()).chars().take(64).collect();
    Some(text).filter(|text| !text.is_empty())
}
