//! Certificate requests: decoded strictly, compared with the host that they claim to be, decided.
//!
//! [`Request::decode`] walks through every byte of the PKCS#10 request; nothing in it goes unseen
//! because a parser did not know it. [`mismatches`] says what does not fit, field by field, to
//! people; [`judge()`] decides by a written [`Policy`]. Both look at the same list of checks.

mod checks;
mod der;
mod facts;
mod history;
mod judge;
mod policy;
mod walk;

#[cfg(test)]
pub(crate) mod forge;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;

use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use k8s_openapi::jiff::Timestamp;

pub use self::checks::{Mismatch, mismatches, suspicions};
pub use self::facts::HostFacts;
pub use self::history::{History, Issued, issued, not_after, operation};
pub use self::judge::{Verdict, judge};
pub use self::policy::{BOOTSTRAPPERS, CLIENT_SIGNER, KeyKind, Policy};

use crate::model::text::clean;

/// Begin of the user name of every host.
pub const HOST_PREFIX: &str = "inv:host:";
/// The group of every host: the one O in its subject.
pub const HOSTS: &str = "inv:hosts";

const COMMON_NAME: &str = "2.5.4.3";
const ORGANIZATION: &str = "2.5.4.10";
const SAN: &str = "2.5.29.17";
const KEY_USAGE: &str = "2.5.29.15";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
/// Bits of keyUsage in their order, in the API's words.
const KEY_USAGES: [&str; 9] = [
    "digital signature",
    "content commitment",
    "key encipherment",
    "data encipherment",
    "key agreement",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
];

/// A certificate request that could be read to its last byte. Every text is clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What stands in the object around it.
    pub about: About,
    /// What it asks to have signed.
    pub asks: Asks,
}

/// A certificate request that cannot be read, or that two readers could read in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What stands in the object around it.
    pub about: About,
    /// Why, as the end of a sentence: `a length in it is not in its shortest form`.
    pub why: String,
}

/// The object around a request: who asks whom for what. Every text is clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its version; a decision holds only against this one.
    pub resource_version: String,
    /// Who is to sign.
    pub signer: String,
    /// What the certificate is to be used for, in the API's words.
    pub usages: Vec<String>,
    /// How long it is to live; none leaves it to the signer.
    pub expiration_seconds: Option<i32>,
    /// The authenticated name of who asks.
    pub requester: String,
    /// The groups of who asks.
    pub requester_groups: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// How far it is.
    pub state: State,
    /// Who decided it and why, if somebody did.
    pub decision: Option<Decision>,
    /// What was signed, if something was.
    pub issued: Option<Issued>,
}

/// What a request asks to have signed. Every text is clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The subject's parts, in their order.
    pub subject: Vec<NamePart>,
    /// The key.
    pub key: Key,
    /// SHA-256 of the public key with its algorithm (`SubjectPublicKeyInfo`), in hexadecimal.
    pub fingerprint: String,
    /// Types (OIDs) of the attributes other than the list of extensions.
    pub attributes: Vec<String>,
    /// Every extension, the known ones too.
    pub extensions: Vec<Extension>,
    /// Every alternative name, of whatever kind.
    pub sans: Vec<San>,
    /// It wants to be an authority that certifies others.
    pub authority: bool,
    /// What its keyUsage allows, in the API's words.
    pub key_usage: Vec<&'static str>,
    /// OIDs of its extendedKeyUsage.
    pub extended_usage: Vec<String>,
    /// Its signature is made with its own key.
    pub signature_fits: bool,
}

/// One part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePart {
    /// Its type (OID).
    pub oid: String,
    /// Its text; a type of text that not everybody reads is shown in hexadecimal after a `#`.
    pub text: String,
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its type (OID).
    pub oid: String,
    /// Whoever does not know it must refuse the certificate.
    pub critical: bool,
}

/// One alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct San {
    /// Its kind.
    pub kind: SanKind,
    /// Its text.
    pub text: String,
}

/// Kind of an alternative name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are those of RFC 5280")]
pub enum SanKind {
    OtherName,
    Email,
    Dns,
    X400Address,
    DirectoryName,
    EdiPartyName,
    Uri,
    Ip,
    RegisteredId,
}

/// Kind and size of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on the curve P-256.
    EcdsaP256,
    /// ECDSA on the curve P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA with so many bits.
    Rsa(u32),
    /// Any other, in words with its OID.
    Other(String),
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Pending,
    /// Approved, not signed yet.
    Approved,
    /// Denied, for good.
    Denied,
    /// Approved, and the signer could not or would not sign.
    Failed,
    /// Signed.
    Issued,
}

