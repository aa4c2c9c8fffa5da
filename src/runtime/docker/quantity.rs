//! Kubernetes quantities (`500m`, `2`, `512Mi`, `1G`, `1e3`) as whole numbers.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Powers of ten by suffix.
const DECIMAL: [(&str, i32); 9] =
    [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Powers of two by suffix.
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// `quantity` × 10^`scale`, rounded up as Kubernetes does. None: it is no quantity, or not in `1..=i64::MAX`.
pub(super) fn scaled(quantity: &IntOrString, scale: i32) -> Option<i64> {
    match quantity {
        IntOrString::Int(n) => times_power_of_ten(i128::from(*n), scale),
        IntOrString::String(text) => parse(text, scale),
    }
    .and_then(|n| i64::try_from(n).ok())
    .filter(|n| *n > 0)
}

fn parse(text: &str, scale: i32) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    // `1.5` is 15 × 10^-1: exact, where a float would not be.
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let fraction = i32::try_from(fraction.len()).ok()?;
    if let Some((_, bits)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return times_power_of_ten(digits.checked_mul(1 << bits)?, scale - fraction);
    }
    let power = match suffix {
        "" => 0,
        _ => match DECIMAL.iter().find(|(s, _)| *s == suffix) {
            Some((_, power)) => *power,
            None => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
        },
    };
    times_power_of_ten(digits, power.checked_add(scale)? - fraction)
}

fn times_power_of_ten(n: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 { n.checked_mul(factor) } else { Some(n / factor + i128::from(n % factor > 0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(text: &str, scale: i32) -> Option<i64> {
        scaled(&IntOrString::String(text.to_owned()), scale)
    }

    #[test]
    fn cpus_in_billionths() {
        for (text, nano) in
            [("500m", 500_000_000), ("2", 2_000_000_000), ("0.1", 100_000_000), ("1.5", 1_500_000_000), ("1n", 1)]
        {
            assert_eq!(scale(text, 9), Some(nano), "{text}");
        }
        assert_eq!(scaled(&IntOrString::Int(2), 9), Some(2_000_000_000));
    }

    #[test]
    fn memory_in_bytes() {
        for (text, bytes) in [
            ("512Mi", 512 << 20),
            ("1G", 1_000_000_000),
            ("1Gi", 1 << 30),
            ("1.5Ki", 1536),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1E3", 1000),
            ("100m", 1),
            (".5k", 500),
        ] {
            assert_eq!(scale(text, 0), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in
            ["", ".", "Mi", "1.2.3", "-1", "0", "1 G", "1g", "1mi", "9E19", "99999999999999999999E", "1e99", "१"]
        {
            assert_eq!(scale(text, 0), None, "{text}");
        }
    }
}
