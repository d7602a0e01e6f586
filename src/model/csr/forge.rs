//! Requests that DER can express, signed with their own key, for tests. It stands alone, so that the
//! integration tests can use it too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData, SigningKey};

pub(crate) const CN: &[u8] = &[0x55, 4, 3];
pub(crate) const O: &[u8] = &[0x55, 4, 10];
pub(crate) const SAN_ID: &[u8] = &[0x55, 0x1d, 17];
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// An element of DER.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut all = vec![tag];
    match body.len() {
        length @ 0..0x80 => all.push(u8::try_from(length).unwrap()),
        length @ 0x80..0x100 => all.extend([0x81, u8::try_from(length).unwrap()]),
        length => {
            all.push(0x82);
            all.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    all.extend(body);
    all
}

/// One part of a name.
pub(crate) fn part(oid: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
    let pair = element(0x30, &[&element(6, &[oid]), &element(tag, &[text])]);
    element(0x31, &[&pair])
}

/// One extension.
pub(crate) fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    element(0x30, &[&element(6, &[oid]), &element(4, &[value])])
}

/// What a forged request is made of.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) version: u8,
    pub(crate) subject: Vec<Vec<u8>>,
    pub(crate) extensions: Vec<Vec<u8>>,
    pub(crate) attributes: Vec<Vec<u8>>,
    /// Bytes behind the last element of the body.
    pub(crate) tail: Vec<u8>,
}

impl Forge {
    /// An honest one of this host.
    pub(crate) fn of(namespace: &str, name: &str) -> Self {
        let user = format!("inv:host:{namespace}:{name}");
        Self {
            version: 0,
            subject: vec![part(CN, 0x0c, user.as_bytes()), part(O, 0x0c, b"inv:hosts")],
            extensions: Vec::new(),
            attributes: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// Its DER, signed with a fresh P-256 key.
    pub(crate) fn der(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let subject = element(0x30, &[&self.subject.concat()]);
        let mut attributes = self.attributes.clone();
        if !self.extensions.is_empty() {
            let list = element(0x30, &[&self.extensions.concat()]);
            let values = element(0x31, &[&list]);
            attributes.push(element(0x30, &[&element(6, &[EXTENSION_REQUEST]), &values]));
        }
        let attributes = element(0xa0, &[&attributes.concat()]);
        let key_info = key.subject_public_key_info();
        let version = element(2, &[&[self.version]]);
        let info = element(0x30, &[&version, &subject, &key_info, &attributes, &self.tail]);
        let algorithm = element(0x30, &[&element(6, &[ECDSA_SHA256])]);
        let signature = element(3, &[&[0], &key.sign(&info).unwrap()]);
        element(0x30, &[&info, &algorithm, &signature])
    }
}

/// PEM of a request.
pub(crate) fn pem(der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
        .into()
}
