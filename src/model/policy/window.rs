//! When work may be done: windows that begin by five cron fields in a time zone.

use k8s_openapi::jiff::civil::{DateTime, Weekday};
use k8s_openapi::jiff::tz::{AmbiguousOffset, TimeZone};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::model::cluster::Window;
use crate::model::duration;

/// Finds a time zone by its IANA name.
pub type Zones<'a> = &'a dyn Fn(&str) -> Option<TimeZone>;

/// Longest window in minutes: a week.
const LONGEST: i64 = 7 * 24 * 60;
/// Names of months and days; months begin with 1, days with 0.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Whether work may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Inside a window, or there is none to keep to.
    Open,
    /// Outside; the windows in words.
    Closed(String),
    /// No window is open, and one cannot be read; why.
    Unclear(String),
}

/// Whether `now` is inside one of the windows. A window that begins at a time of day which a change
/// of the clock leaves out begins when the clock jumps; one that begins at a time of day which comes
/// twice begins the first time, unless it begins every hour.
pub fn opening(windows: &[Window], now: Timestamp, zones: Zones<'_>) -> Opening {
    let mut unclear = None;
    for window in windows {
        match is_open(window, now, zones) {
            Ok(true) => return Opening::Open,
            Ok(false) => {}
            Err(why) => unclear = Some(why),
        }
    }
    let words = |window: &Window| {
        let zone = window.time_zone.as_deref().unwrap_or("UTC");
        format!("\"{}\" for {} in {zone}", window.cron, window.duration)
    };
    match unclear {
        Some(why) => Opening::Unclear(why),
        None if windows.is_empty() => Opening::Open,
        None => Opening::Closed(windows.iter().map(words).collect::<Vec<_>>().join(", ")),
    }
}

