//! What of a file is prose: each character stays where it is, and what is none becomes [`CODE`] or a space.

/// Stands for what is not prose: no pattern crosses it.
pub const CODE: char = '\u{1}';

/// Replaces a range by something that no pattern crosses; lines stay lines.
fn blank(prose: &mut [char], range: std::ops::Range<usize>) {
    for c in &mut prose[range] {
        if *c != '\n' {
            *c = CODE;
        }
    }
}

/// Blanks code in backticks. A span ends in its own paragraph, or it is none.
fn without_inline_code(prose: &mut [char]) {
    let mut at = 0;
    while at < prose.len() {
        if prose[at] != '`' {
            at += 1;
            continue;
        }
        let ticks = prose[at..].iter().take_while(|c| **c == '`').count();
        let (start, mut end, mut newlines) = (at, at + ticks, 0);
        at += ticks;
        while end + ticks <= prose.len() && newlines < 3 {
            newlines += usize::from(prose[end] == '\n');
            if prose[end..end + ticks].iter().all(|c| *c == '`') && prose.get(end + ticks) != Some(&'`') {
                blank(prose, start..end + ticks);
                at = end + ticks;
                break;
            }
            end += 1;
        }
    }
}

/// A Markdown page without its code. Targets of links go too: a file may have an old name.
pub fn markdown(text: &str) -> Vec<char> {
    let mut prose: Vec<char> = text.chars().collect();
    let (mut at, mut fenced) = (0, false);
    for line in text.split_inclusive('\n') {
        let length = line.chars().count();
        let fence = line.trim_start().starts_with("```");
        if fenced || fence {
            blank(&mut prose, at..at + length);
        }
        fenced ^= fence;
        at += length;
    }
    without_inline_code(&mut prose);
    let mut at = 0;
    while at + 1 < prose.len() {
        if prose[at] == ']' && prose[at + 1] == '(' {
            let end = prose[at..].iter().position(|c| *c == ')').map_or(prose.len(), |n| at + n);
            blank(&mut prose, at + 1..end);
        }
        at += 1;
    }
    prose
}

/// The comments and strings of a Rust source, everything else blanked. A comment of several lines is one run of prose.
pub fn rust(text: &str) -> Vec<char> {
    let source: Vec<char> = text.chars().collect();
    let mut prose: Vec<char> = source.iter().map(|c| if *c == '\n' { '\n' } else { CODE }).collect();
    let at = |n: usize| source.get(n).copied().unwrap_or('\0');
    let mut here = 0;
    while here < source.len() {
        match at(here) {
            '/' if at(here + 1) == '/' => {
                // The marker, and what indents it, become spaces so that a sentence may go over the end of a line.
                let first = (0..here).rev().take_while(|n| at(*n) == ' ').last().unwrap_or(here);
                let mut words = here + 2;
                while matches!(at(words), '/' | '!') {
                    words += 1;
                }
                prose[first..words].fill(' ');
                here = words;
                while here < source.len() && at(here) != '\n' {
                    prose[here] = at(here);
                    here += 1;
                }
            }
            'r' | 'b' if raw_string(&source, here).is_some() => {
                let (start, end) = raw_string(&source, here).unwrap();
                if is_prose(&source[start..end]) {
                    prose[start..end].copy_from_slice(&source[start..end]);
                }
                here = end + 1;
            }
            '"' => {
                here += 1;
                let start = here;
                while here < source.len() && at(here) != '"' {
                    let escaped = at(here) == '\\';
                    prose[here] = if escaped { ' ' } else { at(here) };
                    if escaped && at(here + 1) != '\n' {
                        here += 1;
                        prose[here] = ' ';
                    }
                    here += 1;
                }
                if !is_prose(&source[start..here.min(source.len())]) {
                    blank(&mut prose, start..here.min(source.len()));
                }
                here += 1;
            }
            // A character, not a lifetime.
            '\'' if at(here + 1) == '\\' => {
                here += 3;
                while here < source.len() && at(here) != '\'' {
                    here += 1;
                }
                here += 1;
            }
            '\'' if at(here + 2) == '\'' => here += 3,
            _ => here += 1,
        }
    }
    without_inline_code(&mut prose);
    // What a format string inserts.
    let mut open = None;
    for n in 0..prose.len() {
        match (prose[n], open) {
            ('{', _) => open = Some(n),
            ('}', Some(start)) => {
                blank(&mut prose, start..n + 1);
                open = None;
            }
            (c, Some(_)) if !(c.is_alphanumeric() || "_.:?#<>$".contains(c)) => open = None,
            _ => {}
        }
    }
    prose
}

/// A string without a space is a name or other data.
fn is_prose(string: &[char]) -> bool {
    string.iter().any(|c| c.is_whitespace())
}

/// Where the content of a raw string begins and ends, if one begins here.
fn raw_string(source: &[char], here: usize) -> Option<(usize, usize)> {
    if here > 0 && (source[here - 1].is_alphanumeric() || source[here - 1] == '_') {
        return None;
    }
    let after = here + usize::from(source[here] == 'b');
    if source.get(after) != Some(&'r') {
        return None;
    }
    let hashes = source[after + 1..].iter().take_while(|c| **c == '#').count();
    let start = after + 1 + hashes;
    if source.get(start) != Some(&'"') {
        return None;
    }
    let closes = |n: usize| source[n] == '"' && source[n + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    let end = (start + 1..source.len()).find(|n| closes(*n))?;
    Some((start + 1, end))
}
