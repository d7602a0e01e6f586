//! What was decided about the certificate requests of the hosts of one namespace.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::model::lifecycle::Decision;

/// The signer of client certificates.
pub(super) const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// Longest request that is read.
const MAX_REQUEST: usize = 64 * 1024;

/// The decided requests, by host.
#[derive(Default)]
pub(super) struct Requests {
    /// Host of each request.
    hosts: HashMap<String, String>,
    decisions: HashMap<String, BTreeMap<String, Decision>>,
    listing: Option<BTreeSet<String>>,
}

impl Requests {
    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.listing = Some(BTreeSet::new());
    }

    /// A list is complete: what it does not have is forgotten.
    pub(super) fn end(&mut self) {
        let Some(listed) = self.listing.take() else { return };
        let gone: Vec<String> =
            self.hosts.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        for name in gone {
            self.forget(&name);
        }
    }

    /// Takes in a request; the host that it is for, if there is something new to tell of it.
    pub(super) fn take(
        &mut self,
        request: &CertificateSigningRequest,
        namespace: &str,
    ) -> Option<String> {
        let name = request.metadata.name.clone()?;
        if let Some(listed) = &mut self.listing {
            listed.insert(name.clone());
        }
        let decision = decision(request)?;
        let host = match self.hosts.get(&name) {
            Some(host) => host.clone(),
            None => host_of(request, namespace)?,
        };
        self.hosts.insert(name.clone(), host.clone());
        let all = self.decisions.entry(host.clone()).or_default();
        let old = all.insert(name, decision.clone());
        (old.as_ref() != Some(&decision)).then_some(host)
    }

    /// A request is gone. What was told of it stays told.
    pub(super) fn forget(&mut self, name: &str) {
        let Some(host) = self.hosts.remove(name) else { return };
        if let Some(all) = self.decisions.get_mut(&host) {
            all.remove(name);
            if all.is_empty() {
                self.decisions.remove(&host);
            }
        }
    }

    /// What was decided about the requests of a host.
    pub(super) fn of(&self, host: &str) -> Vec<Decision> {
        self.decisions.get(host).map(|all| all.values().cloned().collect()).unwrap_or_default()
    }
}

/// What was decided, and when; none: nothing yet.
fn decision(request: &CertificateSigningRequest) -> Option<Decision> {
    let conditions = request.status.as_ref()?.conditions.as_deref()?;
    let decided = conditions.iter().find(|c| matches!(&*c.type_, "Approved" | "Denied"))?;
    let at = decided.last_update_time.as_ref().or(decided.last_transition_time.as_ref())?.0;
    let by = request.metadata.managed_fields.iter().flatten();
    let by = by.filter(|entry| entry.subresource.as_deref() == Some("approval"));
    let by = by.filter_map(|entry| entry.manager.clone()).next_back();
    Some(Decision {
        request: request.metadata.name.clone()?,
        approved: decided.type_ == "Approved",
        by: by.unwrap_or_default(),
        at: Timestamp::from_second(at.as_second()).unwrap_or(at),
        reason: decided.reason.clone().filter(|reason| !reason.is_empty()),
    })
}

/// The host of this namespace that the request names as its subject.
fn host_of(request: &CertificateSigningRequest, namespace: &str) -> Option<String> {
    let spec = &request.spec;
    if spec.signer_name != SIGNER || spec.request.0.len() > MAX_REQUEST {
        return None;
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(&spec.request.0).ok()?;
    let (_, parsed) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let mut names = parsed.certification_request_info.subject.iter_common_name();
    let name = names.next()?.as_str().ok()?;
    if names.next().is_some() {
        return None;
    }
    let host = name.strip_prefix("inv:host:")?.strip_prefix(namespace)?.strip_prefix(':')?;
    (!host.is_empty() && host.len() <= 63).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use serde_json::json;

    fn request(cn: &str) -> CertificateSigningRequest {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        let key = KeyPair::generate().unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let mut request = CertificateSigningRequest::default();
        request.metadata.name = Some("csr-1".into());
        request.spec.signer_name = SIGNER.into();
        request.spec.request = ByteString(pem.into_bytes());
        request
    }

    fn decide(request: &mut CertificateSigningRequest, word: &str) {
        request.status = serde_json::from_value(json!({"conditions": [{
            "type": word, "status": "True", "reason": "HostMatched",
            "lastUpdateTime": "2026-01-01T00:00:00Z",
        }]}))
        .unwrap();
    }

    #[test]
    fn a_decision_is_told_once_to_the_host_that_is_named() {
        let mut all = Requests::default();
        let mut mine = request("inv:host:n:aws-i-1");
        assert_eq!(all.take(&mine, "n"), None, "nothing is decided");
        decide(&mut mine, "Denied");
        assert_eq!(all.take(&mine, "n"), Some("aws-i-1".into()));
        assert_eq!(all.take(&mine, "n"), None);
        let told = all.of("aws-i-1");
        assert!(told.len() == 1 && !told[0].approved && told[0].request == "csr-1");
        all.begin();
        all.end();
        assert!(all.of("aws-i-1").is_empty() && all.hosts.is_empty() && all.decisions.is_empty());
    }

    #[test]
    fn other_requests_are_nobodys() {
        for cn in ["inv:host:other:h", "inv:host:n:", "kubernetes-admin", "inv:host:nn:h"] {
            let mut other = request(cn);
            decide(&mut other, "Approved");
            assert_eq!(Requests::default().take(&other, "n"), None, "{cn}");
        }
        let mut broken = request("inv:host:n:h");
        decide(&mut broken, "Approved");
        broken.spec.request = ByteString(b"nonsense".to_vec());
        assert_eq!(Requests::default().take(&broken, "n"), None);
    }
}
