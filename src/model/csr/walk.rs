//! The walk through a PKCS#10 request (RFC 2986): every element is looked at, none is skipped.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::der::{self, Element, Reader, Result, hex};
use super::{Asks, Extension, Key, NamePart, San, SanKind};
use crate::model::text::clean;

/// No honest request is longer: one with an RSA key of 8192 bits has 3 KiB.
pub(super) const LONGEST: usize = 64 << 10;

const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
const EC_KEY: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";
const RSA: &str = "1.2.840.113549.1.1.1";

/// The DER of a text that is one PEM block of type `CERTIFICATE REQUEST` and nothing else: what
/// stands around it could be read as another request by another reader.
pub(super) fn unwrap(pem: &[u8]) -> Result<Vec<u8>> {
    if pem.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let text = std::str::from_utf8(pem).map_err(|_why| "it is no text")?;
    let inner = text
        .trim_ascii()
        .strip_prefix("-----BEGIN CERTIFICATE REQUEST-----")
        .and_then(|text| text.strip_suffix("-----END CERTIFICATE REQUEST-----"))
        .ok_or("it is not one PEM block of type CERTIFICATE REQUEST and nothing else")?;
    let inner: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(inner).map_err(|_why| "its PEM block is no base64".to_owned())
}

/// Walks through a request.
pub(super) fn walk(bytes: &[u8]) -> Result<Asks> {
    let mut file = Reader::new(bytes);
    let mut outer = file.sequence("the request")?;
    file.end("the request")?;
    let mut info = outer.sequence("the body")?;
    algorithm(&mut outer, "the signature's algorithm")?.1.end_of_parameters()?;
    outer.whole_bits("the signature")?;
    outer.end("the signature")?;

    if info.take(der::INTEGER, "the version")? != [0] {
        return Err("its version is not 0".to_owned());
    }
    let subject = name(&mut info, "the subject")?;
    let key_info = info.any()?;
    let key = public_key(key_info)?;
    let mut asks = Asks {
        subject,
        key,
        fingerprint: hex(&Sha256::digest(key_info.whole)),
        attributes: Vec::new(),
        extensions: Vec::new(),
        sans: Vec::new(),
        authority: false,
        key_usage: Vec::new(),
        extended_usage: Vec::new(),
        signature_fits: false,
    };
    // The attributes are not optional (RFC 2986), only the set may be empty.
    let mut attributes = Reader::new(info.take(0xa0, "the attributes")?);
    info.end("the attributes")?;
    let mut seen = BTreeSet::new();
    while !attributes.is_empty() {
        let mut attribute = attributes.sequence("an attribute")?;
        let id = attribute.oid("an attribute's type")?;
        let mut values = attribute.set("an attribute's values")?;
        attribute.end("an attribute's values")?;
        if !seen.insert(id.clone()) {
            return Err(format!("it has the attribute {id} twice"));
        }
        if id == EXTENSION_REQUEST {
            let list = values.sequence("the list of extensions")?;
            values.end("the list of extensions")?;
            extensions(list, &mut asks)?;
        } else {
            while !values.is_empty() {
                values.any()?;
            }
            asks.attributes.push(id);
        }
    }
    asks.signature_fits = verify(bytes);
    Ok(asks)
}

fn verify(bytes: &[u8]) -> bool {
    X509CertificationRequest::from_der(bytes)
        .is_ok_and(|(rest, request)| rest.is_empty() && request.verify_signature().is_ok())
}

/// Parameters of an algorithm: none, or what stands there.
struct Parameters<'a>(Option<Element<'a>>);

impl Parameters<'_> {
    /// Of a signature: absent, NULL, or a structure of their own (RSA-PSS), which the check of the
    /// signature reads.
    fn end_of_parameters(&self) -> Result<()> {
        match &self.0 {
            None
            | Some(Element { tag: der::NULL, body: [], .. } | Element { tag: der::SEQUENCE, .. }) => {
                Ok(())
            }
            Some(_) => Err("the signature's algorithm has odd parameters".to_owned()),
        }
    }
}

