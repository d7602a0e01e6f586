//! Follows runs until all of them have ended.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::is_good;
use crate::error::{EXIT_DONE, EXIT_FAILED, Result};
use crate::model::host::{AnsibleStatus, Host, RunState};
use crate::tasks::shell::{self, Output, Session};

/// Follows the runs that these hosts were asked for. Returns the exit code: whether all succeeded.
///
/// # Errors
/// Standard output cannot be written.
pub(super) async fn follow(
    session: &Session,
    namespace: &str,
    asked: &[Host],
    length: Duration,
    output: Output,
    out: &mut impl Write,
) -> Result<u8> {
    let mut open: HashMap<String, (String, Option<RunState>)> = asked
        .iter()
        .filter_map(|host| {
            let id = host.spec.ansible.as_ref()?.request_id.clone();
            Some((host.name_any(), (id, None)))
        })
        .collect();
    let total = open.len();
    let api: Api<Host> = Api::namespaced(session.actor.connection.client.clone(), namespace);
    let mut config = watcher::Config::default();
    if let [only] = asked {
        config = config.fields(&format!("metadata.name={}", only.name_any()));
    }
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let deadline = Instant::now() + length;
    let (mut good, mut rows) = (0, Vec::new());
    while !open.is_empty() {
        let Ok(Some(event)) = tokio::time::timeout_at(deadline, events.next()).await else { break };
        let (host, deleted) = match event {
            Ok(watcher::Event::Apply(host) | watcher::Event::InitApply(host)) => (host, false),
            Ok(watcher::Event::Delete(host)) => (host, true),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => continue,
            Err(cause) => {
                tracing::warn!(%cause, "the runs are out of sight; trying again");
                continue;
            }
        };
        let name = host.name_any();
        let Some((id, seen)) = open.get_mut(&name) else { continue };
        let request = host.spec.ansible.as_ref();
        let status = host.status.as_ref().and_then(|status| status.ansible.as_ref());
        let answer = status.filter(|status| status.request_id == *id);
        match answer {
            Some(run) if run.state.is_final() => {
                good += usize::from(is_good(run.state));
                rows.push(told(&name, run, asked.len(), output, out)?);
                open.remove(&name);
            }
            _ if deleted || request.is_none_or(|request| request.request_id != *id) => {
                let why = if deleted { "the host is gone" } else { "another run was asked for" };
                rows.push(json!({"name": name, "state": "Lost", "message": why}));
                if output == Output::Table {
                    shell::line(out, &[&name, "Lost", why])?;
                }
                open.remove(&name);
            }
            Some(run) if *seen != Some(run.state) => {
                *seen = Some(run.state);
                if output == Output::Table {
                    let message = run.message.as_deref().unwrap_or_default();
                    shell::line(out, &[&name, run.state.as_str(), message])?;
                }
            }
            _ => {}
        }
    }
    let mut left: Vec<&String> = open.keys().collect();
    left.sort();
    for name in left {
        rows.push(json!({"name": name, "state": "Waiting"}));
        if output == Output::Table {
            shell::line(out, &[name, "Waiting", "the run goes on; this program waits no longer"])?;
        }
    }
    if output == Output::Json {
        shell::json(out, &json!({"runs": rows}))?;
    }
    Ok(if good == total { EXIT_DONE } else { EXIT_FAILED })
}

/// Tells how a run ended: the counts, and the end of its log where it failed or is the only one.
fn told(
    name: &str,
    run: &AnsibleStatus,
    runs: usize,
    output: Output,
    out: &mut impl Write,
) -> Result<Value> {
    if output == Output::Table {
        let count = |what: &str, number: Option<i32>| format!("{what}={}", number.unwrap_or(0));
        let counts = [
            count("ok", run.ok),
            count("changed", run.changed),
            count("failed", run.failed),
            count("unreachable", run.unreachable),
            run.rc.map(|rc| format!("rc={rc}")).unwrap_or_default(),
        ];
        let message = run.message.as_ref().map(|m| format!("  {m}")).unwrap_or_default();
        let text = format!("{}{message}", counts.join(" "));
        shell::line(out, &[name, run.state.as_str(), &text])?;
        if runs == 1 || !is_good(run.state) {
            for row in run.tail.iter().flat_map(|tail| tail.lines()) {
                shell::line(out, &[&format!("  | {row}")])?;
            }
        }
    }
    Ok(json!({
        "name": name, "state": run.state.as_str(), "rc": run.rc, "ok": run.ok,
        "changed": run.changed, "failed": run.failed, "unreachable": run.unreachable,
        "message": run.message, "tail": run.tail,
    }))
}
