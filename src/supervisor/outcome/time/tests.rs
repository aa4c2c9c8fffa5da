//! Every form that `docs/run.md` promises, most of them as real programs print them.
use super::*;

/// A Sunday afternoon; in Europe/Berlin it is 17:00.
const NOW: &str = "2026-11-29T16:00:00Z";

fn seconds(text: &str, now: &str) -> Result<f64, TimeError> {
    let now: Timestamp = now.parse().unwrap();
    wait(text, now, &TimeZone::get("Europe/Berlin").unwrap()).map(|period| period.get().as_millis() as f64 / 1e3)
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

#[track_caller]
fn all(table: &[(&str, f64)]) {
    for (text, wanted) in table {
        assert_eq!(seconds(text, NOW), Ok(*wanted), "{text}");
    }
}

#[test]
fn numbers() {
    all(&[
        ("1", 1.0),
        ("0", 0.0),
        ("0.493", 0.493),
        ("7999", 7999.0),
        // Seconds and milliseconds since 1970.
        ("1795968060", MINUTE),
        ("1795968060.5", MINUTE + 0.5),
        ("1795968060000", MINUTE),
        // Long ago.
        ("1762952400", 0.0),
    ]);
    let now = NOW.parse().unwrap();
    assert_eq!(wait_of_number(0.493, now), Ok(Period::millis(493)));
    assert_eq!(wait_of_number(1_795_968_060.0, now), Ok(Period::minutes(1)));
}

#[test]
fn lengths() {
    all(&[
        ("2s", 2.0),
        ("1.5s", 1.5),
        ("1.898s", 1.898),
        ("174ms", 0.174),
        ("34.074824224s", 34.075),
        ("6m0s", 6.0 * MINUTE),
        ("8h44m7s", 8.0 * HOUR + 44.0 * MINUTE + 7.0),
        ("2h5m", 2.0 * HOUR + 5.0 * MINUTE),
        ("~2 days", 2.0 * DAY),
        ("58 hours", 58.0 * HOUR),
        ("15 hours 23 minutes", 15.0 * HOUR + 23.0 * MINUTE),
        ("1 hour and 5 minutes", HOUR + 5.0 * MINUTE),
        ("4 days 20 hours 9 minutes.", 4.0 * DAY + 20.0 * HOUR + 9.0 * MINUTE),
        ("in 17 seconds", 17.0),
        ("2d 3h", 2.0 * DAY + 3.0 * HOUR),
        ("PT1M30S", 90.0),
        ("0s", 0.0),
    ]);
}

#[test]
fn moments() {
    all(&[
        ("2026-11-29T16:01:00Z", MINUTE),
        ("2026-11-29T18:01:00.250+02:00", MINUTE + 0.25),
        ("Sun, 29 Nov 2026 16:01:00 GMT", MINUTE),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("2026-11-30 at 00:00 UTC", 8.0 * HOUR),
        ("2026-11-30 00:00", 7.0 * HOUR),
        ("11/30/2026", 7.0 * HOUR),
        ("Nov 30th, 2026 8:05 PM", DAY + 3.0 * HOUR + 5.0 * MINUTE),
        ("Oct 9th, 2025 8:05 PM", 0.0),
    ]);
}

#[test]
fn clocks() {
    all(&[
        ("6pm", HOUR),
        ("6:45pm", HOUR + 45.0 * MINUTE),
        ("6:51 PM", HOUR + 51.0 * MINUTE),
        ("18:00", HOUR),
        // Just passed: now. Longer ago: tomorrow.
        ("4:50pm", 0.0),
        ("4:30pm", 23.5 * HOUR),
        ("12am", 7.0 * HOUR),
        ("12:00pm", 19.0 * HOUR),
        // The zone of the text goes before that of the machine.
        ("3pm (America/Bogota)", 4.0 * HOUR),
        ("3:30am (Europe/Moscow)", 8.5 * HOUR),
        ("4:30am (Asia/Calcutta)", 7.0 * HOUR),
        ("3pm (Etc/GMT+5)", 4.0 * HOUR),
        ("5pm (UTC)", HOUR),
        ("17:00 UTC", HOUR),
    ]);
}

#[test]
fn days_of_the_week_and_of_the_year() {
    all(&[
        ("Mon 12:00am", 7.0 * HOUR),
        ("Sunday 6pm", HOUR),
        ("Sun 9am", 6.0 * DAY + 16.0 * HOUR),
        ("Sun", 6.0 * DAY + 7.0 * HOUR),
        ("Nov 30", 7.0 * HOUR),
        // It began already.
        ("Nov 29", 0.0),
        ("Oct 24", 0.0),
        ("Nov 30, 9am", 16.0 * HOUR),
        ("Dec 1 at 9pm (Europe/Berlin)", 2.0 * DAY + 4.0 * HOUR),
        ("Dec 2, 7pm (Europe/Moscow)", 3.0 * DAY),
        ("Jan 2, 2am (UTC)", 33.0 * DAY + 10.0 * HOUR),
    ]);
    assert_eq!(seconds("Dec 30, 9am", "2027-01-02T00:00:00Z"), Ok(0.0), "of the year before");
}

/// Clocks were put forward at 02:00, to 03:00.
#[test]
fn the_hour_that_a_zone_skips_or_repeats() {
    assert_eq!(seconds("9am", "2026-03-28T20:00:00Z"), Ok(11.0 * HOUR));
    assert_eq!(seconds("2:30am", "2026-03-28T20:00:00Z"), Ok(5.5 * HOUR));
    assert_eq!(seconds("9am", "2026-10-24T20:00:00Z"), Ok(12.0 * HOUR));
}

#[test]
fn what_is_no_time_is_refused() {
    for text in ["", "soon", "5 parsecs", "13pm", "25:00", "Nov", "Nov 31", "12:5", "3pm 9/9", "1h 3pm", "Mon 9"] {
        assert!(matches!(seconds(text, NOW), Err(TimeError::Unknown(_))), "{text:?}: {:?}", seconds(text, NOW));
    }
    assert_eq!(seconds("3pm (Atlantis/Capital)", NOW), Err(TimeError::Zone("Atlantis/Capital".into())));
    for text in ["-1", "9999999h", "123456789012345678"] {
        assert!(matches!(seconds(text, NOW), Err(TimeError::Range(_) | TimeError::Unknown(_))), "{text}");
    }
}
