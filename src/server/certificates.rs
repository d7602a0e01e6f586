//! `CertificateSigningRequest` of certificates.k8s.io/v1: its rules, its signer, its end.
//!
//! The rules are those of kube-apiserver (pkg/registry/certificates, pkg/apis/certificates and the
//! admission plug-ins of that name); the signer is the one of kube-controller-manager for client
//! certificates of the API server.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::auth::authority::Authority;
use super::auth::request::Request;
use super::auth::roles::{ADMINS, MASTERS, allows, refused};
use super::auth::{Action, User};
use super::status::{ApiError, ApiResult, Cause, MAX_CAUSES};

/// API group.
pub const GROUP: &str = "certificates.k8s.io";
/// Plural.
pub const PLURAL: &str = "certificatesigningrequests";
/// Kind.
pub const KIND: &str = "CertificateSigningRequest";
/// The signer that this server is itself: client certificates that it accepts.
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// The longest life of a certificate that is signed here (`--cluster-signing-duration`).
const LONGEST_LIFE: u64 = 365 * 24 * 3600;
const SHORTEST_LIFE: i64 = 600;
/// A decided request is kept this long, an undecided one that long (the cleaner of
/// kube-controller-manager).
const KEEP_DECIDED: SignedDuration = SignedDuration::from_hours(1);
const KEEP_PENDING: SignedDuration = SignedDuration::from_hours(24);
/// A domain, a slash and a path of a subdomain and a label.
const LONGEST_SIGNER: usize = 253 + 1 + 253 + 1 + 63;

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";
/// Conditions that decide, and therefore stay.
const FINAL: [&str; 3] = [APPROVED, DENIED, FAILED];

const USAGES: [&str; 23] = [
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "key agreement",
    "data encipherment",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
    "any",
    "server auth",
    "client auth",
    "code signing",
    "email protection",
    "s/mime",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "timestamping",
    "ocsp signing",
    "microsoft sgc",
    "netscape sgc",
];

/// A new request of `user`: says in it who asks, empties its status, and checks the rest.
///
/// # Errors
///
/// 403 for a client certificate in `system:masters` or `inv:admins`; 422 with all that is wrong.
pub fn on_create(user: &User, object: &mut Value) -> ApiResult<()> {
    let Some(fields) = object.as_object_mut() else {
        return Err(ApiError::bad_request("the object is not an object"));
    };
    fields.insert("status".to_owned(), json!({}));
    let spec = fields.entry("spec").or_insert_with(|| json!({}));
    let Some(spec) = spec.as_object_mut() else {
        return Err(ApiError::bad_request("spec is not an object"));
    };
    for key in ["username", "uid", "groups", "extra"] {
        spec.remove(key);
    }
    spec.insert("username".to_owned(), user.name.as_str().into());
    spec.insert("groups".to_owned(), json!(user.groups));
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }

    let request = request(object);
    let almighty = request.as_ref().ok().and_then(almighty);
    if let Some(group) = almighty.filter(|_| signer(object) == CLIENT_SIGNER) {
        let why = format!("use of {CLIENT_SIGNER} signer with {group} group is not allowed");
        return Err(refused(GROUP, PLURAL, name(object), &why));
    }
    let mut causes = Vec::new();
    if let Err(why) = request {
        let given = object.pointer("/spec/request").unwrap_or(&Value::Null);
        causes.push(if given.as_str().is_none_or(str::is_empty) {
            Cause::required("spec.request", "")
        } else {
            Cause::invalid("spec.request", &Value::from("…"), why)
        });
    }
    check_signer(object, &mut causes);
    check_usages(object, &mut causes);
    match object.pointer("/spec/expirationSeconds") {
        None | Some(Value::Null) => {}
        Some(given) if given.as_i64().is_some_and(|seconds| seconds >= SHORTEST_LIFE) => {}
        Some(given) => causes.push(Cause::invalid(
            "spec.expirationSeconds",
            given,
            "may not specify a duration less than 600 seconds (10 minutes)",
        )),
    }
    verdict(object, causes)
}

/// A change of the object itself: spec and status stay what they were.
pub fn on_update(old: &Value, new: &mut Value) {
    keep(old, new, "spec");
    keep(old, new, "status");
}

