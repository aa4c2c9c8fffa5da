//! Ctrl-C: the first ends the run in order, the second ends it at once.

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::exit;

/// From now on signals are ours. The token is cancelled by the first.
///
/// # Errors
/// The system refuses.
pub fn listen() -> std::io::Result<CancellationToken> {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    for signal in &mut signals {
        if let Err(error) = signal {
            return Err(std::io::Error::new(error.kind(), error.to_string()));
        }
    }
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else { return };
        next(&mut interrupt, &mut terminate, &mut hangup).await;
        first.cancel();
        next(&mut interrupt, &mut terminate, &mut hangup).await;
        let _ = writeln!(
            std::io::stderr(),
            "poolkeeper: left at once; process workers end by themselves, containers are removed by the next run on Docker"
        );
        std::process::exit(exit::INTERRUPTED.into());
    });
    Ok(token)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal, hangup: &mut Signal) {
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