/// Every minute back to the length of the window is asked whether it is a begin: instants are never
/// ambiguous, whatever the clocks on the wall do.
fn is_open(window: &Window, now: Timestamp, zones: Zones<'_>) -> Result<bool, String> {
    let cron = Cron::parse(&window.cron)?;
    let length = duration::parse(&window.duration)?.as_secs();
    let minutes = i64::try_from(length / 60).unwrap_or(LONGEST).min(LONGEST);
    let zone = match window.time_zone.as_deref() {
        None | Some("UTC") => TimeZone::UTC,
        Some(name) => {
            zones(name).ok_or_else(|| format!("time zone \"{name}\" is not known here"))?
        }
    };
    let this_minute = now.as_second().div_euclid(60);
    let minute = |number: i64| Timestamp::from_second(number * 60).ok();
    for number in (this_minute - minutes + 1..=this_minute).rev() {
        let (Some(instant), Some(before)) = (minute(number), minute(number - 1)) else { continue };
        if begins(&cron, &zone, before, instant) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn begins(cron: &Cron, zone: &TimeZone, before: Timestamp, instant: Timestamp) -> bool {
    let (local, last) = (zone.to_datetime(instant), zone.to_datetime(before));
    if let AmbiguousOffset::Fold { after, .. } = zone.to_ambiguous_zoned(local).offset()
        && zone.to_offset(instant) == after
        && !cron.every_hour
    {
        return false;
    }
    // Usually one minute; those that the clock left out too.
    let mut at = last;
    loop {
        at = at.saturating_add(SignedDuration::from_mins(1));
        if at >= local {
            return cron.matches(local);
        }
        if cron.matches(at) {
            return true;
        }
    }
}

/// Five cron fields, each as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// The hour field is `*`.
    every_hour: bool,
    /// A day of the month or a day of the week is enough, because both are named.
    either_day: bool,
}

impl Cron {
    fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!("\"{text}\" is not five cron fields"));
        };
        let wrong = |field: &str| format!("\"{field}\" in \"{text}\" is no cron field");
        let read = |field: &str, from, to, names: &[&str]| {
            bits(field, from, to, names).ok_or_else(|| wrong(field))
        };
        let weekdays = read(weekday, 0, 7, &DAYS)?;
        Ok(Self {
            minutes: read(minute, 0, 59, &[])?,
            hours: read(hour, 0, 23, &[])?,
            days: read(day, 1, 31, &[])?,
            months: read(month, 1, 12, &MONTHS)?,
            // Sunday is 0 and 7.
            weekdays: weekdays | (weekdays >> 7),
            every_hour: hour.starts_with('*'),
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    fn matches(&self, at: DateTime) -> bool {
        let has = |bits: u64, number: i8| bits >> u32::from(number.unsigned_abs()) & 1 == 1;
        let weekday = match at.weekday() {
            Weekday::Sunday => 0,
            day => day.to_monday_one_offset(),
        };
        let (day, weekday) = (has(self.days, at.day()), has(self.weekdays, weekday));
        let today = if self.either_day { day || weekday } else { day && weekday };
        has(self.minutes, at.minute())
            && has(self.hours, at.hour())
            && has(self.months, at.month())
            && today
    }
}

/// The numbers of one field: a list of `*`, `n` or `n-m`, each with `/step`.
fn bits(field: &str, from: u32, to: u32, names: &[&str]) -> Option<u64> {
    let number = |text: &str| {
        let name = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match name.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => Some(at + from),
            None => text.parse().ok().filter(|n| (from..=to).contains(n)),
        }
    };
    let mut all = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (from, to),
            Some((first, last)) => (number(first)?, number(last)?),
            None if step.is_some() => (number(range)?, to),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return None;
        }
        all |= (first..=last).step_by(step.unwrap_or(1)).fold(0, |all, n| all | 1_u64 << n);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Berlin's rules, without a file: summer time from the last Sunday of March to that of October.
    fn zones(name: &str) -> Option<TimeZone> {
        (name == "Europe/Berlin").then(|| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    fn window(cron: &str, duration: &str, zone: Option<&str>) -> Window {
        Window {
            cron: cron.to_owned(),
            duration: duration.to_owned(),
            time_zone: zone.map(ToOwned::to_owned),
        }
    }

    fn open(cron: &str, duration: &str, zone: Option<&str>, now: &str) -> bool {
        let found = opening(&[window(cron, duration, zone)], now.parse().unwrap(), &zones);
        assert!(!matches!(found, Opening::Unclear(_)), "{found:?}");
        found == Opening::Open
    }

    #[test]
    fn a_window_opens_and_closes_to_the_second() {
        for (now, wanted) in [
            ("2026-07-04T01:59:59Z", false),
            ("2026-07-04T02:00:00Z", true),
            ("2026-07-04T03:29:59Z", true),
            ("2026-07-04T03:30:00Z", false),
            ("2026-07-05T02:30:00Z", false),
        ] {
            assert_eq!(open("0 2 * * sat", "1h30m", None, now), wanted, "{now}");
        }
        assert!(open("0 22 * * 5", "12h", None, "2026-07-04T09:59:00Z"), "over midnight");
        assert!(open("0 0 1 jan *", "24h", None, "2026-01-01T23:00:00Z"));
        assert!(!open("0 0 1 feb *", "24h", None, "2026-01-01T23:00:00Z"));
        assert!(open("*/15 * * * *", "5m", None, "2026-01-01T23:49:59Z"));
        assert!(!open("*/15 * * * *", "5m", None, "2026-01-01T23:50:00Z"));
        // Both days named: either is enough, as cron has it. 13 February 2026 is a Friday.
        assert!(open("0 0 1 * fri", "1h", None, "2026-02-13T00:10:00Z"));
        assert!(open("0 0 1 * fri", "1h", None, "2026-02-01T00:10:00Z"));
        assert!(open("0 0 * * 7", "1h", None, "2026-02-01T00:10:00Z"), "7 is Sunday");
    }

    #[test]
    fn the_clock_of_the_zone_counts_in_summer_and_in_winter() {
        let berlin = Some("Europe/Berlin");
        assert!(open("0 22 * * *", "1h", berlin, "2026-07-01T20:30:00Z"));
        assert!(!open("0 22 * * *", "1h", berlin, "2026-07-01T21:30:00Z"));
        assert!(open("0 22 * * *", "1h", berlin, "2026-12-01T21:30:00Z"));
    }

    #[test]
    fn a_time_that_is_left_out_begins_at_the_jump() {
        // 29 March 2026: after 01:59 CET (00:59 UTC) comes 03:00 CEST (01:00 UTC).
        let berlin = Some("Europe/Berlin");
        assert!(!open("30 2 * * *", "1h", berlin, "2026-03-29T00:59:59Z"));
        assert!(open("30 2 * * *", "1h", berlin, "2026-03-29T01:00:00Z"));
        assert!(open("30 2 * * *", "1h", berlin, "2026-03-29T01:59:59Z"));
        assert!(!open("30 2 * * *", "1h", berlin, "2026-03-29T02:00:00Z"));
        // A window over the jump lasts as long as it says.
        assert!(open("0 1 * * *", "2h", berlin, "2026-03-29T01:59:59Z"));
        assert!(!open("0 1 * * *", "2h", berlin, "2026-03-29T02:00:00Z"));
    }

    #[test]
    fn a_time_that_comes_twice_begins_once() {
        // 25 October 2026: 02:00 to 02:59 CEST is 00:00 to 00:59 UTC, then the same again as CET.
        let berlin = Some("Europe/Berlin");
        assert!(open("30 2 * * *", "30m", berlin, "2026-10-25T00:59:59Z"));
        for now in ["2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T01:59:59Z"] {
            assert!(!open("30 2 * * *", "30m", berlin, now), "{now}");
        }
        assert!(open("30 * * * *", "30m", berlin, "2026-10-25T01:45:00Z"), "every hour is twice");
    }

    #[test]
    fn what_cannot_be_read_is_said_and_another_window_may_still_open() {
        let now = "2026-07-04T02:30:00Z".parse().unwrap();
        for (cron, duration, zone, why) in [
            ("0 2 * *", "1h", None, "five cron fields"),
            ("0 24 * * *", "1h", None, "\"24\""),
            ("0 2-1 * * *", "1h", None, "\"2-1\""),
            ("*/0 2 * * *", "1h", None, "\"*/0\""),
            ("0 2 * foo *", "1h", None, "\"foo\""),
            ("0 2 * * *", "1h1h", None, "length of time"),
            ("0 2 * * *", "1h", Some("Mars/Olympus"), "\"Mars/Olympus\" is not known"),
        ] {
            let bad = window(cron, duration, zone);
            let Opening::Unclear(said) = opening(std::slice::from_ref(&bad), now, &zones) else {
                panic!("{cron}");
            };
            assert!(said.contains(why), "{said}");
            let good = window("0 2 * * *", "1h", None);
            assert_eq!(opening(&[bad, good], now, &zones), Opening::Open);
        }
        assert_eq!(opening(&[], now, &zones), Opening::Open);
        let Opening::Closed(words) = opening(&[window("0 3 * * *", "1h", None)], now, &zones)
        else {
            panic!();
        };
        assert_eq!(words, "\"0 3 * * *\" for 1h in UTC");
    }
}
