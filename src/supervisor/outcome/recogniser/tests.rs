//! Own patterns, streams, and what is common to all presets. Their sentences are tested by their samples.
use super::*;

fn at() -> Moment {
    Moment { now: "2026-11-29T16:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

fn seen(stdout: &str, stderr: &str) -> Seen {
    let mut seen = Seen::default();
    seen.feed(Stream::Stdout, stdout.as_bytes());
    seen.feed(Stream::Stderr, stderr.as_bytes());
    seen
}

fn of(entries: &[&str]) -> Recogniser {
    Recogniser::of(entries.iter().copied()).unwrap()
}

fn found(entries: &[&str], stdout: &str, stderr: &str, code: i32) -> Option<(String, Option<Period>)> {
    of(entries).ended(&seen(stdout, stderr), code, &at()).map(|found| (found.rule, found.wait))
}

#[test]
fn an_own_pattern_is_found_anywhere_in_the_last_lines_with_its_time() {
    let pattern = "quota is gone(?:, wait (?<retryAfter>\\w+)|, back at (?<resetAt>.+))?";
    let rule = |wait| Some(("pattern 1".to_owned(), wait));
    for (line, wait) in [
        ("sorry: quota is gone", None),
        ("sorry: quota is gone, wait 90s", Some(Period::seconds(90))),
        ("{\"error\":\"quota is gone, wait 90s\"}", Some(Period::seconds(90))),
        ("quota is gone, back at 6pm", Some(Period::hours(2))),
        ("quota is gone, back at 3pm (America/Bogota)", Some(Period::hours(4))),
    ] {
        assert_eq!(found(&[pattern], "", &format!("{line}\ndone\n"), 1), rule(wait), "{line}");
        assert_eq!(found(&[pattern], line, "", 0), rule(wait), "{line}");
        assert_eq!(found(&[pattern], &format!("{line}\ndone\n"), "", 0), None, "it continued: {line}");
        let long = format!("{line}\n{}", "another line\n".repeat(OWN_WITHIN));
        assert_eq!(found(&[pattern], &long, "", 1), None, "too long ago: {line}");
    }
    assert_eq!(found(&[pattern], "Quota is gone", "", 1), None, "as it is written");
}

#[test]
fn a_time_that_cannot_be_read_is_named_and_the_limit_stays() {
    let found = of(&["wait (?<retryAfter>\\w+)"]).ended(&seen("wait forever", ""), 1, &at()).unwrap();
    assert_eq!((found.class, found.wait), (Class::RateLimited, None));
    assert!(found.message().contains("\"forever\" is not a time"), "{}", found.message());
}

#[test]
fn own_patterns_go_before_presets_and_presets_in_their_order() {
    let line = "gh: API rate limit exceeded for user ID 1";
    assert_eq!(found(&["gh"], "", line, 1).unwrap().0, "gh/rate-limit");
    assert_eq!(found(&["gh", "rate limit"], "", line, 1).unwrap().0, "pattern 2");
    assert_eq!(found(&["curl", "gh"], "", line, 1).unwrap().0, "gh/rate-limit");
    assert_eq!(found(&["gh", "gh"], "", line, 1).unwrap().0, "gh/rate-limit");
    assert_eq!(found(&["curl"], "", line, 1), None);
    assert_eq!(found(&[], "", line, 1), None);
}

#[test]
fn a_success_that_a_preset_sees_hides_the_words_but_is_no_verdict() {
    let success = "{\"type\":\"result\",\"is_error\":false,\"result\":\"done\"}\n";
    assert_eq!(found(&["claude-code", "the limit"], success, "hit the limit\n", 1), None);
    let failure = "{\"type\":\"result\",\"is_error\":true,\"result\":\"You've hit your limit\"}\n";
    let both = format!("{success}{failure}");
    assert_eq!(found(&["claude-code"], &both, "", 0).unwrap().0, "claude-code/hit-limit");
    let both = format!("{failure}{success}");
    assert_eq!(found(&["claude-code"], &both, "", 1), None);
}

#[test]
fn only_the_stream_that_printed_last_can_be_asleep() {
    let waits = "Too Many Requests [retrying in 2h5m attempt #4]\n";
    let recogniser = of(&["opencode"]);
    assert!(recogniser.is_live() && !of(&["gh", "x+"]).is_live());
    assert!(recogniser.asleep(&seen("working\n", waits), &at()).is_some());
    assert!(recogniser.asleep(&seen(waits, "working\n"), &at()).is_none());
    assert!(recogniser.asleep(&seen("", &format!("{waits}working\n")), &at()).is_none());
    assert!(recogniser.asleep(&Seen::default(), &at()).is_none());
}

#[test]
fn the_last_line_is_shown_without_escape_codes_and_not_whole_if_it_is_long() {
    assert_eq!(seen("out\n", "").last_line().as_deref(), Some("out"));
    assert_eq!(seen("out\n", "\u{1b}[31merr\u{1b}[0m\n\n").last_line().as_deref(), Some("err"));
    assert_eq!(seen("", &"ü".repeat(SHOWN + 1)).last_line().unwrap().chars().count(), SHOWN + 1);
    assert_eq!(Seen::default().last_line(), None);
}

#[test]
fn a_word_that_is_no_preset_is_refused_with_the_way_to_write_it_as_an_expression() {
    let error = Recogniser::of(["quota"]).unwrap_err().to_string();
    assert!(error.contains("no preset \"quota\"") && error.contains("(?:quota)"), "{error}");
    assert!(Recogniser::of(["(?:quota)"]).is_ok());
}

/// Whatever comes: no panic, and the same however it is cut.
#[test]
fn rubbish_is_no_limit() {
    let names: Vec<_> = presets::names().collect();
    let recogniser = of(&names);
    for bytes in [&b"\xff\xfe\x00\x1b["[..], b"{", b"}\n{", b"{\n}\n", b"\x1b]", b"{\"type\":", b"[1]\n"] {
        let mut seen = Seen::default();
        seen.feed(Stream::Stderr, bytes);
        assert_eq!(recogniser.ended(&seen, 1, &at()), None, "{bytes:?}");
        assert_eq!(recogniser.asleep(&seen, &at()), None, "{bytes:?}");
    }
}
