//! Why the server does not go down.

use crate::standalone::names::some;

/// Why the server does not go down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 409 if attempts are open, 500 if something failed.
    pub code: u16,
    /// In words.
    pub message: String,
}

impl Refusal {
    pub(super) fn busy(open: &[String]) -> Self {
        let are = if open.len() == 1 { "attempt is" } else { "attempts are" };
        let message = format!(
            "{} {are} open: {}. Wait for the end with --wait, or end them with --force, which counts as the loss of their workers",
            open.len(),
            some(open)
        );
        Self { code: 409, message }
    }

    /// True if attempts are open.
    pub(super) fn is_busy(&self) -> bool {
        self.code == 409
    }

    pub(super) fn failed(message: String) -> Self {
        Self { code: 500, message }
    }
}