fn algorithm<'a>(from: &mut Reader<'a>, what: &str) -> Result<(String, Parameters<'a>)> {
    let mut algorithm = from.sequence(what)?;
    let id = algorithm.oid(what)?;
    let parameters = if algorithm.is_empty() { None } else { Some(algorithm.any()?) };
    algorithm.end(what)?;
    Ok((id, Parameters(parameters)))
}

fn public_key(info: Element<'_>) -> Result<Key> {
    if info.tag != der::SEQUENCE {
        return Err("its key is malformed".to_owned());
    }
    let mut info = Reader::new(info.body);
    let (id, Parameters(parameters)) = algorithm(&mut info, "the key's algorithm")?;
    let bits = info.whole_bits("the key")?;
    info.end("the key")?;
    let malformed = || "its key is malformed".to_owned();
    match id.as_str() {
        EC_KEY => {
            let curve = parameters.filter(|p| p.tag == der::OID).ok_or_else(malformed)?;
            let curve = der::oid(curve.body)?;
            // Points are uncompressed, as Go and ring want them (RFC 5480, section 2.2).
            let (key, length) = match curve.as_str() {
                P256 => (Key::EcdsaP256, 65),
                P384 => (Key::EcdsaP384, 97),
                _ => return Ok(Key::Other(format!("ECDSA on curve {curve}"))),
            };
            if bits.len() == length && bits.first() == Some(&4) {
                Ok(key)
            } else {
                Err(malformed())
            }
        }
        ED25519 if parameters.is_none() && bits.len() == 32 => Ok(Key::Ed25519),
        RSA if matches!(parameters, Some(Element { tag: der::NULL, body: [], .. })) => {
            let mut bits = Reader::new(bits);
            let mut numbers = bits.sequence("the key's numbers")?;
            bits.end("the key's numbers")?;
            let modulus = numbers.positive("the key's modulus")?;
            let exponent = numbers.positive("the key's exponent")?;
            numbers.end("the key's numbers")?;
            // With an exponent of one, everybody's signature fits.
            if exponent == [1] || exponent.last().is_none_or(|last| last % 2 == 0) {
                return Err(malformed());
            }
            let zeros = modulus.first().map_or(0, |first| first.leading_zeros());
            let bits = u32::try_from(modulus.len() * 8).unwrap_or(u32::MAX).saturating_sub(zeros);
            Ok(Key::Rsa(bits))
        }
        ED25519 | RSA => Err(malformed()),
        _ => Ok(Key::Other(format!("algorithm {id}"))),
    }
}

/// A distinguished name, part by part in its order.
fn name(from: &mut Reader<'_>, what: &str) -> Result<Vec<NamePart>> {
    let mut name = from.sequence(what)?;
    let mut parts = Vec::new();
    while !name.is_empty() {
        let mut part = name.set("a part of a name")?;
        let mut pair = part.sequence("a part of a name")?;
        if !part.is_empty() {
            return Err(format!("a part of {what} has several values at once"));
        }
        let oid = pair.oid("a name's type")?;
        let value = pair.any()?;
        pair.end("a part of a name")?;
        parts.push(NamePart { oid, text: text(value)? });
    }
    Ok(parts)
}

/// Text that every reader reads in the same way is shown as it is, cleaned; anything else in
/// hexadecimal after a `#`, so that it is equal to no text.
fn text(value: Element<'_>) -> Result<String> {
    let malformed = || "a text in a name is malformed".to_owned();
    let utf8 = std::str::from_utf8(value.body);
    match value.tag {
        der::UTF8_STRING => utf8.map(|text| clean(text).into_owned()).map_err(|_why| malformed()),
        der::PRINTABLE_STRING => utf8
            .ok()
            .filter(|text| text.bytes().all(printable))
            .map(ToOwned::to_owned)
            .ok_or_else(malformed),
        der::IA5_STRING => utf8
            .ok()
            .filter(|text| text.is_ascii())
            .map(|text| clean(text).into_owned())
            .ok_or_else(malformed),
        tag => Ok(format!("#{tag:02x}:{}", hex(value.body))),
    }
}

/// The letters of `PrintableString` (X.680), and the two that Go takes as well.
fn printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(&byte)
}