/// A change through `/approval` by `user`: conditions `Approved` and `Denied` may be added.
///
/// # Errors
///
/// 403 if the user may not approve for the signer of `old`; 422 if something else is added, or
/// something is taken away.
pub fn on_approval(user: &User, old: &Value, new: &mut Value, now: Timestamp) -> ApiResult<()> {
    permit(user, "approve", old)?;
    keep(old, new, "spec");
    let conditions = new.pointer("/status/conditions").cloned().unwrap_or(Value::Null);
    keep(old, new, "status");
    set_conditions(new, conditions);
    stamp(old, new, now);
    let mut causes = check_conditions(old, new);
    forbid_additions(old, new, |kind| ![APPROVED, DENIED].contains(&kind), &mut causes);
    verdict(old, causes)
}

/// A change through `/status` by `user`: the certificate may be set once, and conditions other than
/// `Approved` and `Denied` be added.
///
/// # Errors
///
/// 403 if the user may not sign for the signer of `old`; 422 if anything else is changed.
pub fn on_status(user: &User, old: &Value, new: &mut Value, now: Timestamp) -> ApiResult<()> {
    keep(old, new, "spec");
    stamp(old, new, now);
    let part = |object: &Value, path| object.pointer(path).cloned().unwrap_or(Value::Null);
    let changed = |path| part(old, path) != part(new, path);
    if changed("/status/certificate") || changed("/status/conditions") {
        permit(user, "sign", old)?;
    }
    let mut causes = check_conditions(old, new);
    forbid_additions(old, new, |kind| [APPROVED, DENIED].contains(&kind), &mut causes);
    if changed("/status/certificate") {
        let field = "status.certificate";
        if !certificate(old).is_empty() {
            let why = "updates may not modify existing certificate content";
            causes.push(Cause::forbidden(field, why));
        } else if let Err(why) = check_certificate(certificate(new)) {
            causes.push(Cause::invalid(field, &Value::from("…"), why));
        }
    }
    verdict(old, causes)
}

/// Whether a request waits for our signer.
pub fn to_sign(object: &Value) -> bool {
    let decided = |kind| condition(object, kind).is_some();
    signer(object) == CLIENT_SIGNER
        && decided(APPROVED)
        && !decided(DENIED)
        && !decided(FAILED)
        && certificate(object).is_empty()
}

/// What the signer makes of a request: its new status, with the certificate or with the condition
/// `Failed`. None if there is nothing to sign: another signer, not approved, or done already.
pub fn sign(authority: &Authority, object: &Value, now: Timestamp) -> Option<Value> {
    if !to_sign(object) {
        return None;
    }
    // Approved is in it, so it is an object with a list of conditions.
    let mut status = object.get("status")?.as_object()?.clone();
    match certify(authority, object, now) {
        Ok(pem) => {
            status.insert("certificate".to_owned(), STANDARD.encode(pem).into());
        }
        Err((reason, message)) => {
            let failed = json!({
                "type": FAILED, "status": "True", "reason": reason, "message": message,
                "lastUpdateTime": time(now), "lastTransitionTime": time(now),
            });
            status.get_mut("conditions")?.as_array_mut()?.push(failed);
        }
    }
    Some(status.into())
}

fn certify(
    authority: &Authority,
    object: &Value,
    now: Timestamp,
) -> Result<String, (&'static str, String)> {
    let refuse = |message: &str| ("SignerValidationFailure", message.to_owned());
    let usages: Vec<&str> = usages(object).filter_map(Value::as_str).collect();
    let known = ["client auth", "digital signature", "key encipherment"];
    if !usages.contains(&"client auth") || usages.iter().any(|usage| !known.contains(usage)) {
        return Err(refuse(
            "usages must be client auth, with digital signature and key encipherment at most",
        ));
    }
    let request = request(object).map_err(|why| refuse(&why))?;
    if request.user.is_empty() {
        return Err(refuse("the subject has no common name, which is the user name"));
    }
    if let Some(group) = almighty(&request) {
        return Err(refuse(&format!("the group {group} is not signed for")));
    }
    let seconds = object.pointer("/spec/expirationSeconds").and_then(Value::as_u64);
    let life = seconds.unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE);
    authority
        .sign(&request, &usages, Duration::from_secs(life), now)
        .map_err(|error| ("SigningError", crate::error::chain(&error)))
}

/// Whether a request has been there long enough: decided ones an hour after that, undecided ones a
/// day after they came.
pub fn expired(object: &Value, now: Timestamp) -> bool {
    let past = |at: Option<&Value>, keep| {
        let at = at.and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
        at.is_some_and(|at| now.duration_since(at) > keep)
    };
    let decided = FINAL.iter().filter_map(|kind| condition(object, kind));
    let mut times = decided.map(|condition| condition.get("lastUpdateTime")).peekable();
    if times.peek().is_some() {
        times.any(|at| past(at, KEEP_DECIDED))
    } else {
        past(object.pointer("/metadata/creationTimestamp"), KEEP_PENDING)
    }
}

