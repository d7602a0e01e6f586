//! The server's own certificate authority: who it is, and who its clients are.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::der::{self, AltName};
use super::request::{Request, names};
use super::{AUTHENTICATED, User, files};
use crate::error::{Error, Result};
use crate::server::status::{ApiError, ApiResult};

/// How long a new authority is good for.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(24 * 3650);
/// How long the server's own certificate is good for; it is made again when a third is left.
const SERVER_LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);
/// Certificates begin this much earlier, for clients whose clock is behind. kube-controller-manager
/// does the same.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// Attribute of a subject that holds the user's uid (kube-apiserver since 1.33).
const USER_ID: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xc2, 0x53, 0x02];
/// Where a user's `extra` says which certificate it was.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// A certificate authority with its key.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    /// Its subject, which is the issuer of what it signs.
    name: Vec<u8>,
    key: KeyPair,
    key_id: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// A client certificate and its key, both in PEM.
pub struct Credentials {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS#8).
    pub key: String,
}

/// Who a valid client certificate stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The user.
    pub user: User,
    /// Until when.
    pub not_after: Timestamp,
}

impl Authority {
    /// The authority of `ca.crt` and `ca.key` in `folder`; both are made if there are none. Only
    /// one process may do this at a time: whoever holds the lock on the folder.
    ///
    /// # Errors
    ///
    /// If the key is open to others; if either file is damaged, missing or of another pair. Files
    /// that are there stay as they are.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self> {
        let (key_path, path) = (folder.join("ca.key"), folder.join("ca.crt"));
        let restore = "restore ca.crt and ca.key from a backup, or move both away: a new authority \
                       is made then, and every client needs a new certificate";
        let bad = |path: &Path, why: String| {
            let what =
                format!("the certificate authority in \"{}\" cannot be used", path.display());
            Error::usage(what).because(why).hint(restore)
        };
        let key = match files::read_private(&key_path)? {
            Some(text) => {
                let key = KeyPair::from_pem(&text);
                // The cause would only tell the parts of a key.
                key.map_err(|_why| {
                    bad(&key_path, "it is not a PKCS#8 private key in PEM".to_owned())
                })?
            }
            None if path.exists() => return Err(bad(&key_path, "it is missing".to_owned())),
            None => {
                let key = new_key()?;
                files::write_private(&key_path, &key.serialize_pem())?;
                key
            }
        };
        if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(bad(&key_path, "it is not an ECDSA P-256 key".to_owned()));
        }
        let pem = if let Some(pem) = files::read(&path)? {
            pem
        } else {
            // A key alone is what a stop between the two writes leaves behind.
            let pem = self_signed(&key, now)?;
            files::write_private(&path, &pem)?;
            pem
        };
        Self::new(&pem, key, now).map_err(|why| bad(&path, why))
    }

    /// An authority that nothing is left of when the program ends.
    ///
    /// # Errors
    ///
    /// If there is no randomness for a key.
    pub fn in_memory(now: Timestamp) -> Result<Self> {
        let key = new_key()?;
        let pem = self_signed(&key, now)?;
        Self::new(&pem, key, now)
            .map_err(|why| Error::new("cannot make a certificate authority").because(why))
    }

    fn new(pem: &str, key: KeyPair, now: Timestamp) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_why| "it is not a certificate in PEM")?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|_why| "it is not an X.509 certificate")?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err("it does not belong to the key in ca.key".to_owned());
        }
        if !parsed.is_ca() {
            return Err("it may not sign certificates".to_owned());
        }
        let (not_before, not_after) = validity(&parsed)?;
        if now >= not_after {
            return Err(format!("it ended at {not_after}"));
        }
        let name = parsed.subject().as_raw().to_vec();
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).map_err(|error| error.to_string())?;
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let (pem, key_id) = (der::pem("CERTIFICATE", &der), key_id(&key));
        Ok(Self { pem, der, name, key, key_id, not_before, not_after, verifier })
    }

    /// Its certificate in PEM, which clients check the server with.
    pub fn certificate(&self) -> &str {
        &self.pem
    }

    /// A new key with a client certificate for `user` in `groups`, good for `lifetime` (at most
    /// until the authority itself ends).
    ///
    /// # Errors
    ///
    /// If there is no randomness for a key, or the authority has ended.
    pub fn client_certificate(
        &self,
        user: &str,
        groups: &[&str],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Credentials> {
        let key = new_key()?;
        let mut subject: Vec<(&[u8], &str)> =
            groups.iter().map(|group| (der::ORGANIZATION, *group)).collect();
        subject.push((der::COMMON_NAME, user));
        let leaf = Leaf {
            subject: der::name(&subject),
            key: key.subject_public_key_info(),
            alt_names: &[],
            key_usage: der::DIGITAL_SIGNATURE,
            purposes: vec![der::CLIENT_AUTH],
        };
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(AUTHORITY_LIFE);
        let certificate = der::pem("CERTIFICATE", &self.issue(&leaf, lifetime, now)?);
        Ok(Credentials { certificate, key: key.serialize_pem() })
    }

    /// The certificate that an approved request gets, in PEM: its subject, alternative names and
    /// key, these usages, and `lifetime` (at most until the authority itself ends). Nothing else
    /// that the request asks for is granted.
    ///
    /// # Errors
    ///
    /// If a usage is none of `digital signature`, `key encipherment`, `client auth` and
    /// `server auth`.
    pub fn sign(
        &self,
        request: &Request,
        usages: &[&str],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<String> {
        let (mut key_usage, mut purposes) = (0, Vec::new());
        for usage in usages {
            match *usage {
                "digital signature" | "signing" => key_usage |= der::DIGITAL_SIGNATURE,
                "key encipherment" => key_usage |= der::KEY_ENCIPHERMENT,
                "client auth" => purposes.push(der::CLIENT_AUTH),
                "server auth" => purposes.push(der::SERVER_AUTH),
                other => return Err(Error::new(format!("usage {other:?} is not signed for"))),
            }
        }
        let leaf = Leaf {
            subject: request.subject.clone(),
            key: request.key.clone(),
            alt_names: &request.alt_names,
            key_usage,
            purposes,
        };
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(AUTHORITY_LIFE);
        Ok(der::pem("CERTIFICATE", &self.issue(&leaf, lifetime, now)?))
    }

    /// Who a client certificate stands for: CN is the user, each O a group. `chain` begins with the
    /// client's certificate; whatever is needed between it and this authority follows.
    ///
    /// # Errors
    ///
    /// 401 if it does not lead to this authority, is not valid now, is not meant for clients, or
    /// names nobody.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> ApiResult<Verified> {
        self.identity(chain, now).map_err(|why| {
            tracing::debug!(%why, "client certificate refused");
            ApiError::unauthorized()
        })
    }

    fn identity(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Verified, String> {
        let (leaf, others) = chain.split_first().ok_or("there is none")?;
        let seconds = u64::try_from(now.as_second()).map_err(|_why| "the clock is before 1970")?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.verifier.verify_client_cert(leaf, others, at).map_err(|error| error.to_string())?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
        // A certificate that does not say what it is for passes the check above.
        match parsed.extended_key_usage() {
            Ok(Some(usage)) if usage.value.client_auth || usage.value.any => {}
            _ => return Err("it is not meant for clients".to_owned()),
        }
        let (name, mut groups) = names(parsed.subject())?;
        if name.is_empty() {
            return Err("its subject has no common name".to_owned());
        }
        groups.push(AUTHENTICATED.to_owned());
        let mut uids = Vec::new();
        for attribute in parsed.subject().iter_attributes() {
            if attribute.attr_type().as_bytes() == USER_ID {
                uids.push(attribute.as_str().map_err(|_why| "its uid is no text")?.to_owned());
            }
        }
        if uids.len() > 1 {
            return Err("its subject has more than one uid".to_owned());
        }
        let mut credential = "X509SHA256=".to_owned();
        for byte in Sha256::digest(leaf) {
            // Writing to a string does not fail.
            let _ = write!(credential, "{byte:02x}");
        }
        let extra = BTreeMap::from([(CREDENTIAL.to_owned(), vec![credential])]);
        let user = User { name, uid: uids.pop().unwrap_or_default(), groups, extra };
        Ok(Verified { user, not_after: validity(&parsed)?.1 })
    }

    fn issue(&self, leaf: &Leaf<'_>, lifetime: SignedDuration, now: Timestamp) -> Result<Vec<u8>> {
        let refuse = |why: String| Error::new("cannot sign a certificate").because(why);
        if now >= self.not_after {
            return Err(refuse(format!("the certificate authority ended at {}", self.not_after)));
        }
        let until = now.checked_add(lifetime).unwrap_or(Timestamp::MAX).min(self.not_after);
        let from = now.checked_sub(BACKDATE).unwrap_or(now).max(self.not_before);
        let mut extensions =
            vec![der::extension(der::BASIC_CONSTRAINTS, true, &der::basic_constraints(false))];
        if leaf.key_usage != 0 {
            extensions.push(der::extension(der::KEY_USAGE, true, &der::key_usage(leaf.key_usage)));
        }
        if !leaf.purposes.is_empty() {
            let list: Vec<Vec<u8>> =
                leaf.purposes.iter().map(|purpose| der::oid(purpose)).collect();
            let list = der::sequence(&list.iter().map(Vec::as_slice).collect::<Vec<_>>());
            extensions.push(der::extension(der::EXTENDED_KEY_USAGE, false, &list));
        }
        let authority = der::authority_key_id(&self.key_id);
        extensions.push(der::extension(der::AUTHORITY_KEY_ID, false, &authority));
        if !leaf.alt_names.is_empty() {
            // RFC 5280, section 4.2.1.6: critical if there is no subject to go by.
            let critical = leaf.subject == der::name(&[]);
            let list = der::alt_names(leaf.alt_names);
            extensions.push(der::extension(der::ALT_NAME, critical, &list));
        }
        let (subject, key) = (&leaf.subject, &leaf.key);
        signed(&self.key, &self.name, subject, key, (from, until), &extensions)
            .map_err(|error| refuse(error.to_string()))
    }
}

/// What is certified.
struct Leaf<'a> {
    /// Distinguished name.
    subject: Vec<u8>,
    /// `SubjectPublicKeyInfo`.
    key: Vec<u8>,
    alt_names: &'a [AltName],
    key_usage: u8,
    purposes: Vec<&'static [u8]>,
}