fn extensions(mut list: Reader<'_>, asks: &mut Asks) -> Result<()> {
    while !list.is_empty() {
        let mut extension = list.sequence("an extension")?;
        let oid = extension.oid("an extension's type")?;
        let critical = match extension.take_if(der::BOOLEAN, "an extension's flag")? {
            Some(flag) => der::boolean(flag, "an extension's flag")?,
            None => false,
        };
        let value = extension.take(der::OCTET_STRING, "an extension's value")?;
        extension.end("an extension's value")?;
        if asks.extensions.iter().any(|known| known.oid == oid) {
            return Err(format!("it has the extension {oid} twice"));
        }
        let mut value = Reader::new(value);
        match oid.as_str() {
            super::SAN => asks.sans = alt_names(&mut value)?,
            super::BASIC_CONSTRAINTS => {
                let mut body = value.sequence("basicConstraints")?;
                if let Some(flag) = body.take_if(der::BOOLEAN, "basicConstraints")? {
                    asks.authority = der::boolean(flag, "basicConstraints")?;
                }
                // A length of the path is for authorities only.
                asks.authority |= body.take_if(der::INTEGER, "basicConstraints")?.is_some();
                body.end("basicConstraints")?;
            }
            super::KEY_USAGE => {
                let bits = der::named_bits(value.take(der::BIT_STRING, "keyUsage")?, "keyUsage")?;
                if bits >> super::KEY_USAGES.len() != 0 {
                    return Err("keyUsage has a bit that nobody knows".to_owned());
                }
                let names = super::KEY_USAGES.iter().enumerate();
                asks.key_usage =
                    names.filter(|(at, _)| bits >> at & 1 == 1).map(|(_, name)| *name).collect();
            }
            super::EXTENDED_KEY_USAGE => {
                let mut body = value.sequence("extendedKeyUsage")?;
                if body.is_empty() {
                    return Err("extendedKeyUsage is empty".to_owned());
                }
                while !body.is_empty() {
                    asks.extended_usage.push(body.oid("extendedKeyUsage")?);
                }
            }
            _ => value = Reader::new(&[]),
        }
        value.end("an extension's value")?;
        asks.extensions.push(Extension { oid, critical });
    }
    Ok(())
}

fn alt_names(value: &mut Reader<'_>) -> Result<Vec<San>> {
    let mut list = value.sequence("the alternative names")?;
    let mut names = Vec::new();
    while !list.is_empty() {
        names.push(alt_name(list.any()?)?);
    }
    if names.is_empty() {
        return Err("the list of alternative names is empty".to_owned());
    }
    Ok(names)
}

/// One `GeneralName` (RFC 5280, section 4.2.1.6), of whatever kind.
fn alt_name(name: Element<'_>) -> Result<San> {
    let ascii = || {
        std::str::from_utf8(name.body)
            .ok()
            .filter(|text| text.is_ascii())
            .map(|text| clean(text).into_owned())
            .ok_or_else(|| "an alternative name is no text".to_owned())
    };
    let mut body = Reader::new(name.body);
    let (kind, text) = match name.tag {
        0xa0 => {
            let id = body.oid("an otherName's type")?;
            let mut value = Reader::new(body.take(0xa0, "an otherName's value")?);
            body.end("an otherName's value")?;
            let inner = value.any()?;
            value.end("an otherName's value")?;
            let shown = text(inner).unwrap_or_else(|_why| hex(inner.body));
            (SanKind::OtherName, format!("{id}={shown}"))
        }
        0x81 => (SanKind::Email, ascii()?),
        0x82 => (SanKind::Dns, ascii()?),
        0xa3 => (SanKind::X400Address, hex(name.body)),
        0xa4 => {
            let parts = self::name(&mut body, "a directoryName")?;
            body.end("a directoryName")?;
            (SanKind::DirectoryName, super::subject_text(&parts))
        }
        0xa5 => (SanKind::EdiPartyName, hex(name.body)),
        0x86 => (SanKind::Uri, ascii()?),
        0x87 => (SanKind::Ip, address(name.body)?.to_string()),
        0x88 => (SanKind::RegisteredId, der::oid(name.body)?),
        tag => return Err(format!("an alternative name is of an unknown kind (tag {tag:#04x})")),
    };
    Ok(San { kind, text })
}

fn address(bytes: &[u8]) -> Result<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .map_err(|_why| "an address in its alternative names has a wrong length".to_owned())
}
