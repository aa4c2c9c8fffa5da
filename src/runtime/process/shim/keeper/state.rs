//! What a keeper knows: the output that no client has yet, and how the task ended.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::runtime::process::protocol::Frame;

/// Most bytes of output that wait for a client. A task that prints more waits until one is back.
pub const BOUND: usize = 8 * 1024 * 1024;
/// What a piece costs besides its bytes, about.
const PIECE: usize = 64;

/// Number of a stream: 0 is standard output, 1 standard error.
pub type Number = usize;

/// A piece of output that the client does not have for certain.
struct Piece {
    stream: Number,
    /// Bytes of its stream up to its end.
    upto: u64,
    data: Bytes,
}

/// How the task ended.
struct End {
    code: i32,
    /// Its result file, if it left one, or why that cannot be read.
    file: Option<Result<Bytes, String>>,
    /// True once the file was sent to the client.
    is_file_sent: bool,
    /// True once all was sent to the client.
    is_sent: bool,
}

/// All of it.
#[derive(Default)]
pub struct State {
    pieces: VecDeque<Piece>,
    /// What they take.
    size: usize,
    /// Index of the piece that this client gets next.
    next: usize,
    /// Bytes of each stream that the task printed, that were sent to this client, and that a client has for certain.
    printed: [u64; 2],
    sent: [u64; 2],
    had: [u64; 2],
    /// Where input goes. None: no more is expected.
    input: Option<mpsc::UnboundedSender<Bytes>>,
    /// Bytes of input that came, that the task took, and of those the ones that this client knows of.
    received: u64,
    taken: u64,
    known: u64,
    /// Pings that were not answered yet.
    pings: u32,
    end: Option<End>,
}

impl State {
    /// Of a task that begins.
    pub fn new(input: mpsc::UnboundedSender<Bytes>) -> Self {
        Self { input: Some(input), ..Self::default() }
    }

    /// A client is there, with so many bytes of each stream. It is answered with the frame.
    ///
    /// # Errors
    /// What it misses is not retained any more.
    pub fn attach(&mut self, have: [u64; 2]) -> Result<Frame, String> {
        for stream in [0, 1] {
            let (had, printed) = (self.had[stream], self.printed[stream]);
            if !(had..=printed).contains(&have[stream]) {
                let name = ["standard output", "standard error"][stream];
                return Err(format!(
                    "of its {name} the bytes from {had} to {printed} are retained, and the client has {}",
                    have[stream]
                ));
            }
        }
        self.has(have);
        (self.next, self.sent, self.known, self.pings) = (0, have, self.taken, 0);
        if let Some(end) = &mut self.end {
            (end.is_file_sent, end.is_sent) = (false, false);
        }
        Ok(Frame::Attached(self.received, self.taken))
    }

    /// The client has so many bytes of each stream for certain.
    pub fn has(&mut self, have: [u64; 2]) {
        for stream in [0, 1] {
            self.had[stream] = self.had[stream].max(have[stream].min(self.printed[stream]));
        }
        while self.pieces.front().is_some_and(|piece| piece.upto <= self.had[piece.stream]) {
            let piece = self.pieces.pop_front();
            self.size -= piece.map_or(0, |piece| piece.data.len() + PIECE);
            self.next = self.next.saturating_sub(1);
        }
    }

    /// True if there is room for another piece of output.
    pub const fn has_room(&self) -> bool {
        self.size < BOUND
    }

    /// The task printed something.
    pub fn print(&mut self, stream: Number, data: Bytes) {
        self.printed[stream] += data.len() as u64;
        self.size += data.len() + PIECE;
        self.pieces.push_back(Piece { stream, upto: self.printed[stream], data });
    }

    /// Input came.
    pub fn input(&mut self, data: Bytes) {
        if let Some(input) = &self.input {
            self.received += data.len() as u64;
            let _ = input.send(data);
        }
    }

    /// No more input comes.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// The task took some of its input.
    pub const fn take(&mut self, count: u32) {
        self.taken += count as u64;
    }

    /// The client asks for a sign.
    pub const fn ping(&mut self) {
        self.pings += 1;
    }

