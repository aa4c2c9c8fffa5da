//! What an attempt printed, on the disk.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::runtime::exec::Output;
use crate::supervisor::batch::attempts;
use crate::supervisor::outcome::{Seen, Stream};

/// The files of an attempt's output.
pub(super) struct OutputFiles {
    stdout: File,
    stderr: File,
}

impl OutputFiles {
    /// Makes them in the directory of the task. `number`: what was printed before stays, and this attempt has a directory of its
    /// own there.
    pub(super) fn create(task: &Path, number: Option<i32>) -> io::Result<Self> {
        let dir = number.map_or_else(|| task.to_owned(), |number| attempts::dir(task, number));
        std::fs::create_dir_all(&dir)?;
        let files = Self { stdout: File::create(dir.join("stdout"))?, stderr: File::create(dir.join("stderr"))? };
        number.map_or(Ok(()), |number| show(task, number))?;
        Ok(files)
    }

    /// Opens those of an attempt that an earlier run began, to go on with them. What is in them is fed to `seen`. Answers how many bytes
    /// there are of each.
    pub(super) fn reopen(task: &Path, number: i32, seen: &mut Seen) -> io::Result<(Self, [u64; 2])> {
        let dir = attempts::dir(task, number);
        let open = |name: &str| File::options().read(true).append(true).create(true).open(dir.join(name));
        let mut files = Self { stdout: open("stdout")?, stderr: open("stderr")? };
        let have = [read(&mut files.stdout, Stream::Stdout, seen)?, read(&mut files.stderr, Stream::Stderr, seen)?];
        show(task, number)?;
        Ok((files, have))
    }

    pub(super) fn write(&mut self, piece: &Output) -> io::Result<()> {
        match piece {
            Output::Stdout(data) => self.stdout.write_all(data),
            Output::Stderr(data) => self.stderr.write_all(data),
        }
    }
}

/// Feeds a file to `seen`, and answers its length.
fn read(file: &mut File, stream: Stream, seen: &mut Seen) -> io::Result<u64> {
    let (mut length, mut buffer) = (0, vec![0; 64 * 1024]);
    while let count @ 1.. = file.read(&mut buffer)? {
        length += count as u64;
        seen.feed(stream, buffer.get(..count).unwrap_or_default());
    }
    Ok(length)
}

fn show(task: &Path, number: i32) -> io::Result<()> {
    attempts::show(task, number, "stdout")?;
    attempts::show(task, number, "stderr")
}
