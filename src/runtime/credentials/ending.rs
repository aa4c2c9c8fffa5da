//! The end of an output, without the credential that it may repeat.

use std::collections::VecDeque;

use secrecy::zeroize::Zeroizing;

use super::secret::{MASK, MIN_REDACTED, Secret};

/// A part of a value is hidden, where something cut the output within it, if it has at least so many bytes.
const MIN_PART: usize = 4;

/// Remembers the last bytes of a worker's output. Values are taken out as they come, before anything is dropped: what is
/// cut off later cannot leave half of one.
#[derive(Debug)]
pub struct Ending {
    text: Vec<u8>,
    limit: usize,
}

impl Ending {
    /// Of nothing yet; it will have at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self { text: Vec::new(), limit }
    }

    /// Adds what came from one of the streams.
    pub fn push(&mut self, stream: &mut Redactor, piece: &[u8]) {
        for byte in piece {
            stream.push(*byte, &mut self.text);
        }
        self.shorten();
    }

    /// One of the streams has ended, or its end is no longer awaited.
    pub fn close(&mut self, stream: &mut Redactor) {
        stream.finish(&mut self.text);
        self.shorten();
    }

    /// As a string.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let mut from = text.len().saturating_sub(self.limit);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text.get(from..).unwrap_or_default().to_owned()
    }

    fn shorten(&mut self) {
        let surplus = self.text.len().saturating_sub(self.limit);
        self.text.drain(..surplus);
    }
}

/// Takes a value out of one stream. Streams that mix have one each, or what one says would hide what the other does.
#[derive(Default)] // no Debug: it knows the value
pub struct Redactor {
    value: Zeroizing<Vec<u8>>,
    /// For each length of a part that was seen: the longest shorter one that was seen with it (Knuth, Morris, Pratt).
    shorter: Vec<usize>,
    /// What may still turn out to be part of a value, and whether it is known to be.
    held: VecDeque<(u8, bool)>,
    /// How much of a value the end of what came is.
    seen: usize,
    /// The first bytes of a stream whose start is missing, which may be the rest of a value.
    head: Option<Vec<u8>>,
    masking: bool,
}

impl Redactor {
    /// For a stream from its start.
    pub fn new(secret: Option<&Secret>) -> Self {
        let value = secret.map(|secret| secret.expose().as_bytes()).filter(|value| value.len() >= MIN_REDACTED);
        let value = Zeroizing::new(value.unwrap_or_default().to_vec());
        let mut shorter = vec![0; value.len() + 1];
        for (at, byte) in value.iter().enumerate().skip(1) {
            let mut length = shorter[at];
            while length > 0 && value[length] != *byte {
                length = shorter[length];
            }
            shorter[at + 1] = if value[length] == *byte { length + 1 } else { 0 };
        }
        Self { value, shorter, ..Self::default() }
    }

    /// For a stream that may begin anywhere.
    pub fn after_a_cut(secret: Option<&Secret>) -> Self {
        let whole = Self::new(secret);
        let head = (!whole.value.is_empty()).then(Vec::new);
        Self { head, ..whole }
    }

    fn push(&mut self, byte: u8, to: &mut Vec<u8>) {
        match &mut self.head {
            None => self.take(byte, false, to),
            Some(head) => {
                head.push(byte);
                if head.len() >= self.value.len() {
                    self.take_head(to);
                }
            }
        }
    }

    fn finish(&mut self, to: &mut Vec<u8>) {
        self.take_head(to);
        // The program that was about to print the rest was ended.
        self.hide(if self.seen < MIN_PART { 0 } else { self.seen });
        self.seen = 0;
        self.pass_on(to);
    }

    /// The start is hidden as far as it may be the rest of a value; beyond that a whole one may begin within it.
    fn take_head(&mut self, to: &mut Vec<u8>) {
        let head = self.head.take().unwrap_or_default();
        let rest = (MIN_PART..self.value.len()).rev().find(|n| head.starts_with(&self.value[self.value.len() - n..]));
        for (at, byte) in head.into_iter().enumerate() {
            self.take(byte, at < rest.unwrap_or(0), to);
        }
    }

    fn take(&mut self, byte: u8, known: bool, to: &mut Vec<u8>) {
        self.held.push_back((byte, known));
        if !self.value.is_empty() {
            while self.seen > 0 && self.value[self.seen] != byte {
                self.seen = self.shorter[self.seen];
            }
            self.seen += usize::from(self.value[self.seen] == byte);
            if self.seen == self.value.len() {
                self.hide(self.seen);
                // Values may overlap.
                self.seen = self.shorter[self.seen];
            }
        }
        self.pass_on(to);
    }

