//! `get --watch`: the hosts as they are, then every change of them, also those that time alone makes: a
//! host grows older than the filter says, a hold ends.

use std::collections::HashMap;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as follow};
use serde_json::json;

use super::print::{cells, csv_line, csv_titles, table_line, titles, widths, yaml};
use super::{Chosen, Form, GetArgs, Query, say, unwritten};
use crate::error::{EXIT_DONE, Error, Result, chain};
use crate::model::host::Host;
use crate::store::client::{Connection, DEADLINE, call, explain};
use crate::tasks::jobs::Jobs;
use crate::tasks::signals::signals;

/// Hosts of a page where the server cannot stream a list.
const PAGE: u32 = 500;
/// Hosts that are looked at again in one go, when their time has come.
const TURNS: usize = 64;
/// Longest time between two looks at the clock, which may be set.
const IDLE: Duration = Duration::from_mins(1);

/// A host that has been printed.
struct Shown {
    version: String,
    listing: u32,
    host: Chosen,
}

/// What goes on.
struct Watch<'a, W: Write> {
    args: &'a GetArgs,
    query: &'a mut Query,
    out: &'a mut W,
    shown: HashMap<String, Shown>,
    /// Hosts by the time at which what is chosen may change by itself.
    turns: Jobs,
    listing: u32,
    /// Lines of the first list, which are printed together.
    first: Option<Vec<Vec<String>>>,
    widths: Vec<usize>,
}

/// Prints the hosts and then what changes, until ctrl-c.
///
/// # Errors
/// The server refuses, at the beginning; standard output cannot be written.
pub(super) async fn run(
    args: &GetArgs,
    query: &mut Query,
    connection: &Connection,
    namespace: &str,
    out: &mut impl Write,
) -> Result<u8> {
    // A refusal is told at once and not tried again for ever.
    crate::store::watch::check(connection, Some(namespace)).await?;
    let kind = ApiResource::erase::<Host>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(connection.client.clone(), namespace, &kind);
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = pin!(follow(api.clone(), config).default_backoff());
    let mut stop = signals("stopping")?;
    let mut watch = Watch {
        args,
        query,
        out,
        shown: HashMap::new(),
        turns: Jobs::default(),
        listing: 0,
        first: Some(Vec::new()),
        widths: Vec::new(),
    };
    let mut trouble = false;
    loop {
        let wait = watch.wait();
        let event = tokio::select! {
            event = events.next() => event,
            _ = stop.changed() => break,
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                let now = Timestamp::now();
                for (name, failures) in watch.turns.take(now, TURNS) {
                    // It is read anew: nothing of a host is kept that is not shown.
                    let read = call("cannot read a host", "get hosts", DEADLINE, api.get_opt(&name));
                    let read = tokio::select! {
                        read = read => read,
                        _ = stop.changed() => return Ok(EXIT_DONE),
                    };
                    watch.query.now = Timestamp::now();
                    match read {
                        Ok(Some(object)) => watch.turned(&object)?,
                        // The watch will say so too.
                        Ok(None) => {}
                        Err(_) => watch.turns.again(name, failures, now),
                    }
                }
                continue;
            }
        };
        match event {
            None => break,
            Some(Ok(event)) => {
                trouble = false;
                watch.query.now = Timestamp::now();
                watch.event(event)?;
            }
            Some(Err(cause)) if !trouble => {
                trouble = true;
                say(&format!("{}; trying again", chain(&in_words(cause))));
            }
            Some(Err(_)) => {}
        }
    }
    Ok(EXIT_DONE)
}

fn in_words(cause: watcher::Error) -> Error {
    let what = "cannot follow hosts";
    match cause {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => explain(what, "watch hosts", cause),
        other => Error::new(what).because(other),
    }
}

