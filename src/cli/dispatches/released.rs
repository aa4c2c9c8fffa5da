//! Waiting until the worker of a finished Dispatch is free of it.

use std::time::Duration;

use crate::api::Dispatch;
use crate::cli::exit::Failure;
use crate::cli::server::Server;
use crate::supervisor::released::is_released;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until the worker is free.
///
/// # Errors
/// The server fails.
pub async fn released(server: &Server, dispatch: &Dispatch) -> Result<(), Failure> {
    let workers = server.api();
    while !is_released(&workers, dispatch).await.map_err(|e| server.failed(&e))? {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
