//! What a preset costs: 100 MB of output in the pieces of a pipe, and the verdict at its end.
//!
//! `cargo bench --bench verdict` prints megabytes a second and the most memory that the process had. The wanted figure is 200
//! MB/s, with memory that does not grow with the output.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use poolkeeper::supervisor::outcome::recogniser::Moment;
use poolkeeper::supervisor::outcome::{Recogniser, Seen, Stream, presets};

/// Bytes of output.
const OUTPUT: usize = 100_000_000;
/// A full pipe.
const PIECE: usize = 64 * 1024;

/// What a busy agent prints: words of limits, JSON and colours in it.
fn output() -> Vec<u8> {
    let lines = "\u{1b}[2mrunning\u{1b}[0m cargo test --workspace, attempt 3 after rate_limit_error\n\
                 {\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"API Error: Rate limit reached is handled\"}]}}\n\
                 {\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"allowed\",\"resetsAt\":1788625200}}\n\
                 You've hit your limit is a sentence of the test, with ü and ∙\n";
    lines.as_bytes().iter().copied().cycle().take(PIECE * 16).collect()
}

/// The most memory that this process had, in MB. None: not on Linux.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

fn main() {
    let pieces = output();
    let end = "You've hit your weekly limit · resets Jul 31, 2am (UTC)\n";
    let names: Vec<&str> = presets::names().collect();
    let at = Moment { now: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC };
    println!("preset            MB/s   verdict ms   peak MB");
    for entries in [&["claude-code"][..], &["codex"], &["quota is gone"], &names] {
        let recogniser = Recogniser::of(entries.iter().copied()).unwrap();
        let mut seen = Seen::default();
        let start = Instant::now();
        let mut left = OUTPUT;
        for piece in pieces.chunks(PIECE).cycle() {
            let piece = &piece[..piece.len().min(left)];
            seen.feed(Stream::Stdout, piece);
            left -= piece.len();
            if left == 0 {
                break;
            }
        }
        seen.feed(Stream::Stderr, end.as_bytes());
        let fed = start.elapsed();
        let found = black_box(recogniser.ended(&seen, 1, &at));
        let all = start.elapsed();
        assert_eq!(found.is_some(), entries.contains(&"claude-code"));
        let name = if entries.len() == 1 { entries[0] } else { "all of them" };
        let speed = OUTPUT as f64 / 1e6 / all.max(Duration::from_nanos(1)).as_secs_f64();
        let verdict = all.saturating_sub(fed).as_secs_f64() * 1e3;
        println!("{name:<14}{speed:>8.0}{verdict:>13.1}{:>10.1}", peak().unwrap_or_default());
    }
}
