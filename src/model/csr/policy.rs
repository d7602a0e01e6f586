//! What may be approved without a person.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::Key;
use crate::model::duration;

/// The signer of client certificates that an API server accepts.
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// The group of those who may ask for a host's first certificate.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers:inv";

/// What may be approved without a person. As TOML, words joined by dashes: `max-validity = "30d"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Policy {
    /// Signers that are decided for; requests to others are left alone.
    pub signers: Vec<String>,
    /// Longest life of a certificate. A request that names no life is longer than any.
    #[serde(deserialize_with = "length")]
    pub max_validity: Duration,
    /// Kinds of keys.
    pub keys: Vec<KeyKind>,
    /// Fewest bits of an RSA key.
    pub min_rsa_bits: u32,
    /// Namespaces whose hosts are decided for; none means all. The others are another approver's.
    pub namespaces: Vec<String>,
    /// Requests for one host by one requester within an hour; more are left to a person.
    pub requests_per_hour: usize,
    /// The group that may ask for a host's first certificate.
    pub bootstrap_group: String,
    /// A bootstrap request for a host that still has a living certificate is left to a person: it
    /// may be somebody who takes the host over.
    pub leave_takeovers: bool,
    /// Deny what can never be right. Without it that is left pending, too, with its reason.
    pub deny: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            signers: vec![CLIENT_SIGNER.to_owned()],
            max_validity: Duration::from_hours(30 * 24),
            keys: vec![KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Ed25519, KeyKind::Rsa],
            min_rsa_bits: 2048,
            namespaces: Vec::new(),
            requests_per_hour: 3,
            bootstrap_group: BOOTSTRAPPERS.to_owned(),
            leave_takeovers: true,
            deny: false,
        }
    }
}

/// A kind of key that a policy may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// ECDSA on the curve P-256.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on the curve P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA with at least `min-rsa-bits`.
    Rsa,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        })
    }
}

impl Policy {
    /// Whether the values make sense.
    ///
    /// # Errors
    /// A sentence that names what does not.
    pub fn check(&self) -> Result<(), String> {
        if self.signers.is_empty() || self.signers.iter().any(String::is_empty) {
            return Err("signers must name at least one signer".to_owned());
        }
        if self.max_validity < Duration::from_mins(10) {
            return Err("max-validity must be at least 10 minutes, the shortest that the API \
                        lets one ask for"
                .to_owned());
        }
        if self.keys.is_empty() {
            return Err("keys must name at least one kind of key".to_owned());
        }
        if self.min_rsa_bits < 2048 {
            return Err("min-rsa-bits must be at least 2048".to_owned());
        }
        if ["system:authenticated", "system:unauthenticated"].contains(&&*self.bootstrap_group) {
            return Err("bootstrap-group must not be a group that everybody is in".to_owned());
        }
        Ok(())
    }

    pub(super) fn takes(&self, key: &Key) -> bool {
        match key {
            Key::EcdsaP256 => self.keys.contains(&KeyKind::EcdsaP256),
            Key::EcdsaP384 => self.keys.contains(&KeyKind::EcdsaP384),
            Key::Ed25519 => self.keys.contains(&KeyKind::Ed25519),
            Key::Rsa(bits) => self.keys.contains(&KeyKind::Rsa) && *bits >= self.min_rsa_bits,
            Key::Other(_) => false,
        }
    }

    pub(super) fn keys_text(&self) -> String {
        let kinds = self.keys.iter().map(|kind| match kind {
            KeyKind::Rsa => format!("RSA of {} bits or more", self.min_rsa_bits),
            kind => kind.to_string(),
        });
        kinds.collect::<Vec<_>>().join(", ")
    }
}

fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map_err(serde::de::Error::custom)
}
