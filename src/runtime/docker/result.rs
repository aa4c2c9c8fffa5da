//! The result file of a task, by the engine's archive PUT and GET: no shell is needed in the image.

use std::io::{self, Read};

use bollard::Docker;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::stream::StreamExt;

use super::engine_error::EngineError;
use super::host::Host;
use crate::runtime::exec::{ExecError, result_name};

/// Most that is taken of a result file, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Room for what a tar archive puts before the content: one header, and extended ones for a long name or large ids.
const MAX_HEADERS: usize = 8 * 1024;
/// Where the directory is made: the first of these that is there and can be written.
const PARENTS: [&str; 2] = ["/tmp", "/"];
/// The directory of all result files of a container. A task that runs `rm -rf /tmp/*` does not remove it.
const DIRECTORY: &str = ".poolkeeper-results";
/// Any user of the worker may write there.
const MODE: u32 = 0o777;
/// How the engine marks a directory in a mode (as Go does).
const IS_DIRECTORY: u32 = 1 << 31;

fn gone(error: EngineError) -> ExecError {
    ExecError::Worker(error.to_string())
}

/// A name for this attempt alone, in a directory that all attempts in the container share. See
/// [`crate::runtime::exec::Executor::result_path`].
///
/// To make a directory costs the engine as much as to run a command, so it is made once. To look whether it is there costs
/// next to nothing, and an earlier task may have removed it.
pub(super) async fn path(host: &Host, container: &str, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
    let docker = host.docker().await.map_err(gone)?;
    let directory = directory_of_results(host, &docker, container).await?;
    Ok(format!("{directory}/{}", result_name(dispatch, attempt)))
}

/// The directory, which is there.
async fn directory_of_results(host: &Host, docker: &Docker, container: &str) -> Result<String, ExecError> {
    let of = |parent: &str| format!("{}/{DIRECTORY}", parent.trim_end_matches('/'));
    for parent in PARENTS {
        if is_there(host, docker, container, &of(parent)).await? {
            return Ok(of(parent));
        }
    }
    let mut refused = None;
    for parent in PARENTS {
        match make_directory(host, docker, container, parent, DIRECTORY).await {
            Ok(()) => return Ok(of(parent)),
            // Not there, no directory, or mounted read-only.
            Err(error @ EngineError::Answer { .. }) => refused = Some(error),
            Err(error) => return Err(gone(error)),
        }
    }
    Err(ExecError::Worker(format!(
        "no directory for a result file can be made in container {container}: {}",
        refused.map_or_else(String::new, |error| error.to_string())
    )))
}

/// True if there is a directory that any user of the worker may write to. A link to one is none.
async fn is_there(host: &Host, docker: &Docker, container: &str, directory: &str) -> Result<bool, ExecError> {
    let options = ContainerArchiveInfoOptionsBuilder::default().path(directory).build();
    match docker.get_container_archive_info(container, Some(options)).await.map_err(|e| host.error(&e)) {
        Ok(found) => Ok(found.file_mode & IS_DIRECTORY != 0 && found.file_mode & MODE == MODE),
        Err(EngineError::Answer { .. }) => Ok(false),
        Err(error) => Err(gone(error)),
    }
}

/// Makes a directory in the container, in place of whatever has that name.
async fn make_directory(
    host: &Host,
    docker: &Docker,
    container: &str,
    parent: &str,
    name: &str,
) -> Result<(), EngineError> {
    let archive = directory(name)
        .map_err(|e| EngineError::Answer { status: 400, message: format!("cannot make an archive of {name}: {e}") })?;
    let options = UploadToContainerOptionsBuilder::default().path(parent).build();
    let put = docker.upload_to_container(container, Some(options), bollard::body_full(archive.into()));
    put.await.map_err(|e| host.error(&e))
}

