//! The decision by policy (INVENTORY.md, section 6.3).

use super::checks::is_renewal;
use super::{About, HOST_PREFIX, HOSTS, History, HostFacts, Policy, Problem, Request, State};
use super::{mismatches, suspicions};

/// What becomes of a request. `reason` is a code in `CamelCase`, `message` a sentence; both are
/// clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is approved.
    Approve {
        /// `HostMatched` or `Renewal`.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
    /// It is denied, for good.
    Deny {
        /// The reason code.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
    /// It stays pending, for a person or until it fits.
    Leave {
        /// The reason code.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
    /// It is none of this policy's business, and nothing is said about it: decided already, no
    /// request of a host at all, or of one in another namespace.
    Skip,
}

impl Verdict {
    /// The reason code; empty for what is skipped.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Approve { reason, .. }
            | Self::Deny { reason, .. }
            | Self::Leave { reason, .. } => reason,
            Self::Skip => "",
        }
    }

    /// The sentence; empty for what is skipped.
    pub fn message(&self) -> &str {
        match self {
            Self::Approve { message, .. }
            | Self::Deny { message, .. }
            | Self::Leave { message, .. } => message,
            Self::Skip => "",
        }
    }
}

/// Decides about a request. `host` is the host that it claims to be, none if there is none;
/// `history` what was asked for and signed before.
pub fn judge(
    request: &Request,
    host: Option<&HostFacts>,
    history: &History,
    policy: &Policy,
) -> Verdict {
    let about = &request.about;
    let elsewhere = request.host().is_some_and(|(namespace, _)| {
        !policy.namespaces.is_empty() && !policy.namespaces.iter().any(|known| known == namespace)
    });
    let claims = request.users().any(|user| user.starts_with(HOST_PREFIX))
        || request.groups().any(|group| group == HOSTS);
    if about.state != State::Pending || elsewhere || !(claims || is_of_hosts(about, policy)) {
        return Verdict::Skip;
    }
    let mut found = mismatches(request, host, policy);
    found.extend(suspicions(request, history, policy));
    // Beside what can never become right, what might is of no interest.
    let fatal = found.first().is_some_and(|first| first.fatal);
    let told = found.iter().filter(|mismatch| mismatch.fatal == fatal);
    let texts: Vec<String> = told.map(super::Mismatch::text).collect();
    let message = texts.join("; ");
    let listed = policy.signers.contains(&about.signer);
    match found.first() {
        None if is_renewal(request) => Verdict::Approve {
            reason: "Renewal",
            message: format!("{} renews its own certificate", about.requester),
        },
        None => Verdict::Approve {
            reason: "HostMatched",
            message: format!(
                "first certificate of a host of the inventory, asked for by {}",
                about.requester
            ),
        },
        Some(_) if !listed => Verdict::Leave { reason: "SignerNotAllowed", message },
        Some(first) if first.fatal && policy.deny => {
            Verdict::Deny { reason: first.reason, message }
        }
        Some(first) => Verdict::Leave { reason: first.reason, message },
    }
}

/// Whether somebody asks who only ever asks for hosts.
fn is_of_hosts(about: &About, policy: &Policy) -> bool {
    about.requesting_host().is_some() || about.requester_groups.contains(&policy.bootstrap_group)
}

impl Problem {
    /// What becomes of a request that cannot be read: denied if it comes from a host or a
    /// bootstrapper, and nobody else's business is touched.
    pub fn judge(&self, policy: &Policy) -> Verdict {
        let about = &self.about;
        if about.state != State::Pending
            || !policy.signers.contains(&about.signer)
            || !is_of_hosts(about, policy)
        {
            return Verdict::Skip;
        }
        let message = format!("the request cannot be read: {}", self.why);
        if policy.deny {
            Verdict::Deny { reason: "Malformed", message }
        } else {
            Verdict::Leave { reason: "Malformed", message }
        }
    }
}