    fn hide(&mut self, last: usize) {
        self.held.iter_mut().rev().take(last).for_each(|(_, known)| *known = true);
    }

    fn pass_on(&mut self, to: &mut Vec<u8>) {
        while self.held.len() > self.seen {
            let Some((byte, hidden)) = self.held.pop_front() else { return };
            match hidden {
                false => to.push(byte),
                true if !self.masking => to.extend_from_slice(MASK.as_bytes()),
                true => {}
            }
            self.masking = hidden;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 64;

    /// What is reported of these pieces, each on one of two streams.
    fn shown(secret: &str, pieces: &[(bool, &[u8])], cut: bool) -> String {
        let secret = Secret::new(secret);
        let new = if cut { Redactor::after_a_cut } else { Redactor::new };
        let mut streams = [new(Some(&secret)), new(Some(&secret))];
        let mut ending = Ending::new(LIMIT);
        for (second, piece) in pieces {
            ending.push(&mut streams[usize::from(*second)], piece);
        }
        for stream in &mut streams {
            ending.close(stream);
        }
        ending.text()
    }

    fn shows(text: &str, secret: &str) -> bool {
        secret.as_bytes().windows(MIN_PART).any(|part| text.as_bytes().windows(MIN_PART).any(|w| w == part))
    }

    #[test]
    fn lines_that_repeat_the_value_show_none_of_it() {
        let token = "sk-0123456789abcdefghijklmnopqrstuvwxyzA"; // 40 bytes
        let line = format!("auth: {token}\n");
        let text = shown(token, &[(false, line.repeat(50).as_bytes())], false);
        assert!(text.len() <= LIMIT && !shows(&text, token), "{text}");
        assert!(text.ends_with("auth: ***\nauth: ***\n"), "{text}");
    }

    #[test]
    fn what_is_no_value_stays() {
        for text in ["", "sesame-clos", "sesesame-ope gate", "ses"] {
            assert_eq!(shown("sesame-open", &[(false, text.as_bytes())], false), text);
        }
        assert_eq!(shown("sesame-open", &[(false, b"se sesame-")], false), "se ***", "it was about to print the rest");
        assert_eq!(shown("short", &[(false, b"short")], false), "short");
        assert_eq!(
            shown("ab\u{e4}cdef", &[(false, "1 ab\u{e4}cdef \u{e4}\u{df}".as_bytes())], true),
            "1 *** \u{e4}\u{df}"
        );
        assert_eq!(shown("sesame-open", &[(false, b"pen"), (true, b"-open gate")], true), "pen*** gate");
    }

    #[test]
    fn it_is_cut_between_characters() {
        for (limit, wanted) in [(10, "aäb"), (2, "b"), (3, "äb"), (0, "")] {
            let (mut ending, mut stream) = (Ending::new(limit), Redactor::new(None));
            ending.push(&mut stream, "aäb".as_bytes());
            ending.close(&mut stream);
            assert_eq!(ending.text(), wanted);
        }
    }

    #[test]
    fn values_that_overlap_are_hidden_whole() {
        assert_eq!(shown("xyzwxyzw", &[(false, b"<xyzwxyzwxyzw>")], false), "<***>");
        assert_eq!(shown("xyzwxyzw", &[(false, b"xyzwxyzwxyzw>")], true), "***>");
    }

    proptest! {
        #[test]
        fn no_part_of_a_value_shows_wherever_it_is_cut(
            secret in "[A-C]{8,40}|[A-Z0-9]{8,40}",
            around in prop::collection::vec(("[a-z \n]{0,30}", any::<bool>(), 1..50_usize), 2..12),
            from in any::<prop::sample::Index>(), upto in any::<prop::sample::Index>(),
        ) {
            // One stream repeats the value among other words, in pieces that know nothing of it; the other talks too.
            let all: String = around.iter().map(|(words, _, _)| format!("{words}{secret}")).collect();
            let (from, upto) = (from.index(around[0].0.len() + secret.len()), upto.index(secret.len()));
            let mut rest = &all.as_bytes()[from..all.len() - upto];
            let mut pieces: Vec<(bool, &[u8])> = Vec::new();
            for (words, other, length) in around.iter().cycle().take(2000) {
                let (piece, left) = rest.split_at((*length).min(rest.len()));
                pieces.push((false, piece));
                if *other {
                    pieces.push((true, words.as_bytes()));
                }
                rest = left;
            }
            let text = shown(&secret, &pieces, true);
            prop_assert!(text.len() <= LIMIT && !shows(&text, &secret), "{}", text);
        }
    }
}
