//! How the end of an instance is described.

use crate::api::Worker;
use crate::core::Core;
use crate::core::state::instances::InstanceView;
use crate::runtime::Exit;

/// Describes the end of an instance.
pub fn describe(exit: &Exit) -> String {
    if exit.from_outside {
        return exit.tail.clone();
    }
    let mut text = match (exit.code, exit.out_of_memory) {
        (_, true) => "killed: out of memory".to_owned(),
        (Some(code), _) if code > 128 => format!("ended by signal {}", code - 128),
        (Some(code), _) => format!("exited with code {code}"),
        (None, _) => "ended".to_owned(),
    };
    let tail = exit.tail.trim_end();
    if !tail.is_empty() {
        text.push_str("; last output: ");
        text.push_str(tail);
    }
    text
}

/// Describes the end of a worker's instance, and when it ended. If its command just finished: with advice.
pub(super) fn describe_worker(exit: &Exit, when: &str) -> String {
    if exit.from_outside {
        return format!("{}{when}", describe(exit));
    }
    let advice = if exit.code == Some(0) {
        " (a worker must keep running: set spec.command to something that waits, such as [\"sleep\", \"infinity\"])"
    } else {
        ""
    };
    format!("worker {}{when}{advice}", describe(exit))
}

impl Core {
    /// Describes the end of a worker's instance, as far as it is known.
    pub(in crate::core) fn describe_end(&self, w: &Worker) -> String {
        match self.instances.view_of(w) {
            Some(InstanceView::Ended(exit)) => describe_worker(exit, ""),
            _ => "the worker's instance is gone".to_owned(),
        }
    }
}
