//! `inv-tui --headless get`: hosts for scripts, chosen by the explorer's filter.

use std::collections::BTreeSet;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::config::{self, views};
use crate::error::{EXIT_DONE, EXIT_FAILED, EXIT_NOTHING, Error, Result};
use crate::model::column::{Column, TABLE, WIDE};
use crate::model::jsonpath::Template;
use crate::model::record::HostRecord;
use crate::model::row::HostRow;
use crate::model::selection::{Rules, Selection, Verdict};
use crate::model::shape::Sort;
use crate::model::text;
use crate::store::client::{ConnectOptions, Connection, connect};
use crate::store::list::{PAGE, each_host, one_host};
use crate::tasks::select::parse_filter;

mod print;
mod watch;

use print::Printer;

/// Up to so many named hosts are read one by one; more are picked from a list.
const ONE_BY_ONE: usize = 20;

/// Hosts, chosen by name or by the explorer's filter, for people and scripts.
///
/// Exit codes: 0 done, 1 something failed or a named host is not there, 2 wrong usage, 4 nothing is
/// chosen (with --fail-empty).
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct GetArgs {
    /// Hosts by name, or by a display name; none: all that the filter chooses
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only hosts that the filter chooses, for example 'cluster:shop state:run age>10d'
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    pub filter: Option<String>,
    /// A saved view: its filter, columns and order, where the other options do not say otherwise
    #[arg(long, value_name = "NAME")]
    pub view: Option<String>,
    /// Leave out hosts that take no part in service: out of service, retired, quarantined, gone,
    /// stopped, planned, being deleted, in maintenance
    #[arg(long)]
    pub in_service: bool,
    /// Form: table, wide, json, yaml, csv, name, jsonpath=TEMPLATE, custom-columns=TITLE:.path,…
    #[arg(long, short, value_name = "FORM", default_value = "table")]
    pub output: Form,
    /// Columns of a table or of csv: name, display, region, cluster, role, state, address, age and
    /// more, label:KEY, annotation:KEY, TITLE:.path
    #[arg(long, value_name = "COLUMN,…", value_parser = Column::list, allow_hyphen_values = true)]
    pub columns: Option<std::vec::Vec<Column>>,
    /// Sort by a column; with a - before it the other way round
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<Order>,
    /// Do not print the titles of columns
    #[arg(long)]
    pub no_headers: bool,
    /// Also print metadata.managedFields in json and yaml
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Go on and print every change, until ctrl-c
    #[arg(long, short, conflicts_with_all = ["sort", "fail_empty"])]
    pub watch: bool,
    /// End with exit code 4 if nothing is chosen
    #[arg(long)]
    pub fail_empty: bool,
}

/// How hosts are printed.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Columns for people.
    Table,
    /// More columns.
    Wide,
    /// JSON as kubectl prints it.
    Json,
    /// YAML as kubectl prints it.
    Yaml,
    /// Comma-separated values.
    Csv,
    /// Names, one a line.
    Name,
    /// What a template makes of them.
    JsonPath(Template),
    /// Columns by their paths.
    Custom(Vec<Column>),
}

impl FromStr for Form {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        Ok(match word.split_once('=') {
            Some(("jsonpath", template)) => Self::JsonPath(Template::parse(template)?),
            Some(("custom-columns", columns)) => Self::Custom(Column::custom(columns)?),
            Some(_) => {
                return Err(
                    "it may be jsonpath=TEMPLATE or custom-columns=TITLE:.path,…".to_owned()
                );
            }
            None => match word {
                "table" => Self::Table,
                "wide" => Self::Wide,
                "json" => Self::Json,
                "yaml" => Self::Yaml,
                "csv" => Self::Csv,
                "name" => Self::Name,
                _ => {
                    return Err("it may be table, wide, json, yaml, csv, name, jsonpath=TEMPLATE, custom-columns=TITLE:.path,…".to_owned());
                }
            },
        })
    }
}

/// A column to sort by.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    column: Column,
    backwards: bool,
}

impl FromStr for Order {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        let (backwards, word) = match word.strip_prefix('-') {
            Some(word) => (true, word),
            None => (false, word),
        };
        let path = word.starts_with(['.', '{']).then(|| format!("SORT:{word}"));
        Ok(Self { column: path.as_deref().unwrap_or(word).parse()?, backwards })
    }
}

/// One host that was chosen.
struct Chosen {
    row: HostRow,
    /// `Null` where nobody asks for it.
    object: Value,
    /// Name of its server.
    server: Arc<str>,
}

/// What is asked for.
struct Query {
    selection: Selection,
    columns: Vec<Column>,
    /// Whether whole objects are needed.
    whole: bool,
    managed_fields: bool,
    now: Timestamp,
    /// Name of the server that is asked.
    server: Arc<str>,
}

