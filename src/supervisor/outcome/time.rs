//! How long to wait, in the words of programs that met a rate limit.
//!
//! They say it as a length of time (`1.5s`, `8h44m7s`, `15 hours 23 minutes`), as a moment (`2026-04-01 at 00:00 UTC`, an HTTP
//! date, seconds since 1970), or as what a clock will show (`3pm (America/Bogota)`, `Mon 12:00am`, `Oct 24, 9am`). All of it is
//! pure: `now` and the zone are arguments, and what is answered is the time from `now`. A moment that has passed is no time.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan};

use crate::api::Period;

/// The least number that is a moment, in seconds since 1970, and not a length of time: it has ten digits.
const EPOCH_SECONDS: f64 = 1e9;
/// The least number that is a moment in milliseconds since 1970: it has thirteen digits.
const EPOCH_MILLIS: f64 = 1e12;
/// The longest wait: what a [`Period`] can say.
const LONGEST: Duration = Duration::from_hours(876_000);
/// A clock time without a date that passed no longer ago than this is now, and not tomorrow: a printed minute is cut off.
const JUST_PASSED: SignedDuration = SignedDuration::from_mins(15);

/// Why a string is not a time.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum TimeError {
    /// No form that is known.
    #[error(
        "{0:?} is not a time: write a length such as 90s, 1.5s or 2h5m, seconds as a number, or a moment such as 2026-11-30T12:00:00Z"
    )]
    Unknown(String),
    /// A zone that is not in the time zone database.
    #[error("{0:?} is not a time zone: write a name such as Europe/Berlin, or UTC")]
    Zone(String),
    /// A wait that is too long, or a negative number.
    #[error("{0} is out of range: a wait takes from 0s up to 876000h")]
    Range(String),
}

