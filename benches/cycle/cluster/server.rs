//! What the API server itself says of the requests that it got.

use std::collections::BTreeMap;

use kube::Client;

/// Requests, by group, resource, subresource, verb and code; and writes that reached the store, by type.
#[derive(Clone, Default)]
pub struct Counters {
    requests: BTreeMap<[String; 5], u64>,
    stored: BTreeMap<String, u64>,
}

/// One series of the text format: labels and value.
fn series<'a>(line: &'a str, name: &str) -> Option<(BTreeMap<&'a str, &'a str>, u64)> {
    let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
    // Values that hold commas or quotes (paths, versions) are none of those read here.
    let labels = labels.split("\",").filter_map(|l| l.split_once("=\"")).map(|(k, v)| (k, v.trim_end_matches('"')));
    Some((labels.collect(), value.parse::<f64>().ok()? as u64))
}

impl Counters {
    /// As they are now.
    pub async fn read(client: &Client) -> Self {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let text = client.request_text(request).await.expect("the API server's metrics");
        let mut all = Self::default();
        for line in text.lines() {
            if let Some((l, n)) = series(line, "apiserver_request_total") {
                let key = ["group", "resource", "subresource", "verb", "code"].map(|k| l[k].to_owned());
                *all.requests.entry(key).or_default() += n;
            } else if let Some((l, n)) = series(line, "etcd_request_duration_seconds_count")
                && l["operation"] == "update"
            {
                *all.stored.entry(l["type"].to_owned()).or_default() += n;
            }
        }
        all
    }

    /// What came since `before`.
    pub fn since(&self, before: &Self) -> Self {
        fn minus<K: Ord + Clone>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
            now.iter().map(|(k, n)| (k.clone(), n - before.get(k).unwrap_or(&0))).filter(|(_, n)| *n > 0).collect()
        }
        Self { requests: minus(&self.requests, &before.requests), stored: minus(&self.stored, &before.stored) }
    }

    fn sum(&self, wanted: impl Fn(&[String; 5]) -> bool) -> u64 {
        self.requests.iter().filter(|(k, _)| wanted(k)).map(|(_, n)| n).sum()
    }

    /// What the benchmark and the controller did with Dispatches, Workers and pools, and their Events.
    pub fn cycle(&self) -> Cycle {
        let ours = |k: &[String; 5]| k[0] == "poolkeeper.dev";
        let write = |k: &[String; 5]| ["POST", "PUT", "PATCH", "DELETE"].contains(&k[3].as_str());
        let done = |k: &[String; 5]| k[4].starts_with('2');
        let patched = |resource: &str| {
            self.sum(|k| ours(k) && k[1] == resource && k[2] == "status" && k[3] == "PATCH" && done(k))
        };
        let all_patched = |resource: &str| self.sum(|k| ours(k) && k[1] == resource && k[3] == "PATCH" && done(k));
        let stored = |resource: &str| *self.stored.get(&format!("{resource}.poolkeeper.dev")).unwrap_or(&0);
        let no_ops = |resource: &str| all_patched(resource).saturating_sub(stored(resource));
        Cycle {
            dispatch_status: patched("dispatches"),
            worker_status: patched("workers"),
            supervisor: self.sum(|k| {
                ours(k)
                    && k[1] == "dispatches"
                    && k[2].is_empty()
                    && ["POST", "PATCH"].contains(&k[3].as_str())
                    && done(k)
            }),
            deletes: self.sum(|k| ours(k) && k[3] == "DELETE" && done(k)),
            roll_ups: patched("containerpools"),
            events: self.sum(|k| k[1] == "events" && k[3] == "POST"),
            reads: self.sum(|k| ours(k) && k[3] == "GET"),
            refused: self.sum(|k| ours(k) && write(k) && !done(k)),
            no_ops: no_ops("dispatches") + no_ops("workers") + no_ops("containerpools"),
            writes: self.sum(|k| ours(k) && write(k) && done(k)),
        }
    }

    /// Writes of the controller while nothing is asked of it: (its own kinds and Events, Pods, Leases outside of
    /// kube-node-lease). kwok's nodes renew theirs, so the caller tells Leases apart.
    pub fn describe(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<String> {
        self.requests
            .iter()
            .filter(|(k, _)| ["POST", "PUT", "PATCH", "DELETE"].contains(&k[3].as_str()) && wanted(&k[0], &k[1]))
            .map(|(k, n)| format!("{n} {} {}{}{} ({})", k[3], k[1], if k[2].is_empty() { "" } else { "/" }, k[2], k[4]))
            .collect()
    }
}

/// Requests of one scenario.
#[derive(Clone, Copy, Debug)]
pub struct Cycle {
    pub dispatch_status: u64,
    pub worker_status: u64,
    /// Creations of Dispatches and reports: the benchmark's own.
    pub supervisor: u64,
    pub deletes: u64,
    pub roll_ups: u64,
    pub events: u64,
    pub reads: u64,
    /// Writes that did not succeed: conflicts above all.
    pub refused: u64,
    /// PATCHes that changed nothing, and did not reach the store.
    pub no_ops: u64,
    /// All successful writes of the three kinds, by any client.
    pub writes: u64,
}

impl Cycle {
    /// The design's "writes per dispatch": of the controller, on Worker and Dispatch.
    pub fn own(&self) -> u64 {
        self.dispatch_status + self.worker_status
    }

    /// Percent of the controller's writes.
    pub fn wasted(&self) -> f64 {
        let wasted = self.refused + self.no_ops;
        100.0 * wasted as f64 / (self.own() + self.roll_ups + self.deletes + self.refused) as f64
    }
}