impl Query {
    fn new(args: &GetArgs, now: Timestamp) -> Result<Self> {
        let filter = parse_filter(args.filter.as_deref().unwrap_or_default())?;
        let rules = if args.in_service { Rules::in_service() } else { Rules::everything() };
        let usual = if args.output == Form::Wide { WIDE } else { TABLE };
        let columns = match (&args.output, &args.columns) {
            (Form::Custom(columns), None) | (_, Some(columns)) => columns.clone(),
            (_, None) => Column::list(usual).map_err(Error::new)?,
        };
        if args.columns.is_some() && !matches!(args.output, Form::Table | Form::Wide | Form::Csv) {
            return Err(Error::usage("--columns goes with -o table, wide or csv"));
        }
        let sorted = args.sort.as_ref().is_some_and(|order| order.column.needs_object());
        let whole = sorted
            || matches!(args.output, Form::Json | Form::Yaml | Form::JsonPath(_))
            || columns.iter().any(Column::needs_object);
        Ok(Self {
            selection: Selection::new(filter, rules, now),
            columns,
            whole,
            managed_fields: args.show_managed_fields,
            now,
            server: "".into(),
        })
    }

    /// Judges a host; none if it is not chosen.
    fn take(&mut self, json: &[u8]) -> Result<Option<Chosen>> {
        Ok(self.judge(json)?.0)
    }

    /// Judges a host: what is chosen, and when that may change although the host does not.
    fn judge(&mut self, json: &[u8]) -> Result<(Option<Chosen>, Option<Timestamp>)> {
        let unreadable = |cause| Error::new("cannot read a host").because(cause);
        let record: HostRecord = serde_json::from_slice(json).map_err(unreadable)?;
        let Some(judged) = self.selection.judge(record, self.now) else { return Ok((None, None)) };
        let next = judged.next;
        if judged.verdict != Verdict::Keep {
            return Ok((None, next));
        }
        let object = if self.whole {
            self.trimmed(serde_json::from_slice(json).map_err(unreadable)?)
        } else {
            Value::Null
        };
        let server = Arc::clone(&self.server);
        Ok((Some(Chosen { row: judged.row, object, server }), next))
    }

    /// The object as kubectl shows it.
    fn trimmed(&self, mut object: Value) -> Value {
        if let Some(object) = object.as_object_mut() {
            // An item of a list has neither.
            for (key, value) in [
                ("apiVersion", format!("{}/{}", crate::model::GROUP, crate::model::VERSION)),
                ("kind", "Host".to_owned()),
            ] {
                object.entry(key).or_insert_with(|| value.into());
            }
            if !self.managed_fields
                && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
            {
                metadata.remove("managedFields");
            }
        }
        object
    }
}

/// Takes from a saved view what the options do not say.
fn use_view(args: &mut GetArgs, name: &str, config: Option<&Path>) -> Result<()> {
    let shared = views::shared_files(&config::load(config)?.views);
    let (known, problems) = views::load(views::own_file().as_deref(), &shared);
    let view = views::find(&known, problems, name)?;
    if args.filter.is_none() && !view.filter.is_empty() {
        args.filter = Some(view.filter);
    }
    if args.columns.is_none() && matches!(args.output, Form::Table | Form::Wide | Form::Csv) {
        let own = |columns| Column::list("name").map(|name| [name, columns].concat());
        args.columns = view.columns.map(own).transpose().map_err(Error::new)?;
    }
    if view.wide && args.output == Form::Table {
        args.output = Form::Wide;
    }
    if args.sort.is_none() && !args.watch {
        let order = |sort: Sort| Order { column: sort.column, backwards: sort.descending };
        args.sort = view.sort.map(order);
    }
    Ok(())
}

/// Runs the task.
///
/// # Errors
/// Wrong usage, or what the server said.
pub async fn run(
    mut args: GetArgs,
    server: &ConnectOptions,
    namespace: &str,
    config: Option<&Path>,
) -> Result<u8> {
    if let Some(name) = args.view.take() {
        use_view(&mut args, &name, config)?;
    }
    let mut query = Query::new(&args, Timestamp::now())?;
    let connection = connect(server).await?;
    query.server = connection.context.as_str().into();
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout());
    let done = if args.watch {
        watch::run(&args, &mut query, &connection, namespace, &mut out).await
    } else {
        once(&args, &mut query, &connection, namespace, &mut out).await
    };
    let done = done.and_then(|code| out.flush().map(|()| code).map_err(unwritten));
    match done {
        // Whoever read it has enough: `get | head`.
        Err(error) if is_broken_pipe(&error) => Ok(EXIT_DONE),
        other => other,
    }
}

/// Standard output cannot be written.
fn unwritten(cause: std::io::Error) -> Error {
    Error::new("cannot write to standard output").because(cause)
}

fn is_broken_pipe(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &std::io::Error| cause.kind() == ErrorKind::BrokenPipe)
}

