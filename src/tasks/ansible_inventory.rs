//! `inv-tui --headless ansible-inventory`: the hosts for Ansible, as an inventory script gives them.
//!
//! Ansible's contract has traps, and each is stepped around: `_meta.hostvars` is always there (else
//! one process is started for each host), no group is an empty object (else it becomes a host),
//! nothing goes to standard error when all is well (Ansible prints it as an error), every host is in
//! a group, and no text is a template.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::config::{self, AnsibleInventory, MaxAge};
use crate::error::{EXIT_DONE, Error, Result};
use crate::model::groups::Grouping;
use crate::model::host::AddressType;
use crate::model::hostvars::{Carried, Wanted, hostvars, is_name};
use crate::model::selection::{Rules, Selection, Verdict};
use crate::model::text;
use crate::store::client::{ConnectOptions, Connection, connect};
use crate::store::list::{Failure, PAGE, each_host, one_host};
use crate::tasks::select::{SelectArgs, parse_filter};

mod cache;
mod document;
mod wrapper;

use cache::{Cache, Kept};
use document::{Document, Told};

/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;

/// The inventory for Ansible: hosts in service, their groups and variables.
///
/// Exit codes: 0 done, 1 the server cannot be read and nothing was kept, 2 wrong usage, 4 no host is
/// chosen. Ansible goes on without an inventory that failed unless
/// ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1 is set: set it.
#[derive(Args, Clone, Debug)]
#[expect(clippy::doc_markdown, reason = "the texts are the help in a terminal, too")]
#[command(group = clap::ArgGroup::new("what").required(true).args(["list", "host", "write_wrapper"]))]
pub struct AnsibleInventoryArgs {
    /// Print the whole inventory as JSON, as Ansible asks for it
    #[arg(long)]
    pub list: bool,
    /// Print the variables of one host as JSON
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub host: Option<String>,
    /// Write an executable file that Ansible can call (ansible -i FILE), with the options given here
    #[arg(long, value_name = "FILE")]
    pub write_wrapper: Option<PathBuf>,
    /// Which hosts.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Make groups of these: region, zone, cluster, role, team, environment, provider, state,
    /// service, maintenance, label:KEY, annotation:KEY, or PREFIX= and one of them [default: all
    /// but labels and annotations]
    #[arg(long = "group", value_name = "WHAT,…", value_delimiter = ',')]
    pub groups: Vec<Grouping>,
    /// Make variables of these annotations; a * at the end stands for anything
    #[arg(long = "annotation", value_name = "KEY,…", value_delimiter = ',')]
    pub annotations: Vec<String>,
    /// Kinds of addresses for ansible_host, the best first [default:
    /// InternalIP,ExternalIP,InternalDNS,ExternalDNS,Hostname]
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = address_type)]
    pub address: Vec<AddressType>,
    /// How old an inventory may be that is given while the API server is away; off: none is kept
    /// [default: 4h]
    #[arg(long, value_name = "LENGTH")]
    pub cache: Option<MaxAge>,
    /// An inventory without hosts is no error
    #[arg(long)]
    pub allow_empty: bool,
    /// Say on standard error how many hosts there are, and how many were left out and why
    #[arg(long, short)]
    pub verbose: bool,
}

fn address_type(text: &str) -> std::result::Result<AddressType, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|_cause| {
        format!(
            "\"{text}\" is none of InternalIP, ExternalIP, InternalDNS, ExternalDNS, Hostname, OOB"
        )
    })
}

impl AnsibleInventoryArgs {
    /// The configuration with the options laid over it.
    fn settings(&self, config: AnsibleInventory) -> AnsibleInventory {
        fn or<T: Clone>(own: &[T], other: Vec<T>) -> Vec<T> {
            if own.is_empty() { other } else { own.to_vec() }
        }
        AnsibleInventory {
            filter: self.select.filter.clone().or(config.filter),
            include: or(&self.select.include, config.include),
            groups: or(&self.groups, config.groups),
            annotations: or(&self.annotations, config.annotations),
            addresses: or(&self.address, config.addresses),
            cache: self.cache.unwrap_or(config.cache),
            allow_empty: self.allow_empty || config.allow_empty,
        }
    }
}

/// Where the inventory is read, and what of it.
struct Reader {
    connection: Connection,
    namespace: String,
    settings: AnsibleInventory,
    cache: Option<Cache>,
    now: Timestamp,
}

/// Runs the task.
///
/// # Errors
/// Wrong usage, a server that cannot be read while nothing is kept that is young enough, no host.
pub async fn run(
    args: AnsibleInventoryArgs,
    server: &ConnectOptions,
    namespace: &str,
    file: Option<&Path>,
) -> Result<u8> {
    let settings = args.settings(config::load(file)?.ansible.inventory);
    // Wrong options are told before anything is written or asked.
    parse_filter(settings.filter.as_deref().unwrap_or_default())?;
    if let Some(path) = &args.write_wrapper {
        wrapper::write(path, &args, server, namespace, file)?;
        return Ok(EXIT_DONE);
    }
    let connection = connect(server).await?;
    let now = Timestamp::now();
    let cache = settings.cache.0.and_then(|age| {
        // How long it is kept and whether it may be empty make no other inventory of it.
        let asked =
            AnsibleInventory { cache: MaxAge(None), allow_empty: false, ..settings.clone() };
        Cache::own(&format!("{} {namespace} {asked:?}", connection.identity), age)
    });
    let reader = Reader { connection, namespace: namespace.to_owned(), settings, cache, now };
    let mut out = BufWriter::with_capacity(BUFFER, std::io::stdout());
    let told = match &args.host {
        Some(name) => reader.host(name, &mut out).await?,
        None => reader.list(&mut out).await?,
    };
    out.flush().map_err(|cause| unwritten(&cause))?;
    if args.verbose {
        let _ = writeln!(std::io::stderr(), "{told}");
    }
    Ok(EXIT_DONE)
}