/// A certificate (RFC 5280, section 4.1) signed with `signer`.
fn signed(
    signer: &KeyPair,
    issuer: &[u8],
    subject: &[u8],
    key: &[u8],
    (from, until): (Timestamp, Timestamp),
    extensions: &[Vec<u8>],
) -> Result<Vec<u8>, rcgen::Error> {
    let algorithm = der::sequence(&[&der::oid(der::ECDSA_SHA256)]);
    let mut serial = Uuid::new_v4().into_bytes();
    if let Some(first) = serial.first_mut() {
        // Positive, and no leading zero.
        *first = *first & 0x7f | 0x40;
    }
    let extensions = der::sequence(&extensions.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let body = der::sequence(&[
        &der::element(0xa0, &[&der::integer(&[2])]),
        &der::integer(&serial),
        &algorithm,
        issuer,
        &der::sequence(&[&der::time(from), &der::time(until)]),
        subject,
        key,
        &der::element(0xa3, &[&extensions]),
    ]);
    let signature = signer.sign(&body)?;
    Ok(der::sequence(&[&body, &algorithm, &der::bit_string(&signature)]))
}

fn self_signed(key: &KeyPair, now: Timestamp) -> Result<String> {
    let name = der::name(&[(der::COMMON_NAME, "inv-tui-ca")]);
    let usage = der::DIGITAL_SIGNATURE | der::KEY_CERT_SIGN | der::CRL_SIGN;
    let extensions = [
        der::extension(der::BASIC_CONSTRAINTS, true, &der::basic_constraints(true)),
        der::extension(der::KEY_USAGE, true, &der::key_usage(usage)),
        der::extension(der::SUBJECT_KEY_ID, false, &der::subject_key_id(&key_id(key))),
    ];
    let until = now.checked_add(AUTHORITY_LIFE).unwrap_or(Timestamp::MAX);
    let valid = (now.checked_sub(BACKDATE).unwrap_or(now), until);
    signed(key, &name, &name, &key.subject_public_key_info(), valid, &extensions)
        .map(|der| der::pem("CERTIFICATE", &der))
        .map_err(|error| Error::new("cannot sign a certificate").because(error))
}

fn new_key() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| Error::new("cannot make a private key").because(error))
}

