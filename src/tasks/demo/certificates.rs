//! Hosts that ask for their client certificate and wait for somebody to approve it. One of the
//! requests does not match any host: it is the one that must not be approved.

use std::collections::VecDeque;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::Demo;
use super::write::create;
use super::write::within;
use crate::error::{Error, Result};
use crate::model::sample;
use crate::store::client::{AGENT, explain};

/// Requests at the start, at most; a small fleet has one for each tenth host.
const MOST: u32 = 8;
/// Requests of hosts that came later, at most; the oldest goes.
const NEWCOMERS: usize = 8;
/// The host that there is not.
const STRANGER: &str = "aws-i-0badc0ffee0ddf00d";
/// How long the certificates should be valid: 30 days.
const SECONDS: i32 = 30 * 86_400;

/// The requests that there are from the start.
pub(super) async fn fill(demo: &Demo) -> Result<()> {
    for number in 0..(demo.hosts / 10).clamp(1, MOST).min(demo.hosts) {
        ask(&demo.asker, &demo.namespace, &sample::name(number)).await?;
    }
    ask(&demo.asker, &demo.namespace, STRANGER).await
}

/// Requests of hosts that came later.
#[derive(Default)]
pub(super) struct Newcomers(VecDeque<String>);

impl Newcomers {
    /// A new host asks for its certificate.
    pub(super) async fn ask(&mut self, demo: &Demo, host: &str) -> Result<()> {
        ask(&demo.asker, &demo.namespace, host).await?;
        self.0.push_back(object_name(host));
        if self.0.len() <= NEWCOMERS {
            return Ok(());
        }
        let Some(oldest) = self.0.pop_front() else { return Ok(()) };
        let api: Api<CertificateSigningRequest> = Api::all(demo.client.clone());
        match within(api.delete(&oldest, &DeleteParams::default())).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            gone => gone.map(|_| ()).map_err(|cause| {
                explain(
                    format!("cannot remove \"{oldest}\""),
                    "delete certificatesigningrequests",
                    cause,
                )
            }),
        }
    }
}

fn object_name(host: &str) -> String {
    format!("inv-host-{host}")
}

async fn ask(client: &Client, namespace: &str, host: &str) -> Result<()> {
    let api = Api::all(client.clone());
    create(&api, &request(namespace, host)?, AGENT).await.map(|_| ())
}

/// The request of a host, with a key of its own that is thrown away: nobody will use it.
fn request(namespace: &str, host: &str) -> Result<CertificateSigningRequest> {
    let fail = |cause| Error::new(format!("cannot make a key for \"{host}\"")).because(cause);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "inv:hosts");
    params.distinguished_name.push(DnType::CommonName, format!("inv:host:{namespace}:{host}"));
    let key = KeyPair::generate().map_err(fail)?;
    let pem = params.serialize_request(&key).and_then(|request| request.pem()).map_err(fail)?;
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta { name: Some(object_name(host)), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: "kubernetes.io/kube-apiserver-client".to_owned(),
            expiration_seconds: Some(SECONDS),
            usages: Some(vec!["digital signature".to_owned(), "client auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    #[test]
    fn a_request_says_who_asks_and_nothing_else() {
        let request = request("inventory", "aws-i-1").unwrap();
        assert_eq!(request.metadata.name.as_deref(), Some("inv-host-aws-i-1"));
        let pem = x509_parser::pem::parse_x509_pem(&request.spec.request.0).unwrap().1;
        let (rest, parsed) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        assert!(rest.is_empty());
        parsed.verify_signature().unwrap();
        let info = &parsed.certification_request_info;
        assert_eq!(info.subject.to_string(), "O=inv:hosts, CN=inv:host:inventory:aws-i-1");
        assert!(parsed.requested_extensions().is_none(), "no SAN, no CA");
    }

    #[test]
    fn the_stranger_is_no_host_of_the_fleet() {
        assert!((0..5_000).all(|number| sample::name(number) != STRANGER));
    }
}