/// Prints the hosts as they are now.
async fn once(
    args: &GetArgs,
    query: &mut Query,
    connection: &Connection,
    namespace: &str,
    out: &mut impl Write,
) -> Result<u8> {
    let single = args.names.len() == 1;
    let mut printer = Printer::new(args, query, single);
    let mut absent = Vec::new();
    if args.names.is_empty() {
        let mut sorted = args.sort.is_some().then(Vec::new);
        each_host(connection, namespace, PAGE, |json| match (query.take(json)?, &mut sorted) {
            (None, _) => Ok(()),
            (Some(host), Some(sorted)) => {
                sorted.push(host);
                Ok(())
            }
            (Some(host), None) => printer.host(host, out),
        })
        .await?;
        print_sorted(args, query, sorted.unwrap_or_default(), &mut printer, out)?;
    } else {
        let (found, not) = named(args, query, connection, namespace).await?;
        absent = not;
        print_sorted(args, query, found, &mut printer, out)?;
    }
    let count = printer.end(out)?;
    let mut code = EXIT_DONE;
    for name in &absent {
        let shown = text::clean(name);
        say(&format!("there is no host \"{shown}\" in namespace \"{namespace}\""));
        code = EXIT_FAILED;
    }
    if count == 0 && absent.is_empty() {
        say(&format!("no host of namespace \"{namespace}\" is chosen"));
        if args.fail_empty {
            code = EXIT_NOTHING;
        }
    }
    Ok(code)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "inv-tui: {text}");
}

fn print_sorted(
    args: &GetArgs,
    query: &Query,
    mut hosts: Vec<Chosen>,
    printer: &mut Printer<'_>,
    out: &mut impl Write,
) -> Result<()> {
    if let Some(order) = &args.sort {
        hosts.sort_by(|a, b| {
            let [a, b] = [a, b].map(|host| crate::model::column::Subject {
                server: &host.server,
                row: &host.row,
                object: &host.object,
                now: query.now,
            });
            let found = order.column.compare(a, b);
            if order.backwards { found.reverse() } else { found }
        });
    }
    hosts.into_iter().try_for_each(|host| printer.host(host, out))
}

/// The hosts that are named, in the order of the names, and the names that nobody has. Of hosts that
/// the filter does not choose nothing is said.
async fn named(
    args: &GetArgs,
    query: &mut Query,
    connection: &Connection,
    namespace: &str,
) -> Result<(Vec<Chosen>, Vec<String>)> {
    let mut names: Vec<(String, bool, Vec<Chosen>)> = Vec::new();
    let mut seen = BTreeSet::new();
    for name in args.names.iter().filter(|name| seen.insert(name.as_str())) {
        names.push((name.clone(), false, Vec::new()));
    }
    if names.len() <= ONE_BY_ONE {
        for (name, there, found) in &mut names {
            if crate::model::hostvars::is_name(name)
                && let Some(json) = one_host(connection, namespace, name).await?
            {
                *there = true;
                found.extend(query.take(json.as_bytes())?);
            }
        }
    }
    if names.iter().any(|(_, there, _)| !there) {
        each_host(connection, namespace, PAGE, |json| {
            let record: HostRecord = serde_json::from_slice(json)
                .map_err(|cause| Error::new("cannot read a host").because(cause))?;
            let own = record.metadata.name.clone().unwrap_or_default();
            let display = record
                .metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(crate::model::labels::DISPLAY_NAME).cloned());
            for (name, there, found) in &mut names {
                // Who bears the name itself comes before those who are only called so.
                if found.iter().any(|host| host.row.name() == name) {
                    continue;
                }
                if own == *name {
                    *there = true;
                    *found = query.take(json)?.into_iter().collect();
                } else if display.as_deref() == Some(name.as_str()) {
                    *there = true;
                    found.extend(query.take(json)?);
                }
            }
            Ok(())
        })
        .await?;
    }
    let absent =
        names.iter().filter(|(_, there, _)| !there).map(|(name, ..)| name.clone()).collect();
    Ok((names.into_iter().flat_map(|(_, _, found)| found).collect(), absent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_words_or_have_a_template() {
        for (word, form) in [
            ("table", Form::Table),
            ("wide", Form::Wide),
            ("json", Form::Json),
            ("yaml", Form::Yaml),
            ("csv", Form::Csv),
            ("name", Form::Name),
        ] {
            assert_eq!(word.parse::<Form>().unwrap(), form);
        }
        assert!(matches!("jsonpath={.a}".parse(), Ok(Form::JsonPath(_))));
        assert!(
            matches!("custom-columns=A:.a,B:.b".parse(), Ok(Form::Custom(columns)) if columns.len() == 2)
        );
        for (word, why) in [
            ("xml", "table, wide"),
            ("jsonpath={.a", "is missing"),
            ("json=x", "jsonpath=TEMPLATE"),
            ("custom-columns=A", "TITLE:.path"),
        ] {
            let problem = word.parse::<Form>().unwrap_err();
            assert!(problem.contains(why), "{word}: {problem}");
        }
        assert!("-age".parse::<Order>().unwrap().backwards);
        assert!(".spec.role".parse::<Order>().unwrap().column.needs_object());
    }
}
