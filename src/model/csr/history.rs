//! What was asked for and signed before.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use x509_parser::pem::parse_x509_pem;

use super::{About, Request, State};
use crate::model::host::Operation;
use crate::model::labels::short_hash;
use crate::model::text::clean;

/// Requests are counted over this time.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// What stands before the end of a certificate's life in the result of an operation.
const NOT_AFTER: &str = "notAfter ";
/// Verb of an approval whose certificate was signed.
const APPROVE: &str = "certificate-approve";
/// How long a certificate is believed to live of which nothing is said.
const ASSUMED_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Begin of the id of an operation that is the decision about a request.
const ID_PREFIX: &str = "csr-";

/// A certificate that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// End of its life.
    pub not_after: Timestamp,
}

/// What was asked for and signed for one host before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// End of the life of the host's latest certificate, if that still lives.
    pub live_until: Option<Timestamp>,
    /// Requests for this host by the same requester within the last hour, this one too.
    pub recent: usize,
}

impl History {
    /// The history of `request` at `now`: out of all requests that the server still has, and the
    /// operations of the host, which remember longer (a decided request is removed after an hour).
    pub fn of<'a>(
        request: &Request,
        all: impl IntoIterator<Item = &'a Request>,
        operations: &[Operation],
        now: Timestamp,
    ) -> Self {
        let begin = now.saturating_sub(WINDOW).unwrap_or(Timestamp::MIN);
        let mut lives: Vec<Timestamp> = operations.iter().filter_map(end_of_life).collect();
        let mut recent = 0;
        for other in all {
            if other.host().is_none() || other.host() != request.host() {
                continue;
            }
            lives.extend(other.about.issued.iter().map(|issued| issued.not_after));
            // Approved and not signed yet is as good as signed: two machines may ask at once.
            if other.about.state == State::Approved && other.about.uid != request.about.uid {
                let life = other.about.expiration_seconds.unwrap_or(i32::MAX);
                let end = now.saturating_add(SignedDuration::from_secs(i64::from(life)));
                lives.push(end.unwrap_or(Timestamp::MAX));
            }
            let same = other.about.requester == request.about.requester;
            let before = other.about.created <= request.about.created;
            if same && before && other.about.created.is_some_and(|created| created > begin) {
                recent += 1;
            }
        }
        let live_until = lives.into_iter().max().filter(|end| *end > now);
        Self { live_until, recent }
    }
}

/// The certificate that the signer put into a request's status, if it did and it can be read.
pub fn issued(object: &CertificateSigningRequest) -> Option<Issued> {
    read(&object.status.as_ref()?.certificate.as_ref()?.0)
}

/// Until when the first certificate of a PEM text is valid; none if it cannot be read.
pub fn not_after(pem: &[u8]) -> Option<Timestamp> {
    read(pem).map(|certificate| certificate.not_after)
}

fn read(pem: &[u8]) -> Option<Issued> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    let serial = super::der::hex(certificate.raw_serial());
    Some(Issued { serial, not_after })
}

/// The entry in a host's operations for a decided request, as the lifecycle controller writes it
/// and [`History::of`] reads it. None while nobody has decided, and while an approved request is
/// not signed yet.
pub fn operation(about: &About) -> Option<Operation> {
    let decision = about.decision.as_ref()?;
    let (verb, result) = match about.state {
        State::Pending | State::Approved => return None,
        State::Denied => ("certificate-deny", "denied".to_owned()),
        State::Failed => ("certificate-fail", "the signer refused it".to_owned()),
        State::Issued => {
            let text = about.issued.as_ref().map_or_else(String::new, |issued| {
                format!(", serial {}, {NOT_AFTER}{}", issued.serial, issued.not_after)
            });
            (APPROVE, format!("approved{text}"))
        }
    };
    let cut = |text: &str, most: usize| clean(text).chars().take(most).collect::<String>();
    // The message begins with who decided: `by NAME: text`.
    let by = decision.message.strip_prefix("by ").and_then(|text| text.split_once(": "));
    Some(Operation {
        id: format!("{ID_PREFIX}{}", short_name(&about.name)),
        verb: verb.to_owned(),
        by: cut(by.map_or("unknown", |(by, _)| by), 256),
        at: Time(decision.at?),
        reason: Some(cut(&decision.reason, 256)),
        result: Some(cut(&result, 256)),
    })
}

/// The name, or its begin and ten characters of its hash, so that it fits into an id.
fn short_name(name: &str) -> String {
    const MOST: usize = 60;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    format!("{}-{}", name.chars().take(MOST - 11).collect::<String>(), short_hash(name))
}

/// An approval that does not say how long the certificate lives is believed to be for long: better
/// a person too many looks at a takeover than one too few.
fn end_of_life(operation: &Operation) -> Option<Timestamp> {
    if !operation.id.starts_with(ID_PREFIX) || operation.verb != APPROVE {
        return None;
    }
    let text = operation.result.as_deref().and_then(|result| result.split_once(NOT_AFTER));
    let end = text.and_then(|(_, text)| text.split_whitespace().next()?.parse().ok());
    end.or_else(|| operation.at.0.checked_add(ASSUMED_LIFE).ok())
}
