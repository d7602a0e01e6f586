//! A PKCS#10 certificate request, read with suspicion.

use std::net::IpAddr;

use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::der::{self, AltName};

/// No honest request is longer: one with an RSA key of 8192 bits has 3 KiB.
const LONGEST: usize = 64 << 10;

/// What a certificate request asks for; its signature is valid.
#[derive(Debug)]
pub struct Request {
    /// The user name (CN) of the subject, or empty.
    pub user: String,
    /// The groups (each O) of the subject.
    pub groups: Vec<String>,
    /// The subject, as it came.
    pub(super) subject: Vec<u8>,
    /// The public key, as it came.
    pub(super) key: Vec<u8>,
    pub(super) alt_names: Vec<AltName>,
}

impl Request {
    /// Reads a request in PEM.
    ///
    /// # Errors
    ///
    /// Why it is not a request that can be signed: no PEM, no PKCS#10, a signature that does not
    /// belong to its key, a name that is no text.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        if pem.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem)
            .map_err(|_why| "it must hold a PEM block of type CERTIFICATE REQUEST")?;
        let (rest, request) = X509CertificationRequest::from_der(&der)
            .map_err(|_why| "it is not a PKCS#10 certificate request")?;
        if !rest.is_empty() {
            return Err("something follows the PKCS#10 certificate request".to_owned());
        }
        request.verify_signature().map_err(|_why| "its signature does not fit its key")?;
        let info = &request.certification_request_info;
        let (user, groups) = names(&info.subject)?;
        let mut alt_names = Vec::new();
        for attribute in info.iter_attributes() {
            let ParsedCriAttribute::ExtensionRequest(wanted) = attribute.parsed_attribute() else {
                continue;
            };
            for extension in &wanted.extensions {
                match extension.parsed_extension() {
                    ParsedExtension::ParseError { .. } => {
                        return Err("one of its extensions is malformed".to_owned());
                    }
                    ParsedExtension::SubjectAlternativeName(list) => {
                        for name in &list.general_names {
                            alt_names.push(alt_name(name)?);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(Self {
            user,
            groups,
            subject: info.subject.as_raw().to_vec(),
            key: info.subject_pki.raw.to_vec(),
            alt_names,
        })
    }
}

/// User and groups that a subject stands for: its CN, and each O.
///
/// # Errors
///
/// A subject that two readers could understand in two ways names nobody.
pub(super) fn names(subject: &X509Name<'_>) -> Result<(String, Vec<String>), String> {
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for attribute in subject.iter_attributes() {
        let list = match attribute.attr_type().as_bytes() {
            der::COMMON_NAME => &mut users,
            der::ORGANIZATION => &mut groups,
            _ => continue,
        };
        let text = attribute.as_str().map_err(|_why| "a name in its subject is no plain text")?;
        list.push(text.to_owned());
    }
    if users.len() > 1 {
        return Err("its subject has more than one common name".to_owned());
    }
    Ok((users.pop().unwrap_or_default(), groups))
}

fn alt_name(name: &GeneralName<'_>) -> Result<AltName, String> {
    match name {
        GeneralName::RFC822Name(text) => Ok(AltName::Email((*text).to_owned())),
        GeneralName::DNSName(text) => Ok(AltName::Dns((*text).to_owned())),
        GeneralName::URI(text) => Ok(AltName::Uri((*text).to_owned())),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
            .map(AltName::Ip)
            .map_err(|_why| "an address in its alternative names has a wrong length".to_owned()),
        _ => Err("it asks for an alternative name that is no DNS name, address, URI or e-mail \
                  address"
            .to_owned()),
    }
}

#[cfg(test)]
pub(in crate::server) mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    /// A request for this user and group, and its key.
    pub(in crate::server) fn make(user: &str, group: &str, alt: &[&str]) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let alt: Vec<String> = alt.iter().map(|s| (*s).to_owned()).collect();
        let mut params = CertificateParams::new(alt).unwrap();
        params.distinguished_name = DistinguishedName::new();
        if !user.is_empty() {
            params.distinguished_name.push(DnType::CommonName, user);
        }
        if !group.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        (params.serialize_request(&key).unwrap().pem().unwrap(), key)
    }

    #[test]
    fn a_request_is_read() {
        let (pem, _) = make("inv:host:default:a", "inv:hosts", &["a.example", "10.0.0.1", "::1"]);
        let request = Request::parse(pem.as_bytes()).unwrap();
        assert_eq!(request.user, "inv:host:default:a");
        assert_eq!(request.groups, ["inv:hosts"]);
        let ip = |text: &str| AltName::Ip(text.parse().unwrap());
        let wanted = [AltName::Dns("a.example".into()), ip("10.0.0.1"), ip("::1")];
        assert_eq!(request.alt_names, wanted);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let (pem, _) = make("a", "b", &[]);
        let error = |text: &[u8]| Request::parse(text).unwrap_err();
        assert!(error(b"").contains("PEM"));
        assert!(
            error(pem.replace("CERTIFICATE REQUEST", "CERTIFICATE").as_bytes()).contains("PEM")
        );
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
        let again = |der: &[u8]| der::pem("CERTIFICATE REQUEST", der);
        assert!(error(again(&der[..40]).as_bytes()).contains("PKCS#10"));
        assert!(error(again(&[&der[..], &[0]].concat()).as_bytes()).contains("follows"));
        assert!(error(&vec![b'-'; LONGEST + 1]).contains("longer"));
    }

    #[test]
    fn a_changed_request_does_not_fit_its_signature() {
        let (pem, _) = make("inv:host:default:a", "inv:hosts", &[]);
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut changed = der.to_vec();
        let at = changed.windows(9).position(|part| part == b"inv:hosts").unwrap();
        changed[at..at + 9].copy_from_slice(b"inv:admin");
        let error = Request::parse(der::pem("CERTIFICATE REQUEST", &changed).as_bytes());
        assert!(error.unwrap_err().contains("signature"));
    }

    #[test]
    fn ambiguous_subjects_name_nobody() {
        let two = der::name(&[(der::COMMON_NAME, "a"), (der::COMMON_NAME, "b")]);
        let (_, subject) = X509Name::from_der(&two).unwrap();
        assert!(names(&subject).is_err());
        // An O in a string type (BMPString) that some readers understand and others skip.
        let odd = der::element(0x1e, &[b"\0m\0e"]);
        let pair = der::sequence(&[&der::oid(der::ORGANIZATION), &odd]);
        let odd = der::sequence(&[&der::element(0x31, &[&pair])]);
        let (_, subject) = X509Name::from_der(&odd).unwrap();
        assert!(names(&subject).is_err());
    }
}