/// Who decided, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The condition's reason.
    pub reason: String,
    /// The condition's message.
    pub message: String,
    /// When.
    pub at: Option<Timestamp>,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// Why it cannot be read: no single PEM block, not PKCS#10 in DER, something that two readers
    /// could read in two ways.
    #[expect(clippy::result_large_err, reason = "both sides are kept, side by side in one list")]
    pub fn decode(object: &CertificateSigningRequest) -> Result<Self, Problem> {
        let about = About::of(object);
        match walk::unwrap(&object.spec.request.0).and_then(|der| walk::walk(&der)) {
            Ok(asks) => Ok(Self { about, asks }),
            Err(why) => Err(Problem { about, why: clean(&why).into_owned() }),
        }
    }

    /// Namespace and name of the host that it claims to be: by its one common name.
    pub fn host(&self) -> Option<(&str, &str)> {
        let mut names = self.asks.subject.iter().filter(|part| part.oid == COMMON_NAME);
        let name = names.next().filter(|_| names.next().is_none())?;
        host_of(&name.text)
    }

    /// The user names (each CN) of the subject.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.asks.texts(COMMON_NAME)
    }

    /// The groups (each O) of the subject.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.asks.texts(ORGANIZATION)
    }
}

impl About {
    fn of(object: &CertificateSigningRequest) -> Self {
        let text = |text: &str| clean(text).into_owned();
        let optional = |value: &Option<String>| text(value.as_deref().unwrap_or_default());
        let list = |list: &Option<Vec<String>>| -> Vec<String> {
            list.iter().flatten().map(|value| text(value)).collect()
        };
        let (meta, spec) = (&object.metadata, &object.spec);
        let (state, decision) = decided(object);
        Self {
            name: optional(&meta.name),
            uid: optional(&meta.uid),
            resource_version: optional(&meta.resource_version),
            signer: text(&spec.signer_name),
            usages: list(&spec.usages),
            expiration_seconds: spec.expiration_seconds,
            requester: optional(&spec.username),
            requester_groups: list(&spec.groups),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            state,
            decision,
            issued: issued(object),
        }
    }

    /// Namespace and name of the host that asks, if a host asks with its own certificate.
    pub fn requesting_host(&self) -> Option<(&str, &str)> {
        if self.requester_groups.iter().any(|group| group == HOSTS) {
            host_of(&self.requester)
        } else {
            None
        }
    }
}

fn decided(object: &CertificateSigningRequest) -> (State, Option<Decision>) {
    let status = object.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let find = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let decision = |condition: &CertificateSigningRequestCondition| Decision {
        reason: clean(condition.reason.as_deref().unwrap_or_default()).into_owned(),
        message: clean(condition.message.as_deref().unwrap_or_default()).into_owned(),
        at: condition.last_update_time.as_ref().map(|time| time.0),
    };
    let signed = status.and_then(|status| status.certificate.as_ref());
    let (state, condition) = if let Some(denied) = find("Denied") {
        (State::Denied, Some(denied))
    } else if let Some(failed) = find("Failed") {
        (State::Failed, Some(failed))
    } else if signed.is_some_and(|certificate| !certificate.0.is_empty()) {
        (State::Issued, find("Approved"))
    } else if let Some(approved) = find("Approved") {
        (State::Approved, Some(approved))
    } else {
        (State::Pending, None)
    };
    (state, condition.map(decision))
}

impl Asks {
    fn texts(&self, oid: &str) -> impl Iterator<Item = &str> {
        self.subject.iter().filter(move |part| part.oid == oid).map(|part| part.text.as_str())
    }

    /// The subject on one line: `CN=inv:host:a:b, O=inv:hosts`.
    pub fn subject_text(&self) -> String {
        subject_text(&self.subject)
    }
}

fn subject_text(parts: &[NamePart]) -> String {
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    parts.join(", ")
}

/// Namespace and name in the user name of a host; both are DNS labels.
pub fn host_of(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(HOST_PREFIX)?.split_once(':')?;
    (is_label(namespace) && is_label(name)).then_some((namespace, name))
}

/// The user name of a host.
pub fn host_user(namespace: &str, name: &str) -> String {
    format!("{HOST_PREFIX}{namespace}:{name}")
}

/// A DNS label (RFC 1123), which names of hosts and of namespaces are.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl State {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Approved => "Approved",
            Self::Denied => "Denied",
            Self::Failed => "Failed",
            Self::Issued => "Issued",
        }
    }
}

impl SanKind {
    /// The word of RFC 5280, or the shorter one that people use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherName => "otherName",
            Self::Email => "email",
            Self::Dns => "DNS",
            Self::X400Address => "x400Address",
            Self::DirectoryName => "directoryName",
            Self::EdiPartyName => "ediPartyName",
            Self::Uri => "URI",
            Self::Ip => "IP",
            Self::RegisteredId => "registeredID",
        }
    }
}

impl fmt::Display for NamePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = match self.oid.as_str() {
            COMMON_NAME => "CN",
            ORGANIZATION => "O",
            "2.5.4.11" => "OU",
            "2.5.4.6" => "C",
            "2.5.4.7" => "L",
            "2.5.4.8" => "ST",
            "2.5.4.5" => "serialNumber",
            other => other,
        };
        write!(f, "{short}={}", self.text)
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}
