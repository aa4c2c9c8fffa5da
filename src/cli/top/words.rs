//! Lengths of time in a few characters.

use jiff::Timestamp;

/// `45s`, `4m03s`, `2h05m`, `3d04h`.
pub(super) fn short(seconds: i64) -> String {
    let s = seconds.max(0);
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// How long ago something was, or nothing.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map(|at| short(now.as_second() - at.as_second())).unwrap_or_default()
}

/// How long it is until then. Rounded up: it is not over before.
pub(super) fn left(at: Timestamp, now: Timestamp) -> String {
    let left = now.duration_until(at);
    short(left.as_secs() + i64::from(left.subsec_nanos() > 0))
}

/// The time of a day, in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        let all = [0, 59, 60, 3599, 3600, 86_399, 86_400, 900_000].map(short);
        assert_eq!(all, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "10d10h"]);
        assert_eq!(short(-5), "0s");
        let now: Timestamp = "2026-11-30T12:00:00.5Z".parse().unwrap();
        assert_eq!(left("2026-11-30T12:01:00Z".parse().unwrap(), now), "1m00s");
        assert_eq!(left("2026-11-30T11:00:00Z".parse().unwrap(), now), "0s");
        assert_eq!(ago(Some("2026-11-30T11:59:58Z".parse().unwrap()), now), "2s");
    }
}
