//! The last of what a worker's command said.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;

use crate::runtime::credentials::{Ending, Redactor, Secret};

/// Longest tail, in bytes.
const LONGEST: usize = 1024;
/// How long to wait for the end of the streams when nothing that could write to them is left.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads a command's output and remembers its end.
pub struct Tail {
    last: Arc<Mutex<Ending>>,
    readers: Mutex<JoinSet<()>>,
    secret: Option<Secret>,
}

impl Tail {
    /// Of nothing yet. `secret` will not show in it.
    pub fn new(secret: Option<Secret>) -> Self {
        Self { last: Arc::new(Mutex::new(Ending::new(LONGEST))), readers: Mutex::default(), secret }
    }

    /// Reads a stream to its end.
    pub fn follow(&self, mut stream: impl AsyncRead + Unpin + Send + 'static) {
        let (last, mut redactor) = (self.last.clone(), Redactor::new(self.secret.as_ref()));
        lock(&self.readers).spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                lock(&last).push(&mut redactor, buffer.get(..count).unwrap_or_default());
            }
            lock(&last).close(&mut redactor);
        });
    }

    /// The tail, when the streams have ended.
    pub async fn finish(self) -> String {
        let mut readers = self.readers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = async { while readers.join_next().await.is_some() {} };
        // What holds them open longer is outside this worker: it was handed a descriptor.
        let _ = tokio::time::timeout(PATIENCE, end).await;
        lock(&self.last).text()
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

    #[tokio::test]
    async fn a_command_that_repeats_the_secret_shows_none_of_it() {
        let token = "0123456789abcdefghijklmnopqrstuvwxyzABCD";
        let tail = Tail::new(Some(Secret::new(token)));
        tail.follow(std::io::Cursor::new(format!("auth: {token}\n").repeat(50)));
        let text = tail.finish().await;
        assert!(!token.as_bytes().windows(4).any(|part| text.as_bytes().windows(4).any(|w| w == part)), "{text}");
        assert!(text.ends_with("auth: ***\nauth: ***\n"), "{text}");
    }
}
