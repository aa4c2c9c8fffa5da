//! Formats of strings.
use base64::Engine;

/// The string formats that are checked. Formats that the real server does not check are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    DateTime,
    Date,
    Duration,
    Byte,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Byte => "byte",
        }
    }
}

pub(crate) fn has_format(format: Format, s: &str) -> bool {
    match format {
        // jiff accepts more than RFC 3339 allows.
        Format::DateTime => {
            s.as_bytes().get(10).is_some_and(|c| b"Tt".contains(c)) && s.parse::<jiff::Timestamp>().is_ok()
        }
        Format::Date => s.len() == 10 && s.parse::<jiff::civil::Date>().is_ok(),
        Format::Duration => go_duration(s).is_some(),
        Format::Byte => base64::engine::general_purpose::STANDARD.decode(s).is_ok(),
    }
}

/// The nanoseconds of a duration that Go's `time.ParseDuration` accepts.
pub(crate) fn go_duration(s: &str) -> Option<i64> {
    let (negative, mut rest) = match s.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, s.strip_prefix('+').unwrap_or(s)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let number: f64 = number.parse().ok()?;
        let (unit, after) = UNITS.iter().find_map(|(name, ns)| Some((*ns, after.strip_prefix(name)?)))?;
        let nanos = number * unit;
        // Go refuses a duration that does not fit 63 bits, about 292 years.
        if nanos >= 9.2e18 {
            return None;
        }
        total = total.checked_add(nanos as i64)?;
        rest = after;
    }
    Some(if negative { -total } else { total })
}

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
