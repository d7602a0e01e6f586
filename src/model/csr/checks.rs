//! The one list of what can be wrong with a request of a host.

use super::facts::HostFacts;
use super::{
    BASIC_CONSTRAINTS, CLIENT_AUTH, COMMON_NAME, EXTENDED_KEY_USAGE, HOSTS, History, KEY_USAGE,
    ORGANIZATION, Policy, Request, SAN, host_user,
};
use crate::model::duration;

/// What a client certificate may be used for.
const USAGES: [&str; 3] = ["client auth", "digital signature", "key encipherment"];
/// Extensions that are looked into; the alternative names have a check of their own.
const KNOWN_EXTENSIONS: [&str; 4] = [BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, SAN];

/// One field of a request that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Reason code in `CamelCase`.
    pub reason: &'static str,
    /// The field, for people: `subject O`.
    pub field: &'static str,
    /// What stands there; clean.
    pub found: String,
    /// What was wanted.
    pub wanted: String,
    /// It can never become right: a policy denies such a request. Otherwise it waits.
    pub fatal: bool,
}

impl Mismatch {
    fn fatal(reason: &'static str, field: &'static str, found: String, wanted: &str) -> Self {
        Self { reason, field, found: short(found), wanted: wanted.to_owned(), fatal: true }
    }

    fn waits(reason: &'static str, field: &'static str, found: String, wanted: &str) -> Self {
        Self { fatal: false, ..Self::fatal(reason, field, found, wanted) }
    }

    /// One sentence.
    pub fn text(&self) -> String {
        format!("{}: {} (wanted: {})", self.field, self.found, self.wanted)
    }
}

/// Conditions and Events have little room, and a request may hold much.
fn short(text: String) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> =
        items.into_iter().map(|item| format!("\"{}\"", item.to_string())).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

/// What does not fit: in the request itself, with who asks, and with the host that it claims to be
/// (`host` is none if there is no such host). In the order of weight; empty means that all fits.
pub fn mismatches(request: &Request, host: Option<&HostFacts>, policy: &Policy) -> Vec<Mismatch> {
    let mut found = Vec::new();
    signature_and_key(request, policy, &mut found);
    subject(request, &mut found);
    contents(request, &mut found);
    usages(request, &mut found);
    requester(request, policy, &mut found);
    signer_and_life(request, policy, &mut found);
    claimed_host(request, host, policy, &mut found);
    // What can never become right goes before what may.
    found.sort_by_key(|mismatch| !mismatch.fatal);
    found
}

fn signature_and_key(request: &Request, policy: &Policy, found: &mut Vec<Mismatch>) {
    let asks = &request.asks;
    if !policy.takes(&asks.key) {
        let wanted = policy.keys_text();
        found.push(Mismatch::fatal("KeyTooWeak", "key", asks.key.to_string(), &wanted));
    }
    if !asks.signature_fits {
        let what = "not made with the request's own key, or of a kind that is not checked";
        found.push(Mismatch::fatal("BadSignature", "signature", what.to_owned(), "a good one"));
    }
}

fn subject(request: &Request, found: &mut Vec<Mismatch>) {
    let asks = &request.asks;
    let mut wrong = |field, what: String, wanted: &str| {
        found.push(Mismatch::fatal("SubjectNotAllowed", field, what, wanted));
    };
    if request.host().is_none() {
        let wanted = "exactly one \"inv:host:<namespace>:<name>\"";
        wrong("subject CN", listed(request.users()), wanted);
    }
    if !request.groups().eq([HOSTS]) {
        wrong("subject O", listed(request.groups()), "exactly one \"inv:hosts\"");
    }
    let known = [COMMON_NAME, ORGANIZATION];
    let others = asks.subject.iter().filter(|part| !known.contains(&part.oid.as_str()));
    let others: Vec<String> = others.map(ToString::to_string).collect();
    if !others.is_empty() {
        wrong("subject", listed(others), "nothing but CN and O");
    }
}

fn contents(request: &Request, found: &mut Vec<Mismatch>) {
    let asks = &request.asks;
    if asks.authority {
        let what = "an authority".to_owned();
        found.push(Mismatch::fatal("CaNotAllowed", "basicConstraints", what, "no authority"));
    }
    if !asks.sans.is_empty() {
        let what = listed(&asks.sans);
        found.push(Mismatch::fatal("SanNotAllowed", "alternative names", what, "none"));
    }
    let unknown = asks.extensions.iter().map(|extension| extension.oid.as_str());
    let unknown: Vec<&str> = unknown.filter(|oid| !KNOWN_EXTENSIONS.contains(oid)).collect();
    if !unknown.is_empty() {
        let what = listed(unknown);
        found.push(Mismatch::fatal("ExtensionNotAllowed", "extensions", what, "none of these"));
    }
    if !asks.attributes.is_empty() {
        let what = listed(&asks.attributes);
        found.push(Mismatch::fatal("ExtensionNotAllowed", "attributes", what, "none of these"));
    }
}

