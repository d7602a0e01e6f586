//! The little DER (X.690) that a certificate needs, written.
//!
//! rcgen holds a subject as a map by type, so a certificate with two groups (two O) cannot be made
//! with it; and a request's subject and key are better passed on byte by byte than taken apart.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// ecdsa-with-SHA256, RFC 5758.
pub(super) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// commonName, RFC 5280 appendix A.
pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// organizationName.
pub(super) const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// Extensions of RFC 5280, section 4.2.1.
pub(super) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
pub(super) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(super) const ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(super) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
pub(super) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// id-kp-serverAuth and id-kp-clientAuth.
pub(super) const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
pub(super) const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// Bits of keyUsage, from the left of its one byte.
pub(super) const DIGITAL_SIGNATURE: u8 = 0x80;
pub(super) const KEY_ENCIPHERMENT: u8 = 0x20;
pub(super) const KEY_CERT_SIGN: u8 = 0x04;
pub(super) const CRL_SIGN: u8 = 0x02;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// An element with this tag and these contents, one after the other.
pub(super) fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let mut all = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(short) if short < 0x80 => all.push(short),
        _ => {
            let bytes = contents.len().to_be_bytes();
            let bytes: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
            // At most eight bytes hold the length of anything in memory.
            all.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
            all.extend(bytes);
        }
    }
    all.extend(contents);
    all
}

pub(super) fn sequence(contents: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, contents)
}

pub(super) fn oid(encoded: &[u8]) -> Vec<u8> {
    element(OID, &[encoded])
}

/// A positive number; `bytes` must not begin with a zero or a set top bit.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    element(INTEGER, &[bytes])
}

pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// `UTCTime` until 2049, `GeneralizedTime` after it (RFC 5280, section 4.1.2.5).
pub(super) fn time(at: Timestamp) -> Vec<u8> {
    if at.to_zoned(TimeZone::UTC).year() < 2050 {
        element(UTC_TIME, &[at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        element(GENERALIZED_TIME, &[at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
    }
}

/// A distinguished name of these attributes, each an OID and a text.
pub(super) fn name(attributes: &[(&[u8], &str)]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(kind, text)| {
            let pair = sequence(&[&oid(kind), &element(UTF8_STRING, &[text.as_bytes()])]);
            element(SET, &[&pair])
        })
        .collect();
    element(SEQUENCE, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// An extension of a certificate with its value already encoded.
pub(super) fn extension(kind: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { element(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    sequence(&[&oid(kind), &flag, &element(OCTET_STRING, &[value])])
}

/// The value of keyUsage with these bits, which must not be none.
pub(super) fn key_usage(bits: u8) -> Vec<u8> {
    let unused = u8::try_from(bits.trailing_zeros()).unwrap_or(0) & 7;
    element(BIT_STRING, &[&[unused, bits]])
}

/// The value of basicConstraints: of an authority whose certificates certify nobody, or of no
/// authority at all.
pub(super) fn basic_constraints(authority: bool) -> Vec<u8> {
    if authority {
        sequence(&[&element(BOOLEAN, &[&[0xff]]), &element(INTEGER, &[&[0]])])
    } else {
        sequence(&[])
    }
}

/// The value of subjectKeyIdentifier and of authorityKeyIdentifier.
pub(super) fn subject_key_id(id: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, &[id])
}
pub(super) fn authority_key_id(id: &[u8]) -> Vec<u8> {
    sequence(&[&element(0x80, &[id])])
}

/// A name that a certificate is also good for (`GeneralName`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AltName {
    Email(String),
    Dns(String),
    Uri(String),
    Ip(IpAddr),
}

/// The value of subjectAltName.
pub(super) fn alt_names(names: &[AltName]) -> Vec<u8> {
    let encoded: Vec<Vec<u8>> = names
        .iter()
        .map(|name| match name {
            AltName::Email(text) => element(0x81, &[text.as_bytes()]),
            AltName::Dns(text) => element(0x82, &[text.as_bytes()]),
            AltName::Uri(text) => element(0x86, &[text.as_bytes()]),
            AltName::Ip(IpAddr::V4(ip)) => element(0x87, &[&ip.octets()]),
            AltName::Ip(IpAddr::V6(ip)) => element(0x87, &[&ip.octets()]),
        })
        .collect();
    sequence(&encoded.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// DER as PEM (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_der_wants_them() {
        assert_eq!(element(0x04, &[&[7; 127]])[..2], [0x04, 127]);
        assert_eq!(element(0x04, &[&[7; 128]])[..3], [0x04, 0x81, 128]);
        assert_eq!(element(0x04, &[&[7; 256], &[7; 1]])[..4], [0x04, 0x82, 1, 1]);
    }

    #[test]
    fn times_change_their_form_in_2050() {
        let old: Timestamp = "2049-12-31T23:59:59Z".parse().unwrap();
        let new: Timestamp = "2050-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(time(old), [&[0x17, 13], &b"491231235959Z"[..]].concat());
        assert_eq!(time(new), [&[0x18, 15], &b"20500101000000Z"[..]].concat());
    }

    #[test]
    fn unused_bits_of_a_key_usage_are_counted() {
        assert_eq!(key_usage(DIGITAL_SIGNATURE), [3, 2, 7, 0x80]);
        assert_eq!(key_usage(DIGITAL_SIGNATURE | KEY_ENCIPHERMENT), [3, 2, 5, 0xa0]);
        assert_eq!(key_usage(KEY_CERT_SIGN | CRL_SIGN), [3, 2, 1, 0x06]);
    }
}
