//! What the command of a container printed.

use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::stream::{BoxStream, StreamExt};

use super::host::Host;
use crate::runtime::exec::{ExecError, Output};

/// See [`super::DockerExecutor::logs`].
pub(super) async fn logs(
    host: Arc<Host>,
    container: &str,
    tail: Option<u64>,
    follow: bool,
) -> Result<BoxStream<'static, Result<Output, String>>, ExecError> {
    let docker = host.docker().await.map_err(|e| ExecError::Worker(e.to_string()))?;
    let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail).follow(follow).build();
    let pieces = docker.logs(container, Some(options)).map(move |piece| match piece {
        Ok(LogOutput::StdErr { message }) => Ok(Output::Stderr(message)),
        Ok(piece) => Ok(Output::Stdout(piece.into_bytes())),
        Err(error) => Err(host.error(&error).to_string()),
    });
    Ok(pieces.boxed())
}
