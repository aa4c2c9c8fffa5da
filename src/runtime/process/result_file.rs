//! Taking the result file that a task left.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio::io::AsyncReadExt;

/// Longest result file that is read, in bytes.
const MAX_RESULT: u64 = 64 * 1024;

/// Reads and removes a file that a task made: whatever that is, this neither waits nor follows a link.
///
/// # Errors
/// It is not there, is no regular file, or cannot be read.
pub async fn take(path: &Path) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = tokio::fs::OpenOptions::from(options).open(path).await?;
    let mut bytes = Vec::new();
    if file.metadata().await?.is_file() {
        file.take(MAX_RESULT).read_to_end(&mut bytes).await?;
    } else {
        return Err(io::Error::other("not a regular file"));
    }
    tokio::fs::remove_file(path).await?;
    Ok(bytes)
}