fn usages(request: &Request, found: &mut Vec<Mismatch>) {
    let wanted = "\"client auth\", with \"digital signature\" and \"key encipherment\" at most";
    let usages = &request.about.usages;
    let mut wrong = |field, what: String| {
        found.push(Mismatch::fatal("UsageNotAllowed", field, what, wanted));
    };
    let allowed = |usage: &str| USAGES.contains(&usage);
    if !usages.iter().any(|usage| usage == "client auth") || !usages.iter().all(|u| allowed(u)) {
        wrong("usages", listed(usages));
    }
    if !request.asks.key_usage.iter().all(|usage| allowed(usage)) {
        wrong("keyUsage", listed(&request.asks.key_usage));
    }
    if !request.asks.extended_usage.iter().all(|oid| oid == CLIENT_AUTH) {
        wrong("extendedKeyUsage", listed(&request.asks.extended_usage));
    }
}

/// A bootstrapper may ask for any host, a host for itself only.
fn requester(request: &Request, policy: &Policy, found: &mut Vec<Mismatch>) {
    if is_bootstrap(request, policy) || is_renewal(request) {
        return;
    }
    let wanted = match request.host() {
        Some((namespace, name)) => {
            format!(
                "\"{}\" or a member of \"{}\"",
                host_user(namespace, name),
                policy.bootstrap_group
            )
        }
        None => format!("a member of \"{}\"", policy.bootstrap_group),
    };
    let who = format!("\"{}\"", request.about.requester);
    found.push(Mismatch::fatal("RequesterMismatch", "requester", who, &wanted));
}

pub(super) fn is_renewal(request: &Request) -> bool {
    request.host().is_some() && request.host() == request.about.requesting_host()
}

/// A host is no bootstrapper, whatever groups it has.
pub(super) fn is_bootstrap(request: &Request, policy: &Policy) -> bool {
    let about = &request.about;
    !policy.bootstrap_group.is_empty()
        && about.requesting_host().is_none()
        && about.requester_groups.contains(&policy.bootstrap_group)
}

fn signer_and_life(request: &Request, policy: &Policy, found: &mut Vec<Mismatch>) {
    let about = &request.about;
    if !policy.signers.contains(&about.signer) {
        let (what, wanted) = (format!("\"{}\"", about.signer), listed(&policy.signers));
        found.push(Mismatch::waits("SignerNotAllowed", "signer", what, &wanted));
    }
    let most = policy.max_validity.as_secs();
    let asked = about.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    if asked.is_none_or(|seconds| seconds > most) {
        let text = |seconds: u64| duration::short(i64::try_from(seconds).unwrap_or(i64::MAX));
        let what = asked.map_or_else(|| "as long as the signer gives".to_owned(), text);
        let wanted = format!("{} at most", text(most));
        found.push(Mismatch::waits("ValidityTooLong", "validity", what, &wanted));
    }
}

fn claimed_host(
    request: &Request,
    host: Option<&HostFacts>,
    policy: &Policy,
    found: &mut Vec<Mismatch>,
) {
    let Some((namespace, name)) = request.host() else { return };
    if !policy.namespaces.is_empty() && !policy.namespaces.iter().any(|known| known == namespace) {
        let (what, wanted) = (format!("\"{namespace}\""), listed(&policy.namespaces));
        found.push(Mismatch::waits("NamespaceNotAllowed", "namespace", what, &wanted));
    }
    let facts = host.filter(|host| host.namespace == namespace && host.name == name);
    let Some(facts) = facts else {
        let what = format!("\"{namespace}/{name}\", which is not in the inventory");
        found.push(Mismatch::waits("HostUnknown", "host", what, "a host of the inventory"));
        return;
    };
    if let Some(why) = facts.out_of_service() {
        found.push(Mismatch::waits("HostNotRunning", "host", why, "a running host in service"));
    }
}

/// What is odd about a request in the light of what was asked for and signed before: a takeover, or
/// too many requests.
pub fn suspicions(request: &Request, history: &History, policy: &Policy) -> Vec<Mismatch> {
    let mut found = Vec::new();
    if let Some(until) = history.live_until
        && policy.leave_takeovers
        && !is_renewal(request)
    {
        let what = format!(
            "\"{}\" although the host has a certificate that lives until {until}",
            request.about.requester
        );
        let wanted = "the host itself: another machine may be taking it over";
        found.push(Mismatch::waits("TakeoverSuspected", "requester", what, wanted));
    }
    if history.recent > policy.requests_per_hour {
        let what = format!("{} within an hour", history.recent);
        let wanted = format!("{} at most", policy.requests_per_hour);
        found.push(Mismatch::waits(
            "TooManyRequests",
            "requests by the same for this host",
            what,
            &wanted,
        ));
    }
    found
}
