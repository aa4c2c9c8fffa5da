//! What travels between a shim and its clients, and how its socket is reached.
//!
//! A frame is a length (4 bytes, big endian, of what follows), a tag (1 byte) and a payload. A frame with a tag that the
//! receiver does not know is skipped: a newer version may send it. The first frame of a connection is [`Frame::Hello`], with the
//! [`VERSION`] of the client. A shim of another version answers `Refused`. The second frame says what the connection is for:
//!
//! - [`Frame::Own`]: the controller is here, for as long as the connection is open.
//! - [`Frame::Ping`]: answered by [`Frame::Pong`].
//! - [`Frame::Exec`]: answered by `Refused`, or by `Started`, then `Stdout` and `Stderr` as they come, then `Result` if that was
//!   asked for, then `Exited`. A `Ping` in between is answered too. A connection that closes without `Exited` means that the worker is ending. The client sends
//!   `Stdin` and at last `StdinEnd`; never more than [`WINDOW`] bytes for which `StdinTaken` has not come back.
//!   So the shim can read on at any time, which is how it sees at once that a client hung up, and what a slow
//!   task has not read yet is bounded.
//!
//! After a request with `more`, another `Exec` may follow the `Exited` of the one before. In between, a `Ping` is answered, and what is
//! left of the input of the task before is skipped.
//!
//! A request with [`Keep`] is for a task that outlives its client, in a Pod. The same request starts it the first time, and attaches
//! to it later: then `Attached` is the answer. The client says by `Have` how much of the output it has, and by `Release` that it needs nothing
//! more. Such a client says [`VERSION_DURABLE`], which a helper that cannot keep a task refuses.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio_util::codec::{Decoder, Encoder};

use super::system::DIRECTORY;

/// The version of this protocol. It grows when an older side would misunderstand a newer one.
pub const VERSION: u32 = 1;
/// The version of a client that may attach to its task again.
pub const VERSION_DURABLE: u32 = 2;
/// A side of a connection through a cluster that said nothing for so long has gone.
pub const SILENCE: Duration = Duration::from_secs(180);
/// How long a helper waits on a connection for the next task. Its client closes the connection earlier.
pub const BETWEEN: Duration = Duration::from_secs(60);
/// Most bytes of standard input under way.
pub const WINDOW: usize = 256 * 1024;
/// Most bytes of output in a frame.
pub const CHUNK: usize = 64 * 1024;
/// No frame is longer: argv and environment cannot be, for the system would not take them.
const MAX_FRAME: usize = 8 * 1024 * 1024;
/// `sun_path` has 108 bytes on Linux, one of them for the end.
const MAX_SOCKET_PATH: usize = 107;

/// A task, as it is asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables added to the worker's environment.
    pub env: Vec<(String, String)>,
    /// Working directory. None: the worker's.
    pub working_dir: Option<String>,
    /// Path of a result file that is sent back and removed. For workers whose files the client does not see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The task outlives its client.
    #[serde(default, rename = "kept", skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Another request may follow on the same connection, once this task has exited. A helper that does not know this closes it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// How a task outlives its client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Name of the task in its worker: letters, digits and `-`.
    pub key: String,
    /// How long it waits for a client, in seconds. Then it is ended.
    pub seconds: u64,
    /// Bytes of standard output and of standard error that the client has.
    pub have: [u64; 2],
}

impl Keep {
    /// True if the key can be part of a file name.
    pub fn is_valid(&self) -> bool {
        !self.key.is_empty() && self.key.len() <= 64 && self.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    }
}

/// Why a program was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// 127: not found. 126: not executable.
    pub code: i32,
    /// What was wrong, with its name.
    pub message: String,
    /// True: that was not the program, which may well run in another worker, or later.
    #[serde(default)]
    pub passing: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// I speak this version.
    Hello(u32),
    /// I am the controller.
    Own,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// Run this: [`ExecRequest`] as JSON.
    Exec(Bytes),
    /// A piece of standard input.
    Stdin(Bytes),
    /// There is no more.
    StdinEnd,
    /// So many bytes of standard input are out of the way.
    StdinTaken(u32),
    /// It runs.
    Started,
    /// It runs already, or has ended. So many bytes of its input have arrived, and so many of these are out of the way.
    Attached(u64, u64),
    /// I have so many bytes of standard output and standard error.
    Have([u64; 2]),
    /// I know how it ended, and need nothing more.
    Release,
    /// It does not run: [`Refusal`] as JSON.
    Refused(Bytes),
    /// A piece of standard output.
    Stdout(Bytes),
    /// A piece of standard error.
    Stderr(Bytes),
    /// The content of the result file that was asked for, or why it cannot be read. Not sent if there is no file.
    Result(Result<Bytes, String>),
    /// It ended, with this code; all output was sent.
    Exited(i32),
}

/// The first byte of the payload of `Result`: what follows is the file's content.
const CONTENT: u8 = 0;
/// What follows is why it cannot be read.
const UNREADABLE: u8 = 1;

/// Turns frames to bytes and back.
#[derive(Debug, Default)]
pub struct Codec;

