//! The string formats that CRD validation checks.
//!
//! Names as in apiextensions' list of supported formats; any other format is not checked, as there.
//! `isbn*`, `creditcard` and `rgbcolor` are in that list too and are not checked here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;

/// Whether `text` is of `format`.
pub(super) fn is(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => date_time(text),
        "date" => date(text),
        "duration" => duration(text).is_some(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "mac" => mac(text),
        "uri" => uri(text),
        "uuid" => uuid(text, None),
        "uuid3" => uuid(text, Some('3')),
        "uuid4" => uuid(text, Some('4')),
        "uuid5" => uuid(text, Some('5')),
        "email" => email(text),
        "hostname" => hostname(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "bsonobjectid" => text.len() == 24 && hex(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && hex(digits)
        }
        "ssn" => {
            let parts: Vec<&str> = text.split(['-', ' ']).collect();
            let sizes: Vec<usize> = parts.iter().map(|p| p.len()).collect();
            sizes == [3, 2, 4] && parts.iter().all(|p| digits(p))
        }
        "k8s-short-name" => dns_label(text),
        "k8s-long-name" => dns_name(text),
        _ => true,
    }
}

fn hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `YYYY-MM-DD`.
pub(super) fn date(text: &str) -> bool {
    text.len() == 10 && text.starts_with(|c: char| c.is_ascii_digit()) && {
        text.parse::<jiff::civil::Date>().is_ok()
    }
}

/// RFC 3339: date, `T`, time with seconds, and an offset.
fn date_time(text: &str) -> bool {
    let Some((day, time)) = text.split_once(['T', 't', ' ']) else { return false };
    // jiff knows more spellings than RFC 3339 (no seconds, offsets without colon).
    let Some(at) = time.find(['Z', 'z', '+', '-']) else { return false };
    let (clock, offset) = time.split_at(at);
    let whole = clock.split('.').next().unwrap_or_default();
    let offset_ok = matches!(offset, "Z" | "z") || (offset.len() == 6 && offset.contains(':'));
    whole.len() == 8 && date(day) && offset_ok && text.parse::<jiff::Timestamp>().is_ok()
}

/// Nanoseconds of a duration as Go writes it (`1h30m`, `-1.5s`, `0`), with `d` and `w` for days
/// and weeks. Range: that of an `i64`, about 292 years.
pub(super) fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 9] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 6e10),
        ("h", 3.6e12),
        ("d", 8.64e13),
        ("w", 6.048e14),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let stop = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(stop);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number.parse::<f64>().ok()? * nanos;
        rest = tail;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked: it is in the range of an i64")]
    (total < 9.2e18).then_some((sign * total) as i64)
}

fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let max = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    digits(bits) && bits.parse::<u8>().is_ok_and(|n| n <= max)
}

/// 6, 8 or 20 octets, as Go's `net.ParseMAC` reads them: `:` or `-` between octets, or `.` between pairs.
fn mac(text: &str) -> bool {
    let parts = |separator: char, size: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        parts.iter().all(|p| p.len() == size && hex(p)).then_some(parts.len() * size / 2)
    };
    [parts(':', 2), parts('-', 2), parts('.', 4)]
        .iter()
        .any(|octets| matches!(octets, Some(6 | 8 | 20)))
}

/// An absolute URI, or an absolute path, as Go's `url.ParseRequestURI` takes it.
fn uri(text: &str) -> bool {
    if text.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let valid = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let scheme_ok =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(valid);
    scheme_ok && !rest.is_empty()
}

fn uuid(text: &str, version: Option<char>) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let dashes: Vec<usize> = text.match_indices('-').map(|(i, _)| i).collect();
    let variant = |c: Option<char>| matches!(c, Some('8' | '9' | 'a' | 'b' | 'A' | 'B'));
    plain.len() == 32
        && hex(&plain)
        && (dashes.is_empty() || dashes == [8, 13, 18, 23])
        && version.is_none_or(|v| {
            plain.chars().nth(12) == Some(v) && (v == '3' || variant(plain.chars().nth(16)))
        })
}

/// `local@domain`, without display name or comment.
fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let dots = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    !local.is_empty() && dots && local.chars().all(atom) && hostname(domain)
}

/// A host name of RFC 1123 (upper case allowed).
fn hostname(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// A label of RFC 1123, at most 63 of `a-z`, `0-9` and `-`.
pub(crate) fn dns_label(text: &str) -> bool {
    text.len() <= 63 && !text.contains('.') && dns_name(text)
}

/// A subdomain of RFC 1123, at most 253 characters: labels with dots between.
pub(crate) fn dns_name(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_is_theirs_and_nothing_else() {
        for (format, good, bad) in [
            ("date-time", "2026-11-20T10:00:00Z", "2026-11-20"),
            ("date-time", "2026-11-20T10:00:00.123456+01:00", "2026-11-20T10:00Z"),
            ("date-time", "2026-11-20t10:00:00-00:00", "2026-13-20T10:00:00Z"),
            ("date-time", "2024-02-29T00:00:00Z", "2026-11-20T10:00:00+01:00[Europe/Berlin]"),
            ("date", "2024-02-29", "2023-02-29"),
            ("duration", "1h30m", "1x"),
            ("duration", "-1.5s", ""),
            ("duration", "0", "30"),
            ("ipv4", "10.0.0.1", "::1"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("cidr", "fd00::/64", "fd00::/+64"),
            ("mac", "01:23:45:67:89:ab", "01:23:45:67:89"),
            ("mac", "0123.4567.89ab", "01:23-45:67:89:ab"),
            ("uri", "https://example.com/a?b", "example.com/a"),
            ("uri", "/absolute", "https://exa mple"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
            ("uuid", "123E4567E89B12D3A456426614174000", "123e-4567e89b12d3a456426614174000"),
            (
                "uuid4",
                "123e4567-e89b-42d3-a456-426614174000",
                "123e4567-e89b-12d3-a456-426614174000",
            ),
            ("email", "a.b+c@example.com", "a..b@example.com"),
            ("email", "a@b", "ab"),
            ("hostname", "Web-01.example.com", "-web.example.com"),
            ("byte", "aGk=", "a*"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
            ("hexcolor", "#fff", "#ffff"),
            ("ssn", "111-22-3333", "1111-2-3333"),
            ("k8s-short-name", "web-1", "Web.1"),
            ("k8s-long-name", "web-1.example", "web..example"),
        ] {
            assert!(is(format, good), "{format} {good}");
            assert!(!is(format, bad), "{format} {bad}");
        }
        assert!(is("no-such-format", "anything"));
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(duration("720h"), Some(2_592_000_000_000_000));
        assert_eq!(duration("1m1.5s"), Some(61_500_000_000));
        assert_eq!(duration("-2us"), Some(-2000));
        assert_eq!(duration("9999999999h"), None);
        assert_eq!(duration("1.2.3s"), None);
    }
}