/// An archive with one empty directory in it.
fn directory(name: &str) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(MODE);
    header.set_size(0);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    // Falls back on the formats' extensions where a name is too long for the header.
    archive.append_data(&mut header, format!("{name}/"), io::empty())?;
    archive.into_inner()
}

/// Reads the file. See [`crate::runtime::exec::Executor::take_result`].
pub(super) async fn take(host: &Host, container: &str, path: &str) -> Result<Option<Vec<u8>>, ExecError> {
    let docker = host.docker().await.map_err(gone)?;
    match get(host, &docker, container, path).await {
        Ok(archive) => {
            let content = first_file(&archive);
            // The engine cannot remove a file, but it can put a directory in its place, which is no result.
            if let (Some(_), Some((parent, name))) = (&content, path.rsplit_once('/')) {
                make_directory(host, &docker, container, parent, name).await.map_err(gone)?;
            }
            Ok(content)
        }
        // Both are 404: a file that is not there, and a container that is not there. Only the words for a file have its path.
        Err(EngineError::Answer { status: 404, message }) if message.contains(path) => Ok(None),
        Err(error) if error.is_not_found() => match docker.inspect_container(container, None).await {
            Ok(_) => Ok(None),
            Err(e) => Err(gone(host.error(&e))),
        },
        Err(error) => Err(gone(error)),
    }
}

/// Content of a file of a container; empty if there is no such file.
pub(super) async fn read_file(
    host: &Host,
    docker: &Docker,
    container: &str,
    path: &str,
) -> Result<Vec<u8>, EngineError> {
    match get(host, docker, container, path).await {
        Ok(archive) => Ok(first_file(&archive).unwrap_or_default()),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// As much of the archive as is looked at.
async fn get(host: &Host, docker: &Docker, container: &str, path: &str) -> Result<Vec<u8>, EngineError> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let mut pieces = std::pin::pin!(docker.download_from_container(container, Some(options)));
    let mut archive = Vec::new();
    while let Some(piece) = pieces.next().await {
        archive.extend_from_slice(&piece.map_err(|e| host.error(&e))?);
        if archive.len() >= MAX_BYTES + MAX_HEADERS {
            break;
        }
    }
    Ok(archive)
}

/// Content of the first entry, if it is a file. A link is not followed: it could point at anything.
fn first_file(archive: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let file = archive.entries().ok()?.next()?.ok()?;
    if !file.header().entry_type().is_file() {
        return None;
    }
    let mut content = Vec::new();
    file.take(MAX_BYTES as u64).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(kind: tar::EntryType, size: usize) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, "result.json", io::repeat(b'x').take(size as u64)).unwrap();
        archive.into_inner().unwrap()
    }

    #[test]
    fn a_file_is_taken_up_to_its_limit() {
        assert_eq!(first_file(&archive(tar::EntryType::Regular, 3)), Some(b"xxx".to_vec()));
        assert_eq!(first_file(&archive(tar::EntryType::Regular, 0)), Some(Vec::new()));
        let large = archive(tar::EntryType::Regular, 1 << 20);
        assert_eq!(first_file(&large[..MAX_BYTES + MAX_HEADERS]).map(|content| content.len()), Some(MAX_BYTES));
    }

    #[test]
    fn what_is_no_file_is_none() {
        assert_eq!(first_file(&archive(tar::EntryType::Directory, 0)), None);
        assert_eq!(first_file(&archive(tar::EntryType::Symlink, 0)), None);
        assert_eq!(first_file(b""), None);
    }

    #[test]
    fn the_directory_may_be_written_by_every_user_whatever_its_name() {
        for name in [DIRECTORY.to_owned(), "a".repeat(253)] {
            let bytes = directory(&name).unwrap();
            let mut archive = tar::Archive::new(&bytes[..]);
            let entry = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str().unwrap().trim_end_matches('/'), name);
            assert_eq!(
                (entry.header().mode().unwrap(), entry.header().entry_type()),
                (MODE, tar::EntryType::Directory)
            );
        }
    }
}
