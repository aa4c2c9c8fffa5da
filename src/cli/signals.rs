//! Signals that stop a command: the first ends it in order, the second ends it at once.

use futures::StreamExt;
use futures::stream::select_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::output;

/// Listens for these signals from now on. The first one cancels the token. The second one ends the process, with `parting`
/// as its last words.
///
/// # Errors
/// The system refuses.
pub fn listen(kinds: &[SignalKind], parting: Option<&'static str>) -> std::io::Result<CancellationToken> {
    listen_or_exit(kinds, Exit::Interrupted, parting)
}

/// As [`listen`], with the exit code after the second signal.
///
/// # Errors
/// The system refuses.
pub fn listen_or_exit(
    kinds: &[SignalKind],
    exit: Exit,
    parting: Option<&'static str>,
) -> std::io::Result<CancellationToken> {
    let mut signals = Vec::new();
    for kind in kinds {
        let mut signal = signal(*kind)?;
        signals.push(Box::pin(async_stream::stream! {
            while signal.recv().await.is_some() {
                yield;
            }
        }));
    }
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        let mut signals = select_all(signals);
        if signals.next().await.is_some() {
            first.cancel();
        }
        if signals.next().await.is_some() {
            if let Some(parting) = parting {
                output::say(parting);
            }
            std::process::exit(exit.code().into());
        }
    });
    Ok(token)
}

/// Leaves out the signals that this process ignores: `nohup` asks for that.
pub fn unless_ignored(kinds: &[SignalKind]) -> Vec<SignalKind> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kinds.iter().copied().filter(|kind| !is_ignored(&status, kind.as_raw_value())).collect()
}

/// Waits for `work`, and answers `None` if a signal comes first. A signal that came before does not count; the next one
/// then ends the process at once.
pub async fn unless<T>(interrupted: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    if interrupted.is_cancelled() {
        return Some(work.await);
    }
    interrupted.run_until_cancelled(work).await
}

/// True if a signal is ignored, by the text of `/proc/PID/status`.
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
