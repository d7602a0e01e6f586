//! Lengths of time as people write and read them: `90s`, `30m`, `2h30m`, `7d`.

use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads a length such as `2h`, `1h30m` or `7d`. Units are w, d, h, m, s, each at most once and in
/// this order.
///
/// # Errors
/// A sentence that names what is wrong.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a length of time such as 30m, 2h or 7d");
    let mut units = UNITS.iter();
    let mut seconds = 0_u64;
    let mut digits = String::new();
    if text.is_empty() {
        return Err(wrong());
    }
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let (_, size) = units.find(|(unit, _)| *unit == c).ok_or_else(wrong)?;
        let number: u64 = digits.parse().ok().ok_or_else(wrong)?;
        digits.clear();
        seconds = number
            .checked_mul(*size)
            .and_then(|part| seconds.checked_add(part))
            .filter(|total| *total <= 100 * 366 * 86_400)
            .ok_or_else(|| format!("\"{text}\" is longer than a hundred years"))?;
    }
    if digits.is_empty() { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}

/// A length in whole seconds, exactly, in hours, minutes and seconds: `5m`, `1h30m`, `36h`, `0s`.
pub fn exact(length: Duration) -> String {
    let seconds = length.as_secs();
    let parts = [(seconds / 3_600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let mut text = String::new();
    for (n, unit) in parts.into_iter().filter(|(n, _)| *n > 0) {
        let _ = write!(text, "{n}{unit}");
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The two largest units of a number of seconds: `12s`, `5m`, `3h20m`, `4d6h`, `120d`. Negative
/// numbers read as 0 s.
pub fn short(seconds: i64) -> String {
    let s = u64::try_from(seconds).unwrap_or(0);
    let (d, h, m) = (s / 86_400, s / 3_600 % 24, s / 60 % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, m) if m < 10 && s % 60 > 0 => format!("{m}m{}s", s % 60),
        (0, 0, m) => format!("{m}m"),
        (0, h, 0) => format!("{h}h"),
        (0, h, m) => format!("{h}h{m}m"),
        (d, 0, _) => format!("{d}d"),
        (d, h, _) if d < 10 => format!("{d}d{h}h"),
        (d, ..) => format!("{d}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1_800),
            ("2h30m", 9_000),
            ("7d", 604_800),
            ("1w1d", 691_200),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "2", "h", "2x", "2m2h", "-2h", "2 h", "99999999999999999999h", "9999999w"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn exact_lengths_read_back_the_same() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (300, "5m"), (5_401, "1h30m1s"), (129_600, "36h")]
        {
            let length = Duration::from_secs(seconds);
            assert_eq!((exact(length).as_str(), parse(text)), (text, Ok(length)));
        }
    }

    #[test]
    fn lengths_are_written() {
        for (seconds, text) in [
            (-5, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (600, "10m"),
            (3_600, "1h"),
            (12_000, "3h20m"),
            (90_000, "1d1h"),
            (1_000_000, "11d"),
        ] {
            assert_eq!(short(seconds), text);
        }
    }
}