/// Whether `user` made this request.
pub fn is_own(user: &User, object: &Value) -> bool {
    object.pointer("/spec/username").and_then(Value::as_str) == Some(&user.name)
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn signer(object: &Value) -> &str {
    object.pointer("/spec/signerName").and_then(Value::as_str).unwrap_or_default()
}

fn certificate(object: &Value) -> &str {
    object.pointer("/status/certificate").and_then(Value::as_str).unwrap_or_default()
}

fn usages(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/spec/usages").and_then(Value::as_array).into_iter().flatten()
}

fn conditions(object: &Value) -> &[Value] {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn kind(condition: &Value) -> &str {
    condition.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn condition<'a>(object: &'a Value, wanted: &str) -> Option<&'a Value> {
    conditions(object).iter().find(|condition| kind(condition) == wanted)
}

fn request(object: &Value) -> Result<Request, String> {
    let text = object.pointer("/spec/request").and_then(Value::as_str).unwrap_or_default();
    Request::parse(&decode(text)?)
}

/// Base64 as Go reads it: line ends count for nothing.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(text).map_err(|_why| "it is not base64".to_owned())
}

/// A group in the request that may do everything: whoever may approve must not get to be in it.
fn almighty(request: &Request) -> Option<&'static str> {
    [MASTERS, ADMINS].into_iter().find(|group| request.groups.iter().any(|g| g == group))
}

fn time(at: Timestamp) -> Value {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

fn verdict(object: &Value, causes: Vec<Cause>) -> ApiResult<()> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(GROUP, KIND, name(object), causes))
    }
}

/// 403 unless `user` may do `verb` for the signer of `object`, by its name or by its domain.
fn permit(user: &User, verb: &str, object: &Value) -> ApiResult<()> {
    let signer = signer(object);
    let domain = signer.split_once('/').map(|(domain, _)| format!("{domain}/*"));
    let may = |name: &str| {
        let (group, resource) = (GROUP.to_owned(), "signers".to_owned());
        let (verb, name) = (verb.to_owned(), name.to_owned());
        allows(user, &Action { verb, group, resource, name, ..Action::default() }).allowed
    };
    if may(signer) || domain.is_some_and(|domain| may(&domain)) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(refused(GROUP, PLURAL, name(object), &why))
}

fn keep(old: &Value, new: &mut Value, field: &str) {
    let Some(new) = new.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => new.insert(field.to_owned(), value.clone()),
        None => new.remove(field),
    };
}

fn set_conditions(object: &mut Value, conditions: Value) {
    let Some(object) = object.as_object_mut() else { return };
    let mut status = match object.remove("status") {
        Some(Value::Object(status)) => status,
        _ => Map::new(),
    };
    if conditions.is_null() {
        status.remove("conditions");
    } else {
        status.insert("conditions".to_owned(), conditions);
    }
    object.insert("status".to_owned(), status.into());
}

/// Fills in the times that a condition came without.
fn stamp(old: &Value, new: &mut Value, now: Timestamp) {
    let list = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for new in list.into_iter().flatten().filter_map(Value::as_object_mut) {
        let missing = |new: &Map<String, Value>, key: &str| new.get(key).is_none_or(Value::is_null);
        let text = |key| new.get(key).and_then(Value::as_str).unwrap_or_default();
        let known = condition(old, text("type"))
            .filter(|old| old.get("status").and_then(Value::as_str) == Some(text("status")));
        let since = known.and_then(|old| old.get("lastTransitionTime")).cloned();
        if missing(new, "lastUpdateTime") {
            new.insert("lastUpdateTime".to_owned(), time(now));
        }
        if missing(new, "lastTransitionTime") {
            new.insert("lastTransitionTime".to_owned(), since.unwrap_or_else(|| time(now)));
        }
    }
}

