//! How a pool stands now: what the page shows besides the view over time.

use serde::Serialize;

/// A pool, as it stands.
#[derive(Serialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Present {
    /// Dispatches that wait.
    pub waiting: u64,
    /// Attempts that are open.
    pub running: u64,
    /// True if the pool is paused.
    pub paused: bool,
    /// Why dispatches wait, the most frequent reason first. Those that wait for less than 10 s have none.
    pub waits: Vec<Wait>,
    /// What is not as it should be with the pool: a condition, its reason, its message.
    pub problems: Vec<[String; 3]>,
    /// What each worker does, in the order of the rows of the view.
    pub workers: Vec<WorkerNow>,
}

/// A reason why dispatches wait.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// One word.
    pub reason: String,
    /// In words, of one of them.
    pub message: Option<String>,
    /// How many wait for it.
    pub count: u64,
}

/// What a worker does.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct WorkerNow {
    /// In a word.
    pub doing: Doing,
    /// Name of the dispatch that it works for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<String>,
    /// End of its rest, in milliseconds after the begin of the view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// What it waits for or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a worker does, in a word.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Doing {
    /// It is not ready yet.
    Starting,
    /// It waits for a dispatch.
    Free,
    /// It works.
    Works,
    /// It gets no dispatch for a time.
    Rests,
    /// It is being deleted.
    Leaving,
    /// Its container is gone, or never became ready.
    Failed,
    /// There is none of its name.
    Gone,
}