/// The first 160 bits of the key's SHA-256 (RFC 7093, method 1).
fn key_id(key: &KeyPair) -> Vec<u8> {
    Sha256::digest(key.der_bytes()).iter().take(20).copied().collect()
}

fn validity(certificate: &X509Certificate<'_>) -> Result<(Timestamp, Timestamp), String> {
    let validity = certificate.validity();
    let at = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
    Ok((at(validity.not_before.timestamp())?, at(validity.not_after.timestamp())?))
}

/// The server's own certificate. It is made in memory when the server starts and again when its end
/// comes near, so there is no file that could be old or name another machine.
pub struct ServerCertificate {
    authority: Arc<Authority>,
    names: Vec<AltName>,
    clock: fn() -> Timestamp,
    current: Mutex<(Arc<CertifiedKey>, Timestamp)>,
}

impl ServerCertificate {
    /// A certificate for these DNS names and addresses; `clock` says when to make the next one.
    ///
    /// # Errors
    ///
    /// If a name is neither a DNS name nor an address.
    pub fn new(
        authority: Arc<Authority>,
        names: &[&str],
        clock: fn() -> Timestamp,
    ) -> Result<Self> {
        let names = names
            .iter()
            .map(|name| match (name.parse(), DnsName::try_from(*name)) {
                (Ok(ip), _) => Ok(AltName::Ip(ip)),
                (_, Ok(_)) => Ok(AltName::Dns((*name).to_ascii_lowercase())),
                _ => Err(Error::usage(format!("{name:?} is neither a DNS name nor an address"))),
            })
            .collect::<Result<Vec<_>>>()?;
        let first = Self::make(&authority, &names, clock())?;
        Ok(Self { authority, names, clock, current: Mutex::new(first) })
    }

