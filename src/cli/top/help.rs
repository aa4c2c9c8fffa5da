//! The list of keys.

use ratatui::text::{Line, Span};

use super::theme::{Theme, Tone};

const KEYS: [(&str, &str); 13] = [
    ("Tab, h l, ← →", "the next table, the one before"),
    ("1 2 3 4", "pools, workers, dispatches, credentials"),
    ("j k, ↑ ↓", "the next line, the one before"),
    ("Space, PgUp PgDn", "a page; with Ctrl-D and Ctrl-U half of one"),
    ("g G, Home End", "the first line, the last"),
    ("Enter", "details of the selected object; Esc leaves them"),
    ("/", "filter: lines of all tables that have these words"),
    ("Esc", "no filter"),
    ("s", "sort by the next column"),
    ("S, r", "the other way round"),
    ("z", "one table, or all if they fit"),
    ("?, F1", "this list"),
    ("q, Ctrl-C", "the end"),
];

const WORDS: [&str; 6] = [
    "FOR is how long it has been so; LEFT and RESTS are how long it will be, by the clock of the server.",
    "Queued dispatches wait for a worker. Delayed ones wait for a time, or for the end of the worker of a lost attempt.",
    "PLACE is the place in the queue of the pool. TRY is the number of attempts.",
    "DOWN are idle workers that cannot take work: they failed, are cordoned or being deleted, or their host does not answer.",
    "BUSY of a credential is followed by its maxConcurrent, if it has one.",
    "Nothing is changed here: use poolkeeper scale, cooldown, cancel and delete.",
];

pub(super) fn lines(theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(Span::styled("Keys", theme.focus()))];
    let key = |(keys, what): &(&'static str, &'static str)| {
        // Arrows are one column wide, as they are one character.
        Line::from(vec![Span::styled(format!("  {keys:<18}"), theme.of(Tone::Heading, false)), Span::raw(*what)])
    };
    lines.extend(KEYS.iter().map(key));
    lines.push(Line::default());
    lines.push(Line::from(Span::styled("Words", theme.focus())));
    lines.extend(WORDS.iter().map(|words| Line::from(format!("  {words}"))));
    lines
}