/// Standard output cannot be written.
fn unwritten(cause: &std::io::Error) -> Error {
    Error::new("cannot write the inventory")
        .because(std::io::Error::new(cause.kind(), cause.to_string()))
}

impl Reader {
    fn wanted(&self) -> Wanted {
        Wanted {
            addresses: self.settings.addresses.clone(),
            annotations: self.settings.annotations.clone(),
        }
    }

    fn selection(&self) -> Result<Selection> {
        let filter = parse_filter(self.settings.filter.as_deref().unwrap_or_default())?;
        Ok(Selection::new(filter, Rules::of(&self.settings.include), self.now))
    }

    /// Prints the inventory, the one of now or the one that was kept.
    async fn list(&self, out: &mut impl Write) -> Result<Told> {
        // With a cache the inventory goes there first, so that a list that breaks off in the middle
        // can still be answered by the last whole one.
        let spool = self.cache.as_ref().and_then(Cache::begin);
        match spool {
            None => match self.read(&mut *out).await {
                Ok(told) => {
                    document::close(out, None).map_err(|cause| unwritten(&cause))?;
                    Ok(told)
                }
                Err(failure) => Err(failure.into()),
            },
            Some(mut spool) => match self.read(spool.writer(self.now)).await {
                Ok(told) => {
                    spool.copy_to(out).map_err(|cause| unwritten(&cause))?;
                    document::close(out, None).map_err(|cause| unwritten(&cause))?;
                    spool.keep();
                    Ok(told)
                }
                Err(Failure::Away(error)) => {
                    drop(spool);
                    let mut kept = self.kept(error)?;
                    kept.copy_to(out).map_err(|cause| unwritten(&cause))?;
                    let stamp = Some((kept.made, kept.age));
                    document::close(out, stamp).map_err(|cause| unwritten(&cause))?;
                    Ok(Told::Kept)
                }
                Err(Failure::Other(error)) => Err(error),
            },
        }
    }

    /// Writes the inventory of now but for its end.
    async fn read(&self, out: impl Write) -> Result<Told, Failure> {
        let mut document =
            Document::new(out, &self.settings.groups, self.wanted(), self.selection()?, self.now);
        each_host(&self.connection, &self.namespace, PAGE, |json| document.host(json)).await?;
        if document.is_empty() && !self.settings.allow_empty {
            let told = document.told();
            let filter = self.settings.filter.as_deref().unwrap_or_default();
            let which = if filter.is_empty() {
                String::new()
            } else {
                format!(" that \"{}\" chooses", text::clean(filter))
            };
            let namespace = &self.namespace;
            return Err(Error::nothing(format!(
                "there is no host in service in namespace \"{namespace}\"{which} ({told})"
            ))
            .hint("--include adds hosts that are left out; --allow-empty makes it no error")
            .into());
        }
        Ok(document.end()?)
    }

    /// What was kept, now that the server is away.
    fn kept(&self, error: Error) -> Result<Kept> {
        let Some(cache) = &self.cache else { return Err(error) };
        let Some(kept) = cache.find(self.now) else {
            return Err(error.hint(
                "no inventory is kept that is young enough; --cache says how old one may be",
            ));
        };
        let _ = writeln!(
            std::io::stderr(),
            "inv-tui: the API server is away; this inventory is of {} ago ({})",
            crate::model::duration::short(kept.age),
            crate::error::chain(&error)
        );
        Ok(kept)
    }

    /// Prints the variables of one host.
    async fn host(&self, name: &str, out: &mut impl Write) -> Result<Told> {
        let shown = text::clean(name);
        if !is_name(name) {
            return Err(Error::usage(format!("\"{shown}\" is not the name of a host")));
        }
        let vars = match one_host(&self.connection, &self.namespace, name).await {
            Ok(None) => {
                let namespace = &self.namespace;
                return Err(Error::nothing(format!(
                    "there is no host \"{shown}\" in namespace \"{namespace}\""
                )));
            }
            Ok(Some(json)) => self.vars(name, json.as_bytes())?,
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::Away(error)) => self.kept(error)?.host(name)?,
        };
        writeln!(out, "{vars}").map_err(|cause| unwritten(&cause))?;
        Ok(Told::Host)
    }

    fn vars(&self, name: &str, json: &[u8]) -> Result<Value> {
        let (record, carried) = parse(json)?;
        let unreadable = || Error::new(format!("host \"{name}\" cannot be read"));
        let judged = self.selection()?.judge(record, self.now).ok_or_else(unreadable)?;
        match judged.verdict {
            Verdict::Keep => Ok(Value::Object(hostvars(&judged.row, &carried, &self.wanted()))),
            Verdict::Filtered => {
                Err(Error::nothing(format!("the filter does not choose host \"{name}\"")))
            }
            Verdict::LeftOut(absence) => {
                Err(Error::nothing(format!("host \"{name}\" is left out: {absence}"))
                    .hint(format!("--include {absence} adds such hosts")))
            }
        }
    }
}

/// Reads a host twice: for the filter, and for its variables.
fn parse(json: &[u8]) -> Result<(crate::model::record::HostRecord, Carried)> {
    let record = serde_json::from_slice(json)
        .map_err(|cause| Error::new("cannot read a host").because(cause))?;
    // A part of a wrong type gives no variables; the host is there all the same.
    Ok((record, serde_json::from_slice(json).unwrap_or_default()))
}
