//! Lengths of time, as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::schema;

/// A length of time, zero or more, in whole milliseconds. Written as Go and Kubernetes write it: `1h30m`, `90s`, `250ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// A string that is not a [`Period`].
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
#[error(
    "{text:?} is not a length of time: write a number and a unit (ms, s, m, h), such as 90s, 5m or 1h30m, up to 876000h"
)]
pub struct BadPeriod {
    /// The string.
    pub text: String,
}

impl Period {
    /// Zero. Some fields read it as "no limit".
    pub const ZERO: Self = Self(Duration::ZERO);

    /// From whole milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }
    /// From whole seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
    /// From whole minutes.
    pub const fn minutes(n: u64) -> Self {
        Self::seconds(n * 60)
    }
    /// From whole hours.
    pub const fn hours(n: u64) -> Self {
        Self::minutes(n * 60)
    }
    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }
    /// True for `0s`.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for Period {
    /// Cuts off fractions of a millisecond.
    fn from(d: Duration) -> Self {
        Self(Duration::new(d.as_secs(), d.subsec_millis() * 1_000_000))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0.as_secs(), self.0.subsec_millis());
        if s == 0 && ms == 0 {
            return f.write_str("0s");
        }
        for (n, unit) in [(s / 3600, "h"), (s / 60 % 60, "m"), (s % 60, "s"), (u64::from(ms), "ms")] {
            if n > 0 {
                write!(f, "{n}{unit}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        let bad = || BadPeriod { text: text.to_owned() };
        let (mut rest, mut ms) = (text, 0u64);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&n| n > 0).ok_or_else(bad)?;
            let n: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let factor = match &rest[..unit] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(bad()),
            };
            rest = &rest[unit..];
            ms = n.checked_mul(factor).and_then(|n| ms.checked_add(n)).ok_or_else(bad)?;
        }
        if text.is_empty() || text.len() > schema::MAX_PERIOD_TEXT || ms > schema::MAX_PERIOD_HOURS * 3_600_000 {
            Err(bad())
        } else {
            Ok(Self::millis(ms))
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema::period()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("90s", 90_000), ("1h30m", 5_400_000), ("1h1ms", 3_600_001)] {
            let p: Period = text.parse().unwrap();
            assert_eq!(p, Period::millis(ms), "{text}");
            assert_eq!(p.to_string().parse::<Period>().unwrap(), p);
        }
        assert_eq!(Period::seconds(90).to_string(), "1m30s");
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for text in ["", "5", "5 parsecs", "-5m", "1.5s", "m", "5m3", "5M", "999999999999h", "99999999999999999999s"] {
            let e = text.parse::<Period>().unwrap_err();
            assert!(e.to_string().contains("such as 90s"), "{text}: {e}");
        }
    }
}
