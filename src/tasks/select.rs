//! Which hosts a task that reads the inventory is to give, as options of the command line.

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::model::filter::Filter;
use crate::model::selection::{Include, Rules, Selection};
use crate::model::text;

/// Which hosts are given.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectArgs {
    /// Only hosts that the filter chooses, for example 'cluster:shop env=prod'
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    pub filter: Option<String>,
    /// Also hosts that take no part in service: retired, out-of-service, quarantined,
    /// decommissioning, gone, planned, stopped, maintenance, or all
    #[arg(long, value_name = "REASON,…", value_delimiter = ',')]
    pub include: Vec<Include>,
}

impl SelectArgs {
    /// The rules that the options give.
    pub fn rules(&self) -> Rules {
        Rules::of(&self.include)
    }

    /// Filter and rules, as of `now`.
    ///
    /// # Errors
    /// The filter is none: with the exit code for usage.
    pub fn selection(&self, now: Timestamp) -> Result<Selection> {
        let filter = parse_filter(self.filter.as_deref().unwrap_or_default())?;
        Ok(Selection::new(filter, self.rules(), now))
    }
}

/// Reads a filter that came from an option or a file.
///
/// # Errors
/// What is wrong with it and where, with the exit code for usage. `server:` is wrong here: a task has
/// one server, and no host would be chosen.
pub fn parse_filter(filter: &str) -> Result<Filter> {
    let parsed = Filter::parse(filter).map_err(|problem| {
        let at = filter.get(..problem.at.start).map_or(0, |before| before.chars().count());
        let shown = text::clean(filter);
        Error::usage(format!("\"{shown}\" is no filter: {problem} (at character {})", at + 1))
            .hint("? in the filter line of the explorer has the grammar")
    })?;
    if parsed.asks_for_server() {
        let shown = text::clean(filter);
        return Err(Error::usage(format!(
            "\"{shown}\" asks for a server, and here there is only one"
        ))
        .hint("leave server: out; --context chooses the server"));
    }
    Ok(parsed)
}

/// Reads a filter of a configuration file.
pub(super) fn filter<'de, D: Deserializer<'de>>(from: D) -> Result<Filter, D::Error> {
    let text = String::deserialize(from)?;
    parse_filter(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selection::Absence;
    use clap::Parser;

    #[derive(Parser)]
    struct Probe {
        #[command(flatten)]
        select: SelectArgs,
    }

    fn read(words: &[&str]) -> Result<SelectArgs, String> {
        Probe::try_parse_from([&["probe"], words].concat())
            .map(|probe| probe.select)
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn reasons_are_words_in_one_list_or_several() {
        let some = Rules::including([Absence::Gone, Absence::OutOfService]);
        assert_eq!(read(&["--include", "out-of-service,gone"]).unwrap().rules(), some);
        assert_eq!(read(&["--include=gone", "--include=out-of-service"]).unwrap().rules(), some);
        assert_eq!(read(&["--include", "all"]).unwrap().rules(), Rules::everything());
        assert_eq!(read(&[]).unwrap().rules(), Rules::in_service());
        let wrong = read(&["--include", "lost"]).unwrap_err();
        assert!(wrong.contains("maintenance, all"), "{wrong}");
    }

    #[test]
    fn a_wrong_filter_is_wrong_use() {
        let args = read(&["--filter", "a ("]).unwrap();
        let error = args.selection(Timestamp::UNIX_EPOCH).err().unwrap();
        assert_eq!(error.exit_code(), crate::error::EXIT_USAGE);
        assert!(error.to_string().contains("(at character 4)"), "{error}");
        for filter in ["server:a", "env=prod (web || !server:a)"] {
            let args = read(&["--filter", filter]).unwrap();
            let error = args.selection(Timestamp::UNIX_EPOCH).err().unwrap();
            assert_eq!(error.exit_code(), crate::error::EXIT_USAGE);
            assert!(error.next_step().unwrap().contains("--context"), "{error}");
        }
        assert!(read(&["--filter", "server=a"]).unwrap().selection(Timestamp::UNIX_EPOCH).is_ok());
    }
}
