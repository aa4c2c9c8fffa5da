//! The end of a stream of output: bounded, and without escape codes.

use std::collections::VecDeque;

use serde_json::Value;

/// Bytes of a stream that are looked at: the last ones.
pub const MOST: usize = 128 * 1024;

/// The last [`MOST`] bytes of a stream. It needs at most twice as many.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    bytes: Vec<u8>,
    /// True if there were bytes before these.
    cut: bool,
}

/// A line that is not blank.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Without escape codes and without white space at its ends.
    pub text: String,
    /// The line as JSON, if it is an object.
    pub event: Option<Value>,
}

/// The lines of a tail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// In order. Blank lines are left out.
    pub lines: Vec<Line>,
    /// True if the stream had more lines before these.
    pub cut: bool,
}

impl Tail {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, data: &[u8]) {
        if data.len() >= MOST {
            self.cut |= data.len() > MOST || !self.bytes.is_empty();
            self.bytes.clear();
            self.bytes.extend_from_slice(&data[data.len() - MOST..]);
            return;
        }
        if self.bytes.len() + data.len() > 2 * MOST {
            // One copy for as many bytes as stay: the work for each byte stays the same.
            self.bytes.drain(..self.bytes.len() - (MOST - data.len()));
            self.cut = true;
        }
        self.bytes.extend_from_slice(data);
    }

    /// Its lines. The first one is left out if its beginning is gone.
    pub fn lines(&self) -> Lines {
        let start = self.bytes.len().saturating_sub(MOST);
        let cut = self.cut || start > 0;
        let mut bytes = &self.bytes[start..];
        if cut {
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            bytes = &bytes[end..];
        }
        let text = plain(&String::from_utf8_lossy(bytes));
        let mut lines: VecDeque<Line> = text.split(['\n', '\r']).filter_map(Line::read).collect();
        if let Some(event) = document(&text) {
            lines.push_back(Line { text: String::new(), event: Some(event) });
        }
        Lines { lines: lines.into(), cut }
    }
}

impl Line {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let event = (text.starts_with('{') && text.ends_with('}')).then(|| serde_json::from_str(text).ok()).flatten();
        (!text.is_empty()).then(|| Self { text: text.to_owned(), event })
    }
}

/// A JSON object over several lines at the end of a stream, as `--output-format json` of some programs prints it.
fn document(text: &str) -> Option<Value> {
    let text = text.trim_end();
    if !text.ends_with("\n}") {
        return None;
    }
    let start = if text.starts_with("{\n") { 0 } else { text.rfind("\n{\n")? + 1 };
    serde_json::from_str(&text[start..]).ok()
}

/// Removes escape sequences (CSI, OSC and their like) and control characters other than ends of lines and tabs.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let kind = match c {
            '\u{1b}' => chars.next().unwrap_or_default(),
            '\u{9b}' => '[',
            '\u{9d}' => ']',
            _ if c.is_control() && !matches!(c, '\n' | '\r' | '\t') => continue,
            _ => {
                plain.push(c);
                continue;
            }
        };
        match kind {
            // Parameters, then one final character.
            '[' => {
                while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
                chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            // A string up to BEL or ESC \. It never goes over the end of a line.
            ']' | 'P' | 'X' | '^' | '_' => {
                while let Some(c) = chars.next_if(|c| !matches!(c, '\n' | '\r')) {
                    if c == '\u{7}' || c == '\u{9c}' {
                        break;
                    }
                    if c == '\u{1b}' {
                        chars.next_if_eq(&'\\');
                        break;
                    }
                }
            }
            '\n' | '\r' => plain.push(kind),
            ' '..='/' => {
                chars.next_if(|c| !c.is_control());
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tail: &Tail) -> Vec<String> {
        tail.lines().lines.into_iter().map(|line| line.text).collect()
    }

    fn of(text: &str) -> Tail {
        let mut tail = Tail::default();
        tail.feed(text.as_bytes());
        tail
    }

    #[test]
    fn escape_codes_and_blank_lines_are_left_out() {
        let tail = of(
            "\u{1b}[1;31mred\u{1b}[0m and\u{8} \u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{7}!\r\n\n 50%\r100%\r\n\u{1b}(Bend\u{1b}[?25h",
        );
        assert_eq!(texts(&tail), ["red and link!", "50%", "100%", "end"]);
        assert_eq!(texts(&of("\u{1b}]0;a title without an end\nnext")), ["next"]);
        assert_eq!(texts(&of("a\u{1b}")), ["a"]);
    }

    #[test]
    fn however_the_bytes_arrive_the_lines_are_the_same_and_memory_is_bounded() {
        let all: String = (0..60_000).map(|n| format!("line {n} ü\n")).collect();
        let mut wanted = None;
        for size in [1, 7, 4096, 65_536, MOST - 1, MOST, MOST + 1, all.len()] {
            let mut tail = Tail::default();
            for piece in all.as_bytes().chunks(size) {
                tail.feed(piece);
                assert!(tail.bytes.len() <= 2 * MOST);
            }
            let lines = tail.lines();
            assert!(lines.cut && lines.lines.last().is_some_and(|line| line.text == "line 59999 ü"), "{size}");
            assert_eq!(*wanted.get_or_insert(lines.clone()), lines, "{size}");
        }
        let endless = of(&"x".repeat(MOST + 1));
        assert_eq!(texts(&endless), [""; 0]);
    }

    #[test]
    fn json_is_read_on_a_line_and_over_several_lines_at_the_end() {
        let events = |text: &str| of(text).lines().lines.into_iter().filter_map(|line| line.event).collect::<Vec<_>>();
        assert_eq!(events("{\"a\":1}\n{\"a\":\n{}}\n"), [serde_json::json!({"a": 1})]);
        assert_eq!(events("note\n{\n  \"a\": {\n    \"b\": 2\n  }\n}\n"), [serde_json::json!({"a": {"b": 2}})]);
    }
}
