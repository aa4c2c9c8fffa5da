//! What is kept of an object that was read.
//!
//! There is one of these for every object there is, for as long as it is there: of a Worker as the API server tells it,
//! two thirds of the memory is who wrote which field when, which nothing here asks.

use std::sync::Arc;

use kube::Resource;

use crate::api::{ContainerPool, Dispatch, Worker};

/// A kind of which a controller keeps what it was told.
pub(super) trait Kept: Resource + Sized {
    /// Gives back what its lists do not use.
    fn shrink(&mut self);

    /// The object without what nothing here reads. What is written names only what changes, so that nothing is lost there.
    fn kept(mut self) -> Arc<Self> {
        let meta = self.meta_mut();
        (meta.managed_fields, meta.labels, meta.owner_references) = (None, None, None);
        if let Some(finalizers) = &mut meta.finalizers {
            finalizers.shrink_to_fit();
        }
        self.shrink();
        Arc::new(self)
    }
}

impl Kept for ContainerPool {
    fn shrink(&mut self) {
        if let Some(status) = &mut self.status {
            status.conditions.shrink_to_fit();
        }
    }
}

impl Kept for Worker {
    fn shrink(&mut self) {
        if let Some(status) = &mut self.status {
            status.conditions.shrink_to_fit();
        }
    }
}

impl Kept for Dispatch {
    fn shrink(&mut self) {
        if let Some(status) = &mut self.status {
            status.conditions.shrink_to_fit();
        }
    }
}
