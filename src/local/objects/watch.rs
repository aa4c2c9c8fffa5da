//! Watches. Each reads the log of its kind at its own pace, so a slow watch delays nothing and needs no memory.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use futures::Stream;
use tokio::time::sleep;

use crate::local::objects::api::Api;
use crate::local::record::Change;
use crate::local::request::options::{Form, WatchOptions};
use crate::local::request::select::Selector;
use crate::local::response::json::{self, bookmark_line, error_line, event_line};
use crate::local::response::status::ApiError;
use crate::local::response::table;
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::log::WatchEvent;
use crate::local::store::object::Stored;

/// The time between two bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// How long a watch lasts if the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
/// How many events one piece of the body has at most.
const BATCH: usize = 256;
/// A piece of that many bytes gets no further event. Each watch holds one piece for as long as its client reads nothing.
const PIECE: usize = 64 * 1024;

/// One watch: what it selects, and how far it has read.
struct Watcher {
    api: Arc<Api>,
    kind: Arc<Kind>,
    namespace: Option<String>,
    selector: Selector,
    seen: u64,
    form: Form,
    /// Whether a Table was sent already: the columns are in the first alone.
    headed: bool,
}

enum Next {
    Events(Vec<u8>),
    Nothing,
    /// The next event is no longer in the log.
    Gone(Vec<u8>),
}

/// Starts a watch. The stream ends at the timeout, or after an ERROR event.
pub(crate) fn watch(
    api: Arc<Api>,
    kind: Arc<Kind>,
    namespace: Option<String>,
    options: WatchOptions,
    form: Form,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let mut initial = Vec::new();
    let mut seen = options.resource_version.unwrap_or_default();
    let (changed, too_old) = {
        let state = api.lock();
        let log = state.log(kind.store);
        if seen == 0 {
            initial = api.select(&state, &kind, namespace.as_deref(), &options.selector);
            seen = state.revision();
        }
        let too_old = (!log.reaches(seen)).then(|| too_old(seen, state.revision()));
        (Arc::clone(&log.changed), too_old)
    };
    let mut watcher = Watcher { api, kind, namespace, selector: options.selector, seen, form, headed: false };
    stream! {
        if let Some(error) = too_old {
            yield Ok(error_line(&error).into());
            return;
        }
        let mut initial = initial.into_iter();
        while let Some(first) = initial.next() {
            yield Ok(watcher.added(first, &mut initial).into());
        }
        drop(initial);
        let mut end = Box::pin(sleep(options.timeout.unwrap_or(DEFAULT_TIMEOUT)));
        let mut bookmark = Box::pin(sleep(BOOKMARK_EVERY));
        loop {
            // It must listen before it looks: a change in between would be missed.
            let mut change = Box::pin(changed.notified());
            change.as_mut().enable();
            match watcher.next() {
                Next::Events(lines) => {
                    yield Ok(lines.into());
                    continue;
                }
                Next::Gone(line) => {
                    yield Ok(line.into());
                    return;
                }
                Next::Nothing => {}
            }
            tokio::select! {
                biased;
                () = &mut change => {}
                () = &mut end => {
                    if options.bookmarks {
                        yield Ok(watcher.bookmark().into());
                    }
                    return;
                }
                () = &mut bookmark => {
                    bookmark = Box::pin(sleep(BOOKMARK_EVERY));
                    if options.bookmarks {
                        yield Ok(watcher.bookmark().into());
                    }
                }
            }
        }
    }
}

fn too_old(seen: u64, current: u64) -> ApiError {
    ApiError::expired(format!("too old resource version: {seen} ({current})"))
}

impl Watcher {
    /// The next events that it selects, from at most [`BATCH`] events of the log, and no more than a piece of them.
    fn next(&mut self) -> Next {
        let mut lines = Vec::new();
        let mut looked_at;
        loop {
            let events: Vec<WatchEvent> = {
                let state = self.api.lock();
                let log = state.log(self.kind.store);
                if !log.follows(self.seen) {
                    let error = too_old(self.seen, state.revision());
                    drop(state);
                    return Next::Gone(error_line(&error));
                }
                log.after(self.seen).take(BATCH).cloned().collect()
            };
            looked_at = events.len();
            for event in events {
                self.seen = event.now.revision;
                if self.namespace.as_ref().is_none_or(|ns| *ns == event.namespace) {
                    self.line(&mut lines, &event);
                }
                if lines.len() >= PIECE {
                    break;
                }
            }
            if !lines.is_empty() {
                return Next::Events(lines);
            }
            if looked_at == 0 {
                return Next::Nothing;
            }
        }
    }

    /// The event as this watch sees it: an object that leaves the selection is deleted, one that enters it is added.
    fn line(&mut self, out: &mut Vec<u8>, event: &WatchEvent) {
        let selects = |s: &Stored| self.selector.is_empty() || self.selector.matches(&self.kind.view(&s.object));
        let now = event.change != Change::Deleted && selects(&event.now);
        let before = event.before.as_deref().is_some_and(selects);
        let event_type = match (before, now) {
            (false, false) => return,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let object = match &event.before {
            Some(before) if !now && event.change != Change::Deleted => {
                let mut object = (*before.object).clone();
                meta::of(&mut object).insert("resourceVersion".into(), event.now.revision.to_string().into());
                self.object(&Stored::new(event.now.revision, object))
            }
            _ => self.object(&event.now),
        };
        event_line(out, event_type, &object);
    }

    fn object(&mut self, stored: &Stored) -> Bytes {
        match self.form {
            Form::Json => json::object(&self.kind, stored),
            Form::Table(include) => {
                let first = !std::mem::replace(&mut self.headed, true);
                table::one(&self.kind, stored, first, include, self.api.clock.now())
            }
        }
    }

    /// One object that is there at the start, and more of them, up to a piece.
    fn added(&mut self, first: Arc<Stored>, more: &mut impl Iterator<Item = Arc<Stored>>) -> Vec<u8> {
        let mut lines = Vec::new();
        let mut next = Some(first);
        while let Some(item) = next {
            let object = self.object(&item);
            event_line(&mut lines, "ADDED", &object);
            next = if lines.len() < PIECE { more.next() } else { None };
        }
        lines
    }

    /// A bookmark: nothing up to this revision was missed. The revision is the newest only if all events were read.
    fn bookmark(&mut self) -> Vec<u8> {
        let state = self.api.lock();
        if state.log(self.kind.store).after(self.seen).next().is_none() {
            self.seen = self.seen.max(state.revision());
        }
        bookmark_line(&self.kind, self.seen)
    }
}