    /// The certificate of this moment.
    pub fn current(&self) -> Arc<CertifiedKey> {
        let now = (self.clock)();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= current.1 {
            match Self::make(&self.authority, &self.names, now) {
                Ok(next) => *current = next,
                Err(error) => tracing::warn!(%error, "the server's certificate is not renewed"),
            }
        }
        Arc::clone(&current.0)
    }

    /// A certificate, and when to make the next one.
    fn make(
        authority: &Authority,
        names: &[AltName],
        now: Timestamp,
    ) -> Result<(Arc<CertifiedKey>, Timestamp)> {
        let fail = |error| Error::new("cannot use the server's own key").because(error);
        let key = new_key()?;
        let leaf = Leaf {
            subject: der::name(&[(der::COMMON_NAME, "inv-tui")]),
            key: key.subject_public_key_info(),
            alt_names: names,
            key_usage: der::DIGITAL_SIGNATURE,
            purposes: vec![der::SERVER_AUTH],
        };
        let certificate = authority.issue(&leaf, SERVER_LIFE, now)?.into();
        let signing = ring::sign::any_ecdsa_type(&PrivateKeyDer::from(key)).map_err(fail)?;
        let certified = CertifiedKey::new(vec![certificate, authority.der.clone()], signing);
        let renew = now.checked_add(SERVER_LIFE * 2 / 3).unwrap_or(Timestamp::MAX);
        Ok((Arc::new(certified), renew))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// The loopback names that a server has in any case.
pub const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