impl<W: Write> Watch<'_, W> {
    fn event(&mut self, event: Event<DynamicObject>) -> Result<()> {
        match event {
            Event::Init => self.listing += 1,
            Event::InitApply(object) | Event::Apply(object) => self.apply(&object)?,
            Event::Delete(object) => {
                let uid = object.metadata.uid.clone().unwrap_or_default();
                self.turns.set(object.name_any(), None, 0);
                if let Some(shown) = self.shown.remove(&uid) {
                    self.print("DELETED", &shown.host)?;
                }
            }
            Event::InitDone => {
                self.print_first()?;
                let old = |(uid, shown): (&String, &Shown)| {
                    (shown.listing != self.listing).then(|| uid.clone())
                };
                for uid in self.shown.iter().filter_map(old).collect::<Vec<_>>() {
                    if let Some(shown) = self.shown.remove(&uid) {
                        self.print("DELETED", &shown.host)?;
                    }
                }
            }
        }
        if self.first.is_none() { self.out.flush().map_err(unwritten) } else { Ok(()) }
    }

    /// How long until something may change by itself.
    fn wait(&self) -> Option<Duration> {
        let wait = self.turns.next()?.duration_since(Timestamp::now());
        Some(Duration::try_from(wait).unwrap_or_default().min(IDLE))
    }

    fn apply(&mut self, object: &DynamicObject) -> Result<()> {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        let version = object.metadata.resource_version.as_deref().unwrap_or_default();
        let listing = self.listing;
        let number = |version: &str| version.parse::<u64>().ok();
        if let Some(shown) = self.shown.get_mut(uid) {
            shown.listing = listing;
            // One that was read because its time had come may be ahead of the watch.
            if shown.version == version || number(version) < number(&shown.version) {
                return Ok(());
            }
        }
        self.look(object)
    }

    /// Time has come to look at a host again, though it may be as it was.
    fn turned(&mut self, object: &DynamicObject) -> Result<()> {
        self.look(object)?;
        self.out.flush().map_err(unwritten)
    }

    /// Judges a host and prints what is new of it.
    fn look(&mut self, object: &DynamicObject) -> Result<()> {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let listing = self.listing;
        let text = serde_json::to_vec(object)
            .map_err(|cause| Error::new("cannot read a host").because(cause))?;
        let (chosen, next) = self.query.judge(&text)?;
        self.turns.set(object.name_any(), next, 0);
        match chosen {
            // Nothing of it is new.
            Some(_) if self.shown.get(&uid).is_some_and(|shown| shown.version == version) => {}
            Some(host) => {
                let word = if self.shown.contains_key(&uid) { "MODIFIED" } else { "ADDED" };
                self.print(word, &host)?;
                self.shown.insert(uid, Shown { version, listing, host });
            }
            // It is there, but not chosen any more.
            None => {
                if let Some(shown) = self.shown.remove(&uid) {
                    self.print("DELETED", &shown.host)?;
                }
            }
        }
        Ok(())
    }

    fn print(&mut self, word: &str, host: &Chosen) -> Result<()> {
        let form = &self.args.output;
        match form {
            Form::Name | Form::JsonPath(_) if word == "DELETED" => Ok(()),
            Form::Name => writeln!(self.out, "{}", host.row.name()).map_err(unwritten),
            Form::Json => {
                let line = json!({"type": word, "object": host.object});
                writeln!(self.out, "{line}").map_err(unwritten)
            }
            Form::Yaml => {
                let text = yaml(&json!({"type": word, "object": host.object}))?;
                writeln!(self.out, "---\n{}", text.trim_end()).map_err(unwritten)
            }
            Form::JsonPath(template) => {
                let text = template.render(&host.object);
                write!(self.out, "{text}").map_err(unwritten)
            }
            Form::Table | Form::Wide | Form::Custom(_) | Form::Csv => {
                let mut line = vec![word.to_owned()];
                line.extend(cells(&self.query.columns, form, host, self.query.now));
                match &mut self.first {
                    Some(first) => {
                        first.push(line);
                        Ok(())
                    }
                    None if *form == Form::Csv => csv_line(&line, self.out),
                    None => table_line(&line, &self.widths, self.out),
                }
            }
        }
    }

    /// Prints the first list, from which the columns have their widths.
    fn print_first(&mut self) -> Result<()> {
        let Some(lines) = self.first.take() else { return Ok(()) };
        let columns = &self.query.columns;
        match &self.args.output {
            Form::Csv => {
                csv_titles(self.args, columns, &["EVENT"], self.out)?;
                lines.iter().try_for_each(|line| csv_line(line, self.out))
            }
            Form::Table | Form::Wide | Form::Custom(_) => {
                let titles = titles(self.args, columns, &["EVENT"]);
                self.widths = widths(titles.as_ref(), &lines);
                // The longest word of an event is not in the first list.
                if let Some(width) = self.widths.first_mut() {
                    *width = (*width).max("MODIFIED".len() + 3);
                }
                let lines = titles.iter().chain(&lines);
                lines.into_iter().try_for_each(|line| table_line(line, &self.widths, self.out))
            }
            _ => Ok(()),
        }
    }
}
