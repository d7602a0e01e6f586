//! Objects around requests, and hosts, for tests.

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;

pub(crate) use super::forge::*;
use super::{BOOTSTRAPPERS, CLIENT_SIGNER, HostFacts};
use crate::model::host::{Phase, ServiceState};

pub(crate) fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// The object around a request, as a bootstrapper's with an honest spec.
pub(crate) fn object(pem: impl Into<Vec<u8>>) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some("host-1".to_owned()),
            uid: Some("u-1".to_owned()),
            resource_version: Some("7".to_owned()),
            creation_timestamp: Some(Time(now())),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into()),
            signer_name: CLIENT_SIGNER.to_owned(),
            usages: Some(vec!["client auth".to_owned(), "digital signature".to_owned()]),
            expiration_seconds: Some(86_400),
            username: Some("bootstrap-a".to_owned()),
            groups: Some(vec![BOOTSTRAPPERS.to_owned(), "system:authenticated".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// A running host of this name.
pub(crate) fn host(namespace: &str, name: &str) -> HostFacts {
    HostFacts {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        phase: Some(Phase::Running),
        listed_as_running: true,
        service_state: ServiceState::InService,
        deleting: false,
    }
}
