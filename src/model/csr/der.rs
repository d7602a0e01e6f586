//! A reader of DER (X.690) that takes nothing but DER: each length in its one shortest form, each
//! value in its one encoding, and nothing left over. What two readers could read in two ways is an
//! error here.

use std::fmt::Write as _;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Why something is no DER, or not what was expected at its place.
pub(super) type Result<T> = std::result::Result<T, String>;

/// Elements that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// One element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    /// Tag, length and body.
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn length(&mut self) -> Result<usize> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let mut length = 0_usize;
        // Three bytes hold any length that is possible here.
        let count = first & 0x7f;
        if !(1..=3).contains(&count) {
            return Err("a length in it is indefinite or much too long".to_owned());
        }
        for _ in 0..count {
            length = length << 8 | usize::from(self.byte()?);
        }
        let shortest = match length {
            0..0x80 => 0,
            0x80..0x100 => 1,
            0x100..0x1_0000 => 2,
            _ => 3,
        };
        if shortest == count {
            Ok(length)
        } else {
            Err("a length in it is not in its shortest form".to_owned())
        }
    }

    /// The next element, whatever its tag.
    pub(super) fn any(&mut self) -> Result<Element<'a>> {
        let before = self.rest;
        let tag = self.byte()?;
        if tag & 0x1f == 0x1f {
            return Err("a tag in it has more than one byte".to_owned());
        }
        let length = self.length()?;
        let (body, rest) =
            self.rest.split_at_checked(length).ok_or("an element in it is longer than the rest")?;
        self.rest = rest;
        let whole = before.get(..before.len() - rest.len()).unwrap_or_default();
        Ok(Element { tag, body, whole })
    }

    /// The contents of the next element, which must have this tag. `what` names it in the error.
    pub(super) fn take(&mut self, tag: u8, what: &str) -> Result<&'a [u8]> {
        let element = self.any().map_err(|why| format!("{what}: {why}"))?;
        if element.tag == tag {
            Ok(element.body)
        } else {
            Err(format!("{what} is of another type (tag {:#04x})", element.tag))
        }
    }

    /// The contents of the next element if it has this tag.
    pub(super) fn take_if(&mut self, tag: u8, what: &str) -> Result<Option<&'a [u8]>> {
        if self.rest.first() == Some(&tag) { self.take(tag, what).map(Some) } else { Ok(None) }
    }

    /// Goes into the next element, which must be a sequence.
    pub(super) fn sequence(&mut self, what: &str) -> Result<Self> {
        self.take(SEQUENCE, what).map(Self::new)
    }

    /// Goes into the next element, which must be a set.
    pub(super) fn set(&mut self, what: &str) -> Result<Self> {
        self.take(SET, what).map(Self::new)
    }

    /// The next element, which must be an object identifier, as dotted text.
    pub(super) fn oid(&mut self, what: &str) -> Result<String> {
        oid(self.take(OID, what)?).map_err(|why| format!("{what}: {why}"))
    }

    /// The whole bytes of a bit string: no bits are unused.
    pub(super) fn whole_bits(&mut self, what: &str) -> Result<&'a [u8]> {
        match self.take(BIT_STRING, what)?.split_first() {
            Some((0, bits)) => Ok(bits),
            _ => Err(format!("{what} has unused bits")),
        }
    }

    /// The bytes of a positive number, without the zero in front that only keeps it positive.
    pub(super) fn positive(&mut self, what: &str) -> Result<&'a [u8]> {
        match self.take(INTEGER, what)? {
            [0, rest @ ..] if rest.first().is_some_and(|second| *second >= 0x80) => Ok(rest),
            body @ [first, ..] if (1..0x80).contains(first) => Ok(body),
            _ => Err(format!("{what} is no positive number in its shortest form")),
        }
    }

    /// Nothing may follow.
    pub(super) fn end(self, what: &str) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(format!("something follows {what}")) }
    }
}

/// A boolean in DER: all bits or none.
pub(super) fn boolean(body: &[u8], what: &str) -> Result<bool> {
    match body {
        [0xff] => Ok(true),
        [0x00] => Ok(false),
        _ => Err(format!("{what} is neither true nor false")),
    }
}

