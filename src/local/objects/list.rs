//! Lists, whole or in pages, and deletion of all objects of a list.
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;

use crate::local::objects::api::Api;
use crate::local::request::options::{DeleteOptions, Form, ListOptions};
use crate::local::request::select::Selector;
use crate::local::response::json::{self, Rest};
use crate::local::response::status::ApiError;
use crate::local::response::table;
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::committed::{Committed, Page};
use crate::local::store::object::Stored;

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

impl Api {
    /// # Errors
    /// 410 for an old page or an old exact resourceVersion, 504 for one in the future, 400 for a bad token.
    pub fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        options: &ListOptions,
        form: Form,
    ) -> Result<Bytes, ApiError> {
        let state = &mut *self.lock();
        if let Some(token) = &options.token {
            return self.next_page(state, kind, token, options.limit, form);
        }
        let revision = state.revision();
        if let Some(asked) = options.resource_version {
            let log = state.log(kind.store);
            if asked > revision {
                return Err(ApiError::future_version(asked, revision));
            }
            if options.exact && asked != revision && (!log.reaches(asked) || log.after(asked).next().is_some()) {
                return Err(ApiError::expired("The resourceVersion for the provided list is too old."));
            }
        }
        let items = self.select(state, kind, namespace, &options.selector);
        // For version 0 the real server reads its cache, which has no pages.
        if options.limit == 0 || options.resource_version == Some(0) || items.len() <= options.limit {
            return Ok(self.listed(kind, &items, revision, None, form));
        }
        let items: Arc<[Arc<Stored>]> = items.into();
        let page = state.keep_page(items, options.selector.is_empty());
        Ok(self.page(kind, page, 0, options.limit, form))
    }

    fn next_page(
        &self,
        state: &Committed,
        kind: &Kind,
        token: &str,
        limit: usize,
        form: Form,
    ) -> Result<Bytes, ApiError> {
        let bad = || ApiError::bad_request("continue key is not valid");
        let text = BASE64.decode(token).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(bad)?;
        let (id, start) = text.split_once(':').ok_or_else(bad)?;
        let (id, start) = (id.parse().map_err(|_| bad())?, start.parse::<usize>().map_err(|_| bad())?);
        let page = state.page(id).ok_or_else(|| {
            ApiError::expired("The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.")
        })?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        Ok(self.page(kind, page, start.min(page.items.len()), limit, form))
    }

    fn page(&self, kind: &Kind, page: &Page, start: usize, limit: usize, form: Form) -> Bytes {
        let end = start.saturating_add(limit).min(page.items.len());
        let left = page.items.len() - end;
        let rest = (left > 0).then(|| (BASE64.encode(format!("{}:{end}", page.id)), page.counted.then_some(left)));
        self.listed(kind, &page.items[start..end], page.revision, rest, form)
    }

    fn listed(&self, kind: &Kind, items: &[Arc<Stored>], revision: u64, rest: Option<Rest>, form: Form) -> Bytes {
        match form {
            Form::Json => json::list(kind, items, revision, rest),
            Form::Table(include) => table::list(kind, items, revision, rest, include, self.clock.now()),
        }
    }

    /// The current objects that a selector selects.
    pub(crate) fn select(
        &self,
        state: &Committed,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Vec<Arc<Stored>> {
        let mut items = state.list(kind.store, namespace);
        if !selector.is_empty() {
            items.retain(|s| selector.matches(&kind.view(&s.object)));
        }
        items
    }

    /// Deletes all objects that a list would show, each in a commit of its own, as a kube-apiserver does: with one commit for
    /// all, a large collection would keep every other request waiting. Answers with that list.
    ///
    /// # Errors
    /// 409 for a failed precondition, at the first object that fails it. Objects before it stay deleted.
    pub async fn delete_collection(
        self: &Arc<Self>,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &Selector,
        options: &DeleteOptions,
    ) -> Result<Bytes, ApiError> {
        let (items, revision) = {
            let state = self.lock();
            (self.select(&state, kind, namespace, selector), state.revision())
        };
        for item in &items {
            let (namespace, name) = (meta::text(&item.object, "namespace"), meta::text(&item.object, "name"));
            match self.delete(kind, namespace, name, options).await {
                // The garbage collection of an object before it has deleted this one.
                Err(e) if e.code == 404 => {}
                result => _ = result?,
            }
        }
        Ok(json::list(kind, &items, revision, None))
    }
}