/// What is wrong with the conditions of `new`, whoever wrote them.
fn check_conditions(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let all = "status.conditions";
    let given = new.pointer("/status/conditions").filter(|given| !given.is_null());
    if given.is_some_and(|given| !given.is_array()) {
        return vec![Cause::new("FieldValueTypeInvalid", all, "must be a list")];
    }
    for wanted in FINAL {
        if condition(old, wanted).is_some() && condition(new, wanted).is_none() {
            let why = format!("updates may not remove a condition of type {wanted:?}");
            causes.push(Cause::forbidden(all, why));
        }
    }
    let mut seen = HashSet::new();
    for (at, one) in conditions(new).iter().enumerate() {
        if causes.len() >= MAX_CAUSES {
            break;
        }
        let (field, kind_of_one) = (format!("{all}[{at}]"), kind(one));
        if kind_of_one.is_empty() {
            causes.push(Cause::required(format!("{field}.type"), ""));
        } else if !seen.insert(kind_of_one) {
            let message = format!("Duplicate value: {kind_of_one:?}");
            causes.push(Cause::new("FieldValueDuplicate", format!("{field}.type"), message));
        }
        match one.get("status").unwrap_or(&Value::Null) {
            Value::String(status) if status == "True" => {}
            Value::Null => causes.push(Cause::required(format!("{field}.status"), "")),
            // Kubernetes takes False and Unknown for types that are not its own.
            Value::String(status) if !FINAL.contains(&kind_of_one) => {
                if !["False", "Unknown"].contains(&status.as_str()) {
                    causes.push(unsupported(format!("{field}.status"), status));
                }
            }
            other => {
                let why = "must be \"True\" for this type";
                causes.push(Cause::invalid(format!("{field}.status"), other, why));
            }
        }
    }
    if condition(new, APPROVED).is_some() && condition(new, DENIED).is_some() {
        let why = "Approved and Denied conditions are mutually exclusive";
        causes.push(Cause::invalid(all, &json!(DENIED), why));
    }
    causes
}

/// Conditions of certain types are not this subresource's to add or to change.
fn forbid_additions(old: &Value, new: &Value, not: impl Fn(&str) -> bool, causes: &mut Vec<Cause>) {
    for one in conditions(new).iter().filter(|one| not(kind(one))) {
        if causes.len() >= MAX_CAUSES {
            break;
        }
        let why = match condition(old, kind(one)) {
            Some(before) if before == one => continue,
            Some(_) => format!("updates may not modify a condition of type {:?}", kind(one)),
            None => format!("updates may not add a condition of type {:?}", kind(one)),
        };
        causes.push(Cause::forbidden("status.conditions", why));
    }
}

fn check_certificate(text: &str) -> Result<(), String> {
    let pem = decode(text)?;
    let mut any = false;
    for block in CertificateDer::pem_slice_iter(&pem) {
        let der = block.map_err(|_why| "it is not PEM")?;
        X509Certificate::from_der(&der)
            .map_err(|_why| "it holds something else than certificates")?;
        any = true;
    }
    if any { Ok(()) } else { Err("it must hold at least one CERTIFICATE in PEM".to_owned()) }
}

fn check_signer(object: &Value, causes: &mut Vec<Cause>) {
    let (field, signer) = ("spec.signerName", signer(object));
    let why = match signer.split_once('/') {
        _ if signer.is_empty() => {
            causes.push(Cause::required(field, ""));
            return;
        }
        _ if signer == "kubernetes.io/legacy-unknown" => {
            "the legacy signerName is not allowed via this API version"
        }
        _ if signer.len() > LONGEST_SIGNER => "must be no more than 571 characters",
        Some((domain, path))
            if is_subdomain(domain) && domain.contains('.') && is_subdomain(path) =>
        {
            return;
        }
        _ => "must be a fully qualified domain and path of the form 'example.com/signer-name'",
    };
    causes.push(Cause::invalid(field, &Value::from(signer), why));
}

/// RFC 1123: labels of small letters, digits and inner dashes, with dots between them.
fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.chars().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn check_usages(object: &Value, causes: &mut Vec<Cause>) {
    let list: Vec<&Value> = usages(object).collect();
    if list.is_empty() {
        causes.push(Cause::required("spec.usages", ""));
    }
    if list.len() > USAGES.len() {
        let message = format!("Too many: {}: must have at most {} items", list.len(), USAGES.len());
        causes.push(Cause::new("FieldValueTooMany", "spec.usages", message));
        return;
    }
    for (at, usage) in list.iter().enumerate() {
        let field = format!("spec.usages[{at}]");
        if !usage.as_str().is_some_and(|usage| USAGES.contains(&usage)) {
            causes.push(unsupported(field, usage.as_str().unwrap_or_default()));
        } else if list.iter().take(at).any(|other| other == usage) {
            causes.push(Cause::new(
                "FieldValueDuplicate",
                field,
                format!("Duplicate value: {usage}"),
            ));
        }
    }
}

fn unsupported(field: String, value: &str) -> Cause {
    Cause::new("FieldValueNotSupported", field, format!("Unsupported value: {value:?}"))
}

#[cfg(test)]
mod tests;
