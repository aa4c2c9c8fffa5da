//! A ContainerPool.

mod assign;
mod backoff;
mod decide;
mod explain;
mod requests;
mod scale;
mod status;
mod template;
mod update;
