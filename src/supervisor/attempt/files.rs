//! What an attempt printed, on the disk.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::runtime::exec::Output;
use crate::supervisor::batch::attempts;

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
        if let Some(number) = number {
            attempts::show(task, number, "stdout")?;
            attempts::show(task, number, "stderr")?;
        }
        Ok(files)
    }

    pub(super) fn write(&mut self, piece: &Output) -> io::Result<()> {
        match piece {
            Output::Stdout(data) => self.stdout.write_all(data),
            Output::Stderr(data) => self.stderr.write_all(data),
        }
    }
}