/// Bits by name, the first one lowest: `0b101` has the first and the third. At most 16.
pub(super) fn named_bits(body: &[u8], what: &str) -> Result<u16> {
    let wrong = || format!("{what} is malformed");
    let (unused, bytes) = body.split_first().ok_or_else(wrong)?;
    if *unused > 7 || bytes.len() > 2 || bytes.is_empty() {
        return Err(wrong());
    }
    // Names end with the last bit that is set (X.690, 11.2.2), and the unused ones are zero.
    if bytes.last().is_none_or(|last| last.trailing_zeros() != u32::from(*unused)) {
        return Err(wrong());
    }
    let bits =
        bytes.iter().rev().fold(0_u16, |bits, byte| bits << 8 | u16::from(byte.reverse_bits()));
    Ok(bits)
}

/// An object identifier as dotted text.
pub(super) fn oid(body: &[u8]) -> Result<String> {
    let mut text = String::new();
    let mut number = 0_u64;
    let mut fresh = true;
    for byte in body {
        if fresh && *byte == 0x80 {
            return Err("a part of it is not in its shortest form".to_owned());
        }
        fresh = *byte < 0x80;
        number = number
            .checked_mul(128)
            .and_then(|number| number.checked_add(u64::from(byte & 0x7f)))
            .ok_or("a part of it is too large")?;
        if !fresh {
            continue;
        }
        // Writing into a text does not fail.
        let _ = match (text.is_empty(), number) {
            (false, _) => write!(text, ".{number}"),
            (true, 0..40) => write!(text, "0.{number}"),
            (true, 40..80) => write!(text, "1.{}", number - 40),
            (true, _) => write!(text, "2.{}", number - 80),
        };
        number = 0;
    }
    if fresh && !text.is_empty() { Ok(text) } else { Err("it ends too early".to_owned()) }
}

/// Bytes as hexadecimal text, at most the first 64 of them.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(64) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > 64 {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_length_is_read() {
        let read = |bytes: &[u8]| Reader::new(bytes).any().map(|element| element.body.len());
        assert_eq!(read(&[4, 2, 0, 0]), Ok(2));
        let long = [&[4, 0x81, 0x80][..], &[0; 128]].concat();
        assert_eq!(read(&long), Ok(128));
        for odd in [
            &[4, 0x81, 2, 0, 0][..],
            &[4, 0x82, 0, 2, 0, 0],
            &[0x30, 0x80, 0, 0],
            &[4, 0x84, 0, 0, 0, 1, 0],
            &[4, 3, 0, 0],
            &[4],
            &[0x1f, 0x81, 1, 0],
            &[],
        ] {
            assert!(read(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn identifiers_are_read() {
        assert_eq!(oid(&[0x55, 4, 3]), Ok("2.5.4.3".to_owned()));
        assert_eq!(oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), Ok("1.2.840.10045.2.1".to_owned()));
        assert_eq!(oid(&[0x88, 0x37]), Ok("2.999".to_owned()));
        assert_eq!(oid(&[5]), Ok("0.5".to_owned()));
        for odd in [&[][..], &[0x55, 0x84], &[0x55, 0x80, 1], &[0xff; 12]] {
            assert!(oid(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn bits_numbers_and_booleans_have_one_form() {
        assert_eq!(named_bits(&[7, 0x80], "x"), Ok(1));
        assert_eq!(named_bits(&[5, 0xa0], "x"), Ok(0b101));
        assert_eq!(named_bits(&[7, 0, 0x80], "x"), Ok(0x100));
        for odd in [&[][..], &[0], &[8, 0], &[5, 0x80], &[7, 0xc0], &[0, 1, 1, 1], &[0, 0]] {
            assert!(named_bits(odd, "x").is_err(), "{odd:?}");
        }
        let positive = |bytes: &[u8]| Reader::new(bytes).positive("x").map(<[u8]>::len);
        assert_eq!(positive(&[2, 2, 0, 0x80]), Ok(1));
        for odd in [&[2, 0][..], &[2, 1, 0], &[2, 1, 0x80], &[2, 2, 0, 1]] {
            assert!(positive(odd).is_err(), "{odd:?}");
        }
        assert_eq!(boolean(&[0xff], "x"), Ok(true));
        assert!(boolean(&[1], "x").is_err());
    }
}
