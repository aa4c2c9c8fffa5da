//! The last of what a worker's command said.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;

use crate::runtime::credentials::Secret;

/// Longest tail, in bytes.
const LONGEST: usize = 1024;
/// How long to wait for the end of the streams when nothing that could write to them is left.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads a command's output and remembers its end.
pub struct Tail {
    last: Arc<Mutex<Vec<u8>>>,
    readers: Mutex<JoinSet<()>>,
    secret: Option<Secret>,
}

impl Tail {
    /// Of nothing yet. `secret` will not show in it.
    pub fn new(secret: Option<Secret>) -> Self {
        Self { last: Arc::default(), readers: Mutex::default(), secret }
    }

    /// Reads a stream to its end.
    pub fn follow(&self, mut stream: impl AsyncRead + Unpin + Send + 'static) {
        // So much more, that a secret which is cut in two by the start of the tail is still recognised.
        let keep = LONGEST + self.secret.as_ref().map_or(0, |secret| secret.expose().len());
        let last = self.last.clone();
        lock(&self.readers).spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let mut last = lock(&last);
                last.extend_from_slice(buffer.get(..count).unwrap_or_default());
                let surplus = last.len().saturating_sub(keep);
                last.drain(..surplus);
            }
        });
    }

    /// The tail, when the streams have ended.
    pub async fn finish(self) -> String {
        let mut readers = self.readers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = async { while readers.join_next().await.is_some() {} };
        // What holds them open longer is outside this worker: it was handed a descriptor.
        let _ = tokio::time::timeout(PATIENCE, end).await;
        let text = String::from_utf8_lossy(&lock(&self.last)).into_owned();
        let text = self.secret.map_or_else(|| text.clone(), |secret| secret.redact(&text));
        let mut from = text.len().saturating_sub(LONGEST);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text.get(from..).unwrap_or_default().to_owned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tail_is_short_and_hides_the_secret() {
        let tail = Tail::new(Some(Secret::new("sesame-open")));
        // The tail would start within the secret.
        let text = format!("{}sesame-open{}", "x".repeat(5000), "y".repeat(LONGEST - 5));
        tail.follow(std::io::Cursor::new(text));
        let text = tail.finish().await;
        assert!(text.len() <= LONGEST);
        assert!(!text.contains("open"), "{text}");
        assert!(text.ends_with(&"y".repeat(LONGEST - 5)));
    }
}
