//! One worker over time.

use crate::dashboard::view::{Rest, Row};

/// A worker, and everything of that name before it.
#[derive(Debug)]
pub(super) struct Worker {
    ordinal: i32,
    row: Row,
    /// Since when it is up.
    up_since: Option<i64>,
    /// Since when an attempt runs in it.
    works: Option<i64>,
}

impl Worker {
    pub(super) fn new(name: &str, ordinal: Option<i32>) -> Self {
        let row = Row { name: name.to_owned(), ..Row::default() };
        Self { ordinal: ordinal.unwrap_or(i32::MAX), row, up_since: None, works: None }
    }

    /// Its place among the rows: by ordinal, so pool-10 comes after pool-9.
    pub(super) fn order(&self) -> (i32, String) {
        (self.ordinal, self.row.name.clone())
    }

    pub(super) fn credential(&self) -> Option<&str> {
        self.row.credential.as_deref()
    }

    pub(super) const fn is_up(&self) -> bool {
        self.up_since.is_some()
    }

    pub(super) fn ready(&mut self, now: i64, credential: Option<String>) {
        if !self.is_up() {
            // Of a worker of that name before it.
            self.cut_rest(now);
        }
        self.up_since.get_or_insert(now);
        self.row.credential = credential.or_else(|| self.row.credential.take());
    }

    pub(super) fn gone(&mut self, now: i64) {
        self.cut_rest(now);
        self.close(now);
    }

    /// Nothing more is known of it.
    pub(super) fn close(&mut self, now: i64) {
        self.end(now);
        if let Some(since) = self.up_since.take() {
            self.row.up.push([since, now]);
        }
    }

    pub(super) fn start(&mut self, now: i64) {
        // Its rest was ended by hand, or this is the attempt that tries whether the limit still holds.
        self.cut_rest(now);
        self.up_since.get_or_insert(now);
        self.works.get_or_insert(now);
    }

    pub(super) fn end(&mut self, now: i64) {
        if let Some(since) = self.works.take() {
            self.row.worked += now - since;
        }
    }

    /// It rests. A rest that goes on is replaced.
    pub(super) fn rest(&mut self, now: i64, until: i64, after: usize) {
        self.cut_rest(now);
        self.row.rests.push(Rest { from: now, until, after: Some(after) });
    }

    /// The end of its rest, or a time that has passed.
    pub(super) fn rests_until(&self, now: i64) -> i64 {
        self.row.rests.last().map_or(now, |rest| rest.until)
    }

    /// What is shown of it, at the end of the run. `left_out`: attempts that are not shown.
    pub(super) fn row(&self, end: i64, left_out: usize) -> Row {
        let mut row = self.row.clone();
        row.rested = row.rests.iter().map(|rest| rest.until.min(end) - rest.from).sum();
        for rest in &mut row.rests {
            rest.after = rest.after.and_then(|after| after.checked_sub(left_out));
        }
        row
    }

    fn cut_rest(&mut self, now: i64) {
        if let Some(rest) = self.row.rests.last_mut() {
            rest.until = rest.until.min(now);
            if rest.until <= rest.from {
                self.row.rests.pop();
            }
        }
    }
}
