//! What is on this machine: the configuration file, the terminal, the journal.

use std::path::Path;

use super::Findings;
use crate::config::check::Wrong;
use crate::config::{self, Config};
use crate::journal::Journal;
use crate::ui::configured;

/// The configuration; the default one where it cannot be used.
pub(super) fn config(file: Option<&Path>, findings: &mut Findings) -> Config {
    const AREA: &str = "config";
    let themes = config::themes_folder();
    let read = match config::read(file) {
        Ok(read) => read,
        Err(problem) => {
            findings.failed(AREA, super::Weight::Problem, &problem);
            return Config::default();
        }
    };
    let parsed = match configured::parse(&read, themes.as_deref()) {
        Ok(parsed) => parsed,
        Err(wrong) => {
            let path = read.path.unwrap_or_default();
            for Wrong { line, column, what, hint } in wrong {
                let place = format!("{}:{line}:{column}", path.display());
                findings.problem(AREA, format!("\"{place}\": {what}"), hint);
            }
            return Config::default();
        }
    };
    let place = file.map(Path::to_owned).or_else(config::default_file);
    match place {
        Some(place) if place.exists() => {
            findings.fine(AREA, format!("\"{}\" is read", place.display()));
        }
        Some(place) => {
            findings
                .note(AREA, format!("there is no \"{}\": everything by default", place.display()));
        }
        None => findings.note(AREA, "there is no home folder: everything by default"),
    }
    parsed
}

/// What the explorer can draw with.
pub(super) fn terminal(variable: impl Fn(&str) -> Option<String>, findings: &mut Findings) {
    const AREA: &str = "terminal";
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match set("TERM").as_deref() {
        None | Some("dumb") => findings.warn(
            AREA,
            "TERM names no terminal that can be drawn on",
            "start the explorer in a terminal, or set TERM, for example to xterm-256color",
        ),
        Some(term) => findings.fine(AREA, format!("TERM is {term}")),
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let wide = locale.to_ascii_lowercase().replace('-', "").contains("utf8");
    if !wide {
        findings.note(
            AREA,
            format!("the locale \"{locale}\" is not UTF-8: draw with --ascii if signs look wrong"),
        );
    }
}

/// Where acts are written down.
pub(super) fn journal(findings: &mut Findings) {
    const AREA: &str = "journal";
    let Some(journal) = Journal::own() else {
        findings.warn(
            AREA,
            "there is no home folder to keep a journal in",
            "set HOME: changes are made, but not written down here",
        );
        return;
    };
    let place = journal.path().display().to_string();
    match journal.newest(1) {
        Ok(recent) if recent.skipped > 0 => findings.warn(
            AREA,
            format!("\"{place}\" has lines that are no entries"),
            "look at it with :journal; what cannot be read is left out, nothing is lost",
        ),
        Ok(_) => findings.fine(AREA, format!("\"{place}\"")),
        Err(problem) => findings.failed(AREA, super::Weight::Warning, &problem),
    }
}