/// Reads a string. `zone` is for clock times that do not name their own.
///
/// # Errors
/// It is not a time, or too far away.
pub fn wait(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Period, TimeError> {
    let said = text.trim().trim_end_matches('.');
    let range = || TimeError::Range(text.to_owned());
    if let Ok(number) = said.parse::<f64>().map_err(drop).and_then(|n| if n.is_finite() { Ok(n) } else { Err(()) }) {
        return wait_of_number(number, now);
    }
    if let Some(length) = length(said) {
        return period(length).ok_or_else(range);
    }
    let moment = match instant(said) {
        Some(moment) => moment,
        None => clock(said, now, zone)?,
    };
    period(moment.duration_since(now).max(SignedDuration::ZERO)).ok_or_else(range)
}

/// Reads a number: seconds to wait, or a moment in seconds or milliseconds since 1970.
///
/// # Errors
/// It is negative, or too far away.
pub fn wait_of_number(number: f64, now: Timestamp) -> Result<Period, TimeError> {
    let range = || TimeError::Range(number.to_string());
    let seconds = |n: f64| SignedDuration::try_from_secs_f64(n).map_err(|_| range());
    let since_1970 = if number >= EPOCH_MILLIS {
        seconds(number / 1e3)?
    } else if number >= EPOCH_SECONDS {
        seconds(number)?
    } else if number >= 0.0 {
        return period(seconds(number)?).ok_or_else(range);
    } else {
        return Err(range());
    };
    let moment = Timestamp::from_duration(since_1970).map_err(|_| range())?;
    period(moment.duration_since(now).max(SignedDuration::ZERO)).ok_or_else(range)
}

/// A wait in whole milliseconds, rounded up: it must not end before what was asked for.
fn period(wait: SignedDuration) -> Option<Period> {
    let wait = Duration::try_from(wait).ok().filter(|wait| *wait <= LONGEST)?;
    Some(Period::from(wait.checked_add(Duration::from_nanos(999_999))?))
}

/// `1.898s`, `8h44m7s`, `~2 days`, `4 days 20 hours 9 minutes`, `PT1M30S`.
fn length(said: &str) -> Option<SignedDuration> {
    let said = said.to_lowercase().replace(" and ", " ");
    let said = ["~", "about ", "in "].iter().fold(said.as_str(), |said, word| said.strip_prefix(word).unwrap_or(said));
    let span: Span = said.trim().parse().ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (!length.is_negative()).then_some(length)
}

/// RFC 3339, or an HTTP date.
fn instant(said: &str) -> Option<Timestamp> {
    let http = || jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(said).ok();
    said.parse().ok().or_else(http)
}

/// What a clock, perhaps with a calendar, shows then.
#[derive(Default)]
struct Shown {
    weekday: Option<Weekday>,
    year: Option<i16>,
    /// Month and day.
    day: Option<(i8, i8)>,
    time: Option<Time>,
}

fn clock(said: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, TimeError> {
    let unknown = || TimeError::Unknown(said.to_owned());
    let (said, named) = split_zone(said);
    let zone = match named {
        Some(name) => TimeZone::get(name).map_err(|_| TimeError::Zone(name.to_owned()))?,
        None => zone.clone(),
    };
    let shown = Shown::read(said).ok_or_else(unknown)?;
    let today = now.to_zoned(zone.clone()).datetime();
    let at = shown.next(today).ok_or_else(unknown)?;
    Ok(at.to_zoned(zone).map_err(|_| unknown())?.timestamp())
}

/// `3pm (America/Bogota)` and `00:00 UTC` into clock and zone.
fn split_zone(said: &str) -> (&str, Option<&str>) {
    if let Some((clock, zone)) = said.strip_suffix(')').and_then(|said| said.rsplit_once('(')) {
        return (clock, Some(zone.trim()));
    }
    match said.rsplit_once(' ') {
        Some((clock, zone))
            if ["UTC", "GMT"].contains(&zone) || zone.contains('/') && !zone.contains(char::is_numeric) =>
        {
            (clock, Some(zone))
        }
        _ => (said, None),
    }
}

impl Shown {
    fn read(said: &str) -> Option<Self> {
        let said = said.to_lowercase();
        let mut words = said.split([' ', ',', '\u{a0}', '\u{202f}']).filter(|w| !w.is_empty() && *w != "at").peekable();
        let mut shown = Self::default();
        while let Some(word) = words.next() {
            if let Some(weekday) = weekday(word) {
                shown.weekday = Some(weekday);
            } else if let Some(month) = month(word) {
                let day = words.next()?;
                let day = ["st", "nd", "rd", "th"].iter().find_map(|end| day.strip_suffix(end)).unwrap_or(day);
                shown.day = Some((month, day.parse().ok()?));
            } else if let Some((year, day)) = date(word) {
                (shown.year, shown.day) = (Some(year), Some(day));
            } else if word.len() == 4 && shown.day.is_some() && word.bytes().all(|b| b.is_ascii_digit()) {
                shown.year = Some(word.parse().ok()?);
            } else {
                // `3:51 pm` is two words.
                let half = words.next_if(|next| ["am", "pm"].contains(next));
                shown.time = Some(time(word, half)?);
            }
        }
        let something = shown.weekday.is_some() || shown.day.is_some() || shown.time.is_some();
        something.then_some(shown)
    }

    /// When it is shown next, if it is `now`.
    fn next(&self, now: DateTime) -> Option<DateTime> {
        let time = self.time.unwrap_or(Time::midnight());
        let at = |year, (month, day)| Some(Date::new(year, month, day).ok()?.to_datetime(time));
        match (self.year, self.day, self.weekday) {
            (Some(year), Some(day), _) => at(year, day),
            // A limit is never a year away, so it is the nearest one, which may have passed.
            (None, Some(day), _) => [now.year() - 1, now.year(), now.year() + 1]
                .into_iter()
                .filter_map(|year| at(year, day))
                .min_by_key(|at| at.duration_since(now).abs()),
            (_, None, weekday) => {
                let days = weekday.map_or(0, |weekday| weekday.since(now.weekday()));
                let at = now.date().checked_add(i64::from(days).days()).ok()?.to_datetime(time);
                let every = if weekday.is_some() { 7 } else { 1 };
                if now.duration_since(at) <= JUST_PASSED { Some(at) } else { at.checked_add(every.days()).ok() }
            }
        }
    }
}

/// `2026-04-01` or `11/17/2025`.
fn date(word: &str) -> Option<(i16, (i8, i8))> {
    if let Some((month, rest)) = word.split_once('/') {
        let (day, year) = rest.split_once('/')?;
        return Some((year.parse().ok().filter(|_| year.len() == 4)?, (month.parse().ok()?, day.parse().ok()?)));
    }
    let date: Date = word.parse().ok().filter(|_| word.contains('-'))?;
    Some((date.year(), (date.month(), date.day())))
}

/// `3pm`, `3:45pm`, `15:45`, `15:45:10`; or `3:51` and `pm`.
fn time(word: &str, half: Option<&str>) -> Option<Time> {
    let (digits, half) =
        match word.strip_suffix("am").map(|w| (w, "am")).or_else(|| word.strip_suffix("pm").map(|w| (w, "pm"))) {
            Some((digits, half)) => (digits, Some(half)),
            None => (word, half),
        };
    let mut parts = digits.split(':');
    let hour: i8 = parts.next()?.parse().ok()?;
    let rest = [parts.next(), parts.next()];
    // A number alone is no clock.
    if parts.next().is_some() || (half.is_none() && rest[0].is_none()) {
        return None;
    }
    let [minute, second] =
        rest.map(|part| part.map_or(Some(0), |part| part.parse::<i8>().ok().filter(|_| part.len() == 2)));
    let hour = match half {
        None => hour,
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(half) => hour % 12 + if half == "pm" { 12 } else { 0 },
    };
    Time::new(hour, minute?, second?, 0).ok()
}

fn weekday(word: &str) -> Option<Weekday> {
    const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let at = (1_i8..).zip(NAMES).find(|(_, name)| is_short_for(word, name))?.0;
    Weekday::from_monday_one_offset(at).ok()
}

fn month(word: &str) -> Option<i8> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    Some((1..).zip(NAMES).find(|(_, name)| is_short_for(word, name))?.0)
}

/// `oct`, `oct.`, `sept`, `october`.
fn is_short_for(word: &str, name: &str) -> bool {
    let word = word.trim_end_matches('.');
    word.len() >= 3 && name.starts_with(word)
}

#[cfg(test)]
mod tests;
