//! Ctrl-C: the first ends the run in order, the second ends it at once.

use std::io::Write;

use futures::StreamExt;
use futures::stream::select_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::exit;

/// What becomes of workers that were not waited for.
pub const LEFT: &str =
    "left at once; process workers end by themselves, containers are removed by the next run on Docker";

/// From now on signals are ours. The token is cancelled by the first. One that is ignored stays so: that is what `nohup`
/// asks for.
///
/// # Errors
/// The system refuses.
pub fn listen() -> std::io::Result<CancellationToken> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        if !is_ignored(&status, kind.as_raw_value()) {
            let mut signal = signal(kind)?;
            signals.push(Box::pin(async_stream::stream! {
                while signal.recv().await.is_some() {
                    yield;
                }
            }));
        }
    }
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        let mut signals = select_all(signals);
        if signals.next().await.is_some() {
            first.cancel();
        }
        if signals.next().await.is_some() {
            let _ = writeln!(std::io::stderr(), "poolkeeper: {LEFT}");
            std::process::exit(exit::INTERRUPTED.into());
        }
    });
    Ok(token)
}

/// Waits for something unless it is interrupted: `None`. The interrupt that ended the run before does not count; another
/// one then leaves at once.
pub async fn unless<T>(interrupted: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    if interrupted.is_cancelled() {
        return Some(work.await);
    }
    interrupted.run_until_cancelled(work).await
}

/// Whether a signal is ignored, from `/proc/PID/status`.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).is_some_and(|mask| mask & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_interrupt_is_heard_while_the_end_is_waited_for() {
        let token = CancellationToken::new();
        let (end, ()) = tokio::join!(unless(&token, std::future::pending::<()>()), async { token.cancel() });
        assert_eq!(end, None);
        let slow = async {
            tokio::task::yield_now().await;
            1
        };
        assert_eq!(unless(&token, slow).await, Some(1));
    }

    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        let ignored: Vec<i32> = (1..=64).filter(|n| is_ignored(status, *n)).collect();
        assert_eq!(ignored, [1, 13]);
        assert!(!is_ignored("", 1));
    }
}