impl Encoder<Frame> for Codec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, to: &mut BytesMut) -> io::Result<()> {
        let (tag, payload) = match frame {
            Frame::Hello(version) => (b'H', Bytes::copy_from_slice(&version.to_be_bytes())),
            Frame::Own => (b'C', Bytes::new()),
            Frame::Ping => (b'P', Bytes::new()),
            Frame::Pong => (b'p', Bytes::new()),
            Frame::Exec(json) => (b'X', json),
            Frame::Stdin(data) => (b'I', data),
            Frame::StdinEnd => (b'E', Bytes::new()),
            Frame::StdinTaken(count) => (b'T', Bytes::copy_from_slice(&count.to_be_bytes())),
            Frame::Started => (b'S', Bytes::new()),
            Frame::Attached(received, taken) => (b'A', of_pair(received, taken)),
            Frame::Have([out, err]) => (b'a', of_pair(out, err)),
            Frame::Release => (b'Z', Bytes::new()),
            Frame::Refused(json) => (b'R', json),
            Frame::Stdout(data) => (b'o', data),
            Frame::Stderr(data) => (b'e', data),
            Frame::Result(result) => (b'r', of_result(result)),
            Frame::Exited(code) => (b'Q', Bytes::copy_from_slice(&code.to_be_bytes())),
        };
        let length = payload.len() + 1;
        if length > MAX_FRAME {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "command and environment are longer than 8 MiB"));
        }
        to.reserve(length + 4);
        to.put_u32(u32::try_from(length).map_err(io::Error::other)?);
        to.put_u8(tag);
        to.put(payload);
        Ok(())
    }
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Frame>> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not a frame of this protocol");
        loop {
            let Some(length) = from.get(..4) else { return Ok(None) };
            let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            if length == 0 || length > MAX_FRAME {
                return Err(invalid());
            }
            if from.len() < length + 4 {
                from.reserve(length + 4 - from.len());
                return Ok(None);
            }
            from.advance(4);
            let mut payload = from.split_to(length).freeze();
            let frame = match payload.get_u8() {
                b'H' => Frame::Hello(payload.try_get_u32().map_err(|_| invalid())?),
                b'C' => Frame::Own,
                b'P' => Frame::Ping,
                b'p' => Frame::Pong,
                b'X' => Frame::Exec(payload),
                b'I' => Frame::Stdin(payload),
                b'E' => Frame::StdinEnd,
                b'T' => Frame::StdinTaken(payload.try_get_u32().map_err(|_| invalid())?),
                b'S' => Frame::Started,
                b'A' => {
                    let (received, taken) = pair(&mut payload).ok_or_else(invalid)?;
                    Frame::Attached(received, taken)
                }
                b'a' => Frame::Have(pair(&mut payload).ok_or_else(invalid)?.into()),
                b'Z' => Frame::Release,
                b'R' => Frame::Refused(payload),
                b'o' => Frame::Stdout(payload),
                b'e' => Frame::Stderr(payload),
                b'r' => Frame::Result(match payload.try_get_u8().map_err(|_| invalid())? {
                    CONTENT => Ok(payload),
                    _ => Err(String::from_utf8_lossy(&payload).into_owned()),
                }),
                b'Q' => Frame::Exited(payload.try_get_i32().map_err(|_| invalid())?),
                _ => continue,
            };
            return Ok(Some(frame));
        }
    }
}

fn of_pair(first: u64, second: u64) -> Bytes {
    let mut payload = BytesMut::with_capacity(16);
    payload.put_u64(first);
    payload.put_u64(second);
    payload.freeze()
}

fn pair(payload: &mut Bytes) -> Option<(u64, u64)> {
    Some((payload.try_get_u64().ok()?, payload.try_get_u64().ok()?))
}

fn of_result(result: Result<Bytes, String>) -> Bytes {
    let (first, rest) = match result {
        Ok(content) => (CONTENT, content),
        Err(why) => (UNREADABLE, Bytes::from(why)),
    };
    let mut payload = BytesMut::with_capacity(rest.len() + 1);
    payload.put_u8(first);
    payload.put(rest);
    payload.freeze()
}

/// Connects to a shim's socket. A path that is too long for a socket's address is reached through its directory.
///
/// # Errors
/// Those of `connect`, and of opening the directory.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return UnixStream::connect(path).await;
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a socket"));
    };
    let dir = rustix::fs::open(parent, DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    UnixStream::connect(Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let frames = [
            Frame::Hello(VERSION),
            Frame::Own,
            Frame::Exec(Bytes::from_static(b"{}")),
            Frame::Stdin(Bytes::from_static(b"some")),
            Frame::StdinTaken(70_000),
            Frame::StdinEnd,
            Frame::Stdout(Bytes::from_static(b"\0\0\0")),
            Frame::Attached(u64::MAX, 7),
            Frame::Have([1, 2]),
            Frame::Release,
            Frame::Result(Ok(Bytes::from_static(b"{}"))),
            Frame::Result(Err("it is a directory".to_owned())),
            Frame::Exited(-1),
        ];
        let mut bytes = BytesMut::new();
        for frame in &frames {
            Codec.encode(frame.clone(), &mut bytes).unwrap();
        }
        let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            buffer.put_u8(byte);
            seen.extend(Codec.decode(&mut buffer).unwrap());
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        for bytes in [&[0, 0, 0, 0][..], &[0xff, 0, 0, 0], &[0, 0, 0, 2, b'Q', 1], &[0, 0, 0, 2, b'a', 1]] {
            assert!(Codec.decode(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_frame_that_is_not_known_is_skipped() {
        let mut bytes = BytesMut::from(&[0, 0, 0, 3, b'?', 1, 2][..]);
        assert_eq!(Codec.decode(&mut bytes).unwrap(), None);
        bytes.extend_from_slice(&[0, 0, 0, 1, b'~']);
        Codec.encode(Frame::Pong, &mut bytes).unwrap();
        assert_eq!(Codec.decode(&mut bytes).unwrap(), Some(Frame::Pong));
        assert!(bytes.is_empty());
    }
}
