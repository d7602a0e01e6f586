//! Requests as text and as JSON.

use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::csr::{Mismatch, State};
use crate::model::duration;
use crate::store::certificates::{Decoded, about};

/// A table for people; what does not fit comes last, for it may be long.
pub(super) fn table(lines: &[(&Decoded, Option<Vec<Mismatch>>)], now: Timestamp) -> String {
    let head = ["NAME", "AGE", "HOST", "REQUESTER", "KEY", "STATE", "CHECK"].map(ToOwned::to_owned);
    let mut rows = vec![head];
    for (decoded, found) in lines {
        let about = about(decoded);
        let age = about.created.map(|created| now.duration_since(created).as_secs());
        let request = decoded.as_ref().ok();
        let host = request.and_then(|request| request.host());
        rows.push([
            about.name.clone(),
            age.map_or_else(|| "-".to_owned(), duration::short),
            host.map_or_else(|| "-".to_owned(), |(namespace, name)| format!("{namespace}/{name}")),
            about.requester.clone(),
            request.map_or_else(|| "-".to_owned(), |request| request.asks.key.to_string()),
            about.state.as_str().to_owned(),
            check(found.as_deref()),
        ]);
    }
    let width = |column: usize| {
        let lengths =
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn check(found: Option<&[Mismatch]>) -> String {
    match found {
        None => String::new(),
        Some([]) => "matches".to_owned(),
        Some([only]) => format!("{}: {}", only.reason, only.text()),
        Some([first, rest @ ..]) => {
            format!("{}: {} (and {} more)", first.reason, first.text(), rest.len())
        }
    }
}

/// Everything about one request.
pub(super) fn one(decoded: &Decoded, found: &[Mismatch]) -> String {
    let about = about(decoded);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}{}", if value.is_empty() { "-" } else { value });
    };
    line("Name", &about.name);
    line("State", about.state.as_str());
    if let Some(decision) = &about.decision {
        line("Decision", &format!("{}: {}", decision.reason, decision.message));
    }
    if let Some(issued) = &about.issued {
        line("Certificate", &format!("serial {}, until {}", issued.serial, issued.not_after));
    }
    line("Created", &about.created.map(|at| at.to_string()).unwrap_or_default());
    line("Requester", &about.requester);
    line("Groups", &about.requester_groups.join(", "));
    line("Signer", &about.signer);
    line("Usages", &about.usages.join(", "));
    let validity = about.expiration_seconds.map(|seconds| duration::short(i64::from(seconds)));
    line("Validity", &validity.unwrap_or_else(|| "as the signer gives".to_owned()));
    match decoded {
        Err(problem) => line("Request", &format!("cannot be read: {}", problem.why)),
        Ok(request) => {
            let asks = &request.asks;
            let list = |items: Vec<String>| items.join(", ");
            line("Subject", &asks.subject_text());
            line("Key", &asks.key.to_string());
            line("Key SHA-256", &asks.fingerprint);
            line("Signature", if asks.signature_fits { "fits the key" } else { "does not fit" });
            line("Alt. names", &list(asks.sans.iter().map(ToString::to_string).collect()));
            line("Key usage", &asks.key_usage.join(", "));
            line("Ext. usage", &asks.extended_usage.join(", "));
            line("Authority", if asks.authority { "yes" } else { "no" });
            line("Extensions", &list(asks.extensions.iter().map(|e| e.oid.clone()).collect()));
            line("Attributes", &asks.attributes.join(", "));
        }
    }
    if about.state == State::Pending {
        if found.is_empty() {
            line("Check", "everything matches");
        }
        for mismatch in found {
            line("Mismatch", &format!("{}: {}", mismatch.reason, mismatch.text()));
        }
    }
    text
}

/// One request for programs. `mismatches` is null for what is decided.
pub(super) fn json(decoded: &Decoded, found: Option<&[Mismatch]>) -> Value {
    let about = about(decoded);
    let mismatches = found.map(|found| {
        let one = |m: &Mismatch| {
            json!({"reason": m.reason, "field": m.field, "found": m.found, "wanted": m.wanted, "fatal": m.fatal})
        };
        found.iter().map(one).collect::<Vec<_>>()
    });
    let mut value = json!({
        "name": about.name,
        "uid": about.uid,
        "state": about.state.as_str(),
        "created": about.created.map(|at| at.to_string()),
        "requester": about.requester,
        "groups": about.requester_groups,
        "signer": about.signer,
        "usages": about.usages,
        "expirationSeconds": about.expiration_seconds,
        "decision": about.decision.as_ref().map(|d| json!({
            "reason": d.reason, "message": d.message, "at": d.at.map(|at| at.to_string()),
        })),
        "certificate": about.issued.as_ref().map(|issued| json!({
            "serial": issued.serial, "notAfter": issued.not_after.to_string(),
        })),
        "mismatches": mismatches,
    });
    let more = match decoded {
        Err(problem) => json!({"problem": problem.why}),
        Ok(request) => json!({
            "host": request.host().map(|(namespace, name)| json!({"namespace": namespace, "name": name})),
            "subject": request.asks.subject_text(),
            "key": request.asks.key.to_string(),
            "keySHA256": request.asks.fingerprint,
            "alternativeNames": request.asks.sans.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}
