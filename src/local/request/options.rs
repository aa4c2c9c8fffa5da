//! The options of each verb.
use std::time::Duration;

use crate::local::request::select::Selector;

/// The options of a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteOptions {
    pub dry_run: bool,
    pub unknown_fields: UnknownFields,
}

/// How unknown fields are treated (`fieldValidation`). They are never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    Refuse,
    Warn,
    Ignore,
}

/// Where a new version of an object comes from. It decides how mistakes in it are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Body,
    Patch,
}

/// The part of an object that a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything, except the status if that is a subresource.
    Main,
    Status,
}

/// The options of a delete.
#[derive(Debug, Default)]
pub(crate) struct DeleteOptions {
    pub propagation: Propagation,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

/// What becomes of the objects that a deleted object owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They are deleted after it.
    #[default]
    Background,
    /// Those that block its deletion are deleted before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// The options of a list.
pub(crate) struct ListOptions {
    pub selector: Selector,
    /// 0: no limit.
    pub limit: usize,
    pub token: Option<String>,
    pub resource_version: Option<u64>,
    /// `resourceVersionMatch=Exact`.
    pub exact: bool,
}

/// The options of a watch.
pub(crate) struct WatchOptions {
    pub selector: Selector,
    /// `None` and 0: from the current state.
    pub resource_version: Option<u64>,
    pub bookmarks: bool,
    pub timeout: Option<Duration>,
}

/// The form of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Table(Include),
}

/// What a row of a Table has of its object (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}
