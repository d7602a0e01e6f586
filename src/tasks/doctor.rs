//! `inv-tui --headless doctor`: finds what is wrong with configuration, connection, definitions,
//! permissions, sources, services and clock, and says how to mend it. It changes nothing.

mod local;
mod server;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::error::{EXIT_DONE, EXIT_FAILED, Error, Result, chain};
use crate::model::text::clean;
use crate::store::client::ConnectOptions;

/// Find what is wrong with the set-up, and how to mend it.
///
/// Exit codes: 0 nothing is wrong (there may be warnings), 1 something is, 2 wrong usage.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// How it is told
    #[arg(long, short = 'o', value_enum, default_value_t, value_name = "FORM")]
    pub output: Form,
}

/// How it is told.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Lines for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Weight {
    /// As it should be.
    Fine,
    /// Good to know.
    Note,
    /// It works, but not all of it, or not for long.
    Warning,
    /// It does not work.
    Problem,
}

impl Weight {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// How it is coloured on a terminal.
    fn colour(self) -> &'static str {
        match self {
            Self::Fine => "32",
            Self::Note => "36",
            Self::Warning => "33",
            Self::Problem => "31",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What it belongs to, one word.
    area: &'static str,
    weight: Weight,
    /// How it is.
    what: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// What was found, in the order in which it was looked for.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, area: &'static str, weight: Weight, what: impl Into<String>) -> &mut Finding {
        let what = clean(&what.into()).into_owned();
        self.0.push(Finding { area, weight, what, mend: None });
        let last = self.0.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was pushed just now")]
        &mut self.0[last]
    }

    fn fine(&mut self, area: &'static str, what: impl Into<String>) {
        self.add(area, Weight::Fine, what);
    }

    fn note(&mut self, area: &'static str, what: impl Into<String>) {
        self.add(area, Weight::Note, what);
    }

    fn warn(&mut self, area: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(area, Weight::Warning, what).mend = Some(clean(&mend.into()).into_owned());
    }

    fn problem(&mut self, area: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(area, Weight::Problem, what).mend = Some(clean(&mend.into()).into_owned());
    }

    /// What an error of ours says, and what it says to do.
    fn failed(&mut self, area: &'static str, weight: Weight, error: &Error) {
        let mend = error.next_step().map(|step| clean(step).into_owned());
        self.add(area, weight, chain(error)).mend = mend;
    }

    fn worst(&self) -> Weight {
        self.0.iter().map(|finding| finding.weight).max().unwrap_or(Weight::Fine)
    }

    fn count(&self, weight: Weight) -> usize {
        self.0.iter().filter(|finding| finding.weight == weight).count()
    }
}

/// Looks at everything and tells. Gives the exit code.
///
/// # Errors
/// Standard output cannot be written.
pub async fn run(
    args: DoctorArgs,
    config: Option<PathBuf>,
    options: &ConnectOptions,
    namespace: Option<&str>,
) -> Result<u8> {
    let mut findings = Findings::default();
    let config = local::config(config.as_deref(), &mut findings);
    local::terminal(|name| std::env::var(name).ok(), &mut findings);
    local::journal(&mut findings);
    let mut options = options.clone();
    if options.kubeconfig.is_none() && !options.embedded {
        options.context = options.context.or(config.context);
    }
    let namespace = namespace.map(ToOwned::to_owned).or(config.namespace);
    server::look(&options, namespace.as_deref(), &mut findings).await;
    let out = std::io::stdout();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    print(&findings, args.output, colour, &mut out.lock())
        .map_err(|cause| Error::new("cannot write the findings").because(cause))?;
    Ok(if findings.worst() == Weight::Problem { EXIT_FAILED } else { EXIT_DONE })
}

fn print(
    findings: &Findings,
    form: Form,
    colour: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    if form == Form::Json {
        serde_json::to_writer_pretty(&mut *out, &findings.0)?;
        return writeln!(out);
    }
    let widest = findings.0.iter().map(|finding| finding.area.len()).max().unwrap_or(0);
    for Finding { area, weight, what, mend } in &findings.0 {
        let word = format!("{:<7}", weight.as_str());
        let word =
            if colour { format!("\u{1b}[{}m{word}\u{1b}[0m", weight.colour()) } else { word };
        writeln!(out, "{word}  {area:<widest$}  {what}")?;
        if let Some(mend) = mend {
            writeln!(out, "{:9}{:widest$}  → {mend}", "", "")?;
        }
    }
    let (problems, warnings) = (findings.count(Weight::Problem), findings.count(Weight::Warning));
    let some = |n: usize, word: &str| match n {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    writeln!(out, "\n{}, {}", some(problems, "problem"), some(warnings, "warning"))
}

#[cfg(test)]
mod tests;
