//! What was decided about the certificate requests of the hosts of one namespace.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

use crate::model::csr::{Request, operation};
use crate::model::host::Operation;

/// The signer of client certificates.
pub(super) const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// The decided requests, by host.
#[derive(Default)]
pub(super) struct Requests {
    /// Host of each request.
    hosts: HashMap<String, String>,
    decisions: HashMap<String, BTreeMap<String, Operation>>,
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
        // What cannot be read names no host.
        let read = Request::decode(request).ok()?;
        let decision = operation(&read.about)?;
        let (_, host) = read.host().filter(|(of, _)| *of == namespace)?;
        let host = host.to_owned();
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
    pub(super) fn of(&self, host: &str) -> Vec<Operation> {
        self.decisions.get(host).map(|all| all.values().cloned().collect()).unwrap_or_default()
    }
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
        assert!(told.len() == 1 && told[0].verb == "certificate-deny" && told[0].id == "csr-csr-1");
        all.begin();
        all.end();
        assert!(all.of("aws-i-1").is_empty() && all.hosts.is_empty() && all.decisions.is_empty());
    }

    #[test]
    fn other_requests_are_nobodys() {
        for cn in ["inv:host:other:h", "inv:host:n:", "kubernetes-admin", "inv:host:nn:h"] {
            let mut other = request(cn);
            decide(&mut other, "Denied");
            assert_eq!(Requests::default().take(&other, "n"), None, "{cn}");
        }
        let mut broken = request("inv:host:n:h");
        decide(&mut broken, "Denied");
        broken.spec.request = ByteString(b"nonsense".to_vec());
        assert_eq!(Requests::default().take(&broken, "n"), None);
    }
}
