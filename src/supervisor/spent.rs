//! What attempts cost, as their programs say it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits after the point.
const DIGITS: usize = 6;
/// Millionths in a dollar.
const MICROS: u64 = 1_000_000;

/// An amount of money, in millionths of a US dollar: no sum drifts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(u64);

impl Usd {
    /// True for nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

/// Not an amount.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[error("use US dollars, such as 5 or 12.50")]
pub struct BadAmount;

impl FromStr for Usd {
    type Err = BadAmount;

    /// As people write it (`5`, `$12.50`), or a JSON number (`0.0123`, `1.5e-7`). What is less than a millionth is rounded.
    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let text = text.strip_prefix('$').unwrap_or(text);
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().map_err(|_| BadAmount)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{part}");
        if whole.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadAmount);
        }
        let all: u128 = digits.parse().map_err(|_| BadAmount)?;
        let point = i32::try_from(part.len()).map_err(|_| BadAmount)?;
        let shift = i32::try_from(DIGITS).map_err(|_| BadAmount)?.saturating_add(exponent).saturating_sub(point);
        let power = 10_u128.checked_pow(shift.unsigned_abs());
        let micros = match (power, shift >= 0) {
            (Some(power), true) => all.checked_mul(power).ok_or(BadAmount)?,
            (Some(power), false) => all.saturating_add(power / 2) / power,
            (None, true) => return Err(BadAmount),
            (None, false) => 0,
        };
        u64::try_from(micros).map(Self).map_err(|_| BadAmount)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:06}", self.0 % MICROS);
        let least = part.trim_end_matches('0').len().max(2);
        write!(f, "${}.{}", self.0 / MICROS, &part[..least])
    }
}

/// A number of dollars.
impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dollars: f64 = self.to_string()[1..].parse().map_err(serde::ser::Error::custom)?;
        serializer.serialize_f64(dollars)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        number.to_string().parse().map_err(serde::de::Error::custom)
    }
}

/// What an attempt cost, or several together.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Spent {
    /// In US dollars.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost_usd: Usd,
    /// Tokens that the model read, cached ones included.
    pub input_tokens: u64,
    /// Those of them that came from a cache.
    pub cached_input_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
const fn is_zero(cost: &Usd) -> bool {
    cost.is_zero()
}

impl Spent {
    /// Both together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            cost_usd: self.cost_usd.plus(more.cost_usd),
            input_tokens: self.input_tokens.saturating_add(more.input_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(more.cached_input_tokens),
            output_tokens: self.output_tokens.saturating_add(more.output_tokens),
        }
    }

    /// True for nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let of = |text: &str| text.parse::<Usd>().map(|usd| usd.to_string());
        for (text, shown) in [
            ("5", "$5.00"),
            ("$12.50", "$12.50"),
            ("0.1", "$0.10"),
            ("0.012345", "$0.012345"),
            ("0.0123454999", "$0.012345"),
            ("0.0000005", "$0.000001"),
            ("1.5e-7", "$0.00"),
            ("2.5E-3", "$0.0025"),
            ("1e2", "$100.00"),
            ("1e-400", "$0.00"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(shown), "{text}");
        }
        for bad in ["", "$", "five", "-1", ".5", "1.2.3", "1e", "1e99", "1,000", "99999999999999999999"] {
            assert_eq!(of(bad), Err(BadAmount), "{bad}");
        }
        let tenth: Usd = "0.1".parse().unwrap();
        let sum = (0..1_000_000).fold(Usd::default(), |sum, _| sum.plus(tenth));
        assert_eq!(sum.to_string(), "$100000.00");
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        for text in ["0.1", "0.300001", "1234567.654321"] {
            let spent = Spent { cost_usd: text.parse().unwrap(), output_tokens: 7, ..Spent::default() };
            let json = serde_json::to_string(&spent).unwrap();
            assert!(json.contains(&format!("\"costUsd\":{text}")), "{json}");
            assert_eq!(serde_json::from_str::<Spent>(&json).unwrap(), spent);
        }
    }
}