    /// The task ended, and printed nothing more.
    pub fn end(&mut self, code: i32, file: Option<Result<Bytes, String>>) {
        self.end = Some(End { code, file, is_file_sent: false, is_sent: false });
    }

    /// True if it has ended.
    pub const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// True if there is something to tell the client.
    pub fn has_frame(&self) -> bool {
        self.pings > 0
            || self.known < self.taken
            || self.next < self.pieces.len()
            || self.end.as_ref().is_some_and(|end| !end.is_sent)
    }

    /// What is sent to the client next. Nothing of it is forgotten before the client has it for certain.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if self.pings > 0 {
            self.pings -= 1;
            return Some(Frame::Pong);
        }
        if self.known < self.taken {
            let count = u32::try_from(self.taken - self.known).unwrap_or(u32::MAX);
            self.known += u64::from(count);
            return Some(Frame::StdinTaken(count));
        }
        while let Some(piece) = self.pieces.get(self.next) {
            self.next += 1;
            let (stream, sent) = (piece.stream, self.sent[piece.stream]);
            if piece.upto <= sent {
                continue;
            }
            let missing = usize::try_from(piece.upto - sent).unwrap_or(usize::MAX).min(piece.data.len());
            let data = piece.data.slice(piece.data.len() - missing..);
            self.sent[stream] = piece.upto;
            return Some(if stream == 0 { Frame::Stdout(data) } else { Frame::Stderr(data) });
        }
        let end = self.end.as_mut().filter(|end| !end.is_sent)?;
        if let Some(file) = end.file.clone().filter(|_| !end.is_file_sent) {
            end.is_file_sent = true;
            return Some(Frame::Result(file));
        }
        end.is_sent = true;
        Some(Frame::Exited(end.code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let mut state = State::new(mpsc::unbounded_channel().0);
        state.attach([0, 0]).unwrap();
        state
    }

    /// What a client reads until there is nothing more, by stream.
    fn read(state: &mut State) -> (String, String, Option<i32>) {
        let (mut out, mut err, mut code) = (String::new(), String::new(), None);
        while let Some(frame) = state.next_frame() {
            match frame {
                Frame::Stdout(data) => out.push_str(std::str::from_utf8(&data).unwrap()),
                Frame::Stderr(data) => err.push_str(std::str::from_utf8(&data).unwrap()),
                Frame::Exited(found) => code = Some(found),
                other => panic!("{other:?}"),
            }
        }
        (out, err, code)
    }

    #[test]
    fn each_client_gets_exactly_what_it_misses() {
        let mut state = state();
        state.print(0, Bytes::from_static(b"one two"));
        state.print(1, Bytes::from_static(b"oops"));
        assert_eq!(read(&mut state), ("one two".to_owned(), "oops".to_owned(), None));
        state.print(0, Bytes::from_static(b" three"));
        state.end(3, None);
        // A client that was sent all, and wrote down the beginning of it.
        state.attach([3, 4]).unwrap();
        assert_eq!(read(&mut state), (" two three".to_owned(), String::new(), Some(3)));
        state.attach([13, 4]).unwrap();
        assert_eq!(read(&mut state), (String::new(), String::new(), Some(3)), "the end is sent again");
    }

    #[test]
    fn what_a_client_has_is_forgotten_and_what_is_forgotten_is_not_made_up() {
        let mut state = state();
        while state.has_room() {
            state.print(0, Bytes::from(vec![b'x'; 1 << 16]));
        }
        let all = state.printed[0];
        assert!(all <= BOUND as u64 + (1 << 16) && state.size >= BOUND);
        state.has([all - 1, 0]);
        assert!(state.has_room());
        assert!(state.attach([5, 0]).unwrap_err().contains("the client has 5"));
        assert!(state.attach([all + 1, 0]).is_err());
        state.attach([all - 1, 0]).unwrap();
        assert_eq!(read(&mut state).0, "x");
    }

    #[test]
    fn small_pieces_are_bounded_too() {
        let mut state = state();
        let mut count = 0;
        while state.has_room() {
            state.print(count % 2, Bytes::from_static(b"x"));
            count += 1;
        }
        assert!(count <= BOUND / PIECE);
    }
}
