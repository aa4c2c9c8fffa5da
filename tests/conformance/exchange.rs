//! Requests and their answers, without what differs from run to run, and the answers recorded from a real server.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use http_body_util::BodyExt;
use regex::Regex;
use serde_json::{Value, json};

use crate::subject::*;

pub const MERGE: &str = "application/merge-patch+json";
pub const JSON: &str = "application/json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// One request. `$uid.NAME`, `$version.NAME`, `$first.NAME` (its first version), `$list` (the version of the last list)
/// and `$continue` stand for what earlier answers said.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `WATCH` opens a watch and reads as many events as the body says.
    pub method: &'static str,
    /// Below the gadgets, or from `/api` on.
    pub path: String,
    pub media: &'static str,
    pub body: Value,
    /// Only code and reason have to agree.
    loosely: bool,
}

pub fn ask(method: &'static str, path: &str, media: &'static str, body: Value) -> Ask {
    Ask { method, path: path.to_owned(), media, body, loosely: false }
}

impl Ask {
    /// For answers that speak of the insides of the real server: of types of Go, or of its JSON library.
    pub fn loosely(self) -> Self {
        Self { loosely: true, ..self }
    }
}

/// A conversation with one server.
pub struct Talk<'a> {
    subject: &'a Subject,
    uids: BTreeMap<String, String>,
    versions: BTreeMap<String, String>,
    /// What `$…` stands for.
    known: BTreeMap<String, String>,
    /// For scenarios in which managed fields alone make versions on a real server.
    pub versions_differ: bool,
    /// Whether the last request was about a kind that is Go's, not a CRD's.
    built_in: bool,
}

impl<'a> Talk<'a> {
    pub fn new(subject: &'a Subject) -> Self {
        Self {
            subject,
            uids: BTreeMap::new(),
            versions: BTreeMap::new(),
            known: BTreeMap::new(),
            versions_differ: false,
            built_in: false,
        }
    }

    /// Sends a request; returns code, warnings and body as text that is the same in every run.
    pub async fn say(&mut self, ask: &Ask) -> String {
        let path = if ask.path.starts_with("/api") { ask.path.clone() } else { format!("{GADGETS}{}", ask.path) };
        let path = self.fill(&path);
        self.built_in = !path.contains("poolkeeper.dev");
        if ask.method == "WATCH" {
            return self.watch(&path, ask.body.as_u64().unwrap()).await;
        }
        let body = if ask.body.is_null() { String::new() } else { self.fill(&ask.body.to_string()) };
        let (code, warnings, bytes) = self.subject.send(ask.method, &path, ask.media, body.into_bytes()).await;
        let mut answer: Value =
            serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
        self.learn(&answer);
        self.level(&mut answer);
        // What cannot be read is described in terms of Go, and with all managed fields.
        let unread = ["error decoding patch", "couldn't get version/kind", "cannot unmarshal"];
        let message = answer["message"].as_str().unwrap_or_default();
        let told_otherwise =
            answer["details"]["causes"][0]["field"] == "patch" || unread.iter().any(|text| message.contains(text));
        if ask.loosely || told_otherwise {
            return format!("{code} {}\n", answer["reason"].as_str().unwrap_or_default());
        }
        let mut text = format!("{code} {}\n", cut(&answer.to_string()));
        for warning in warnings {
            writeln!(text, "warning: {}", cut(&warning)).unwrap();
        }
        text
    }

    async fn watch(&mut self, path: &str, count: u64) -> String {
        const PATIENCE: Duration = Duration::from_secs(20);
        let path = format!("{path}{}watch=true", if path.contains('?') { "&" } else { "?" });
        let path = path.replace("namespaces/NS", &format!("namespaces/{}", self.subject.namespace));
        let request = http::Request::get(path).body(Vec::new().into()).unwrap();
        let response = self.subject.client.send(request).await.unwrap();
        let (mut text, mut bytes) = (format!("{}\n", response.status().as_u16()), Vec::new());
        let mut body = response.into_body();
        let mut left = count;
        while left > 0 {
            let Ok(frame) = tokio::time::timeout(PATIENCE, body.frame()).await else {
                text += "nothing more\n";
                break;
            };
            let Some(frame) = frame else {
                text += "end\n";
                break;
            };
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
            while let Some(end) = bytes.iter().position(|b| *b == b'\n').filter(|_| left > 0) {
                let mut event: Value = serde_json::from_slice(&bytes[..end]).unwrap();
                bytes.drain(..=end);
                self.level(&mut event);
                writeln!(text, "{}", cut(&event.to_string())).unwrap();
                left -= 1;
            }
        }
        text
    }

    fn fill(&self, text: &str) -> String {
        static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$(continue|list|[a-z]+\.[a-z0-9-]+)").unwrap());
        let known = |c: &regex::Captures<'_>| self.known.get(&c[1]).cloned().unwrap_or_else(|| c[0].to_owned());
        NAME.replace_all(text, known).replace("\"NS\"", &format!("{:?}", self.subject.namespace))
    }

    fn learn(&mut self, answer: &Value) {
        let metadata = &answer["metadata"];
        let text = |key: &str| metadata[key].as_str().map(str::to_owned);
        if answer.get("items").is_some() {
            self.known.extend(text("resourceVersion").map(|v| ("list".to_owned(), v)));
            self.known.extend(text("continue").map(|v| ("continue".to_owned(), v)));
        } else if let (Some(name), Some(uid), Some(version)) = (text("name"), text("uid"), text("resourceVersion")) {
            self.known.insert(format!("uid.{name}"), uid);
            self.known.entry(format!("first.{name}")).or_insert_with(|| version.clone());
            self.known.insert(format!("version.{name}"), version);
        }
    }

    /// Takes out what cannot be equal: times, managed fields; uids and versions become numbers in the order in which
    /// they are first seen, so equal values stay equal.
    fn level(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("managedFields");
                let list = map.contains_key("items");
                let bookmark = map.get("type").is_some_and(|t| t == "BOOKMARK");
                if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| list) {
                    metadata.insert("resourceVersion".into(), "LIST".into());
                    if metadata.get("continue").is_some_and(|c| c != "") {
                        metadata.insert("continue".into(), "TOKEN".into());
                    }
                }
                if bookmark {
                    map["object"]["metadata"]["resourceVersion"] = "BOOKMARK".into();
                }
                // Numbered by object: one write more or less is one difference.
                let object = map
                    .get("uid")
                    .and_then(Value::as_str)
                    .filter(|raw| raw.len() == 36)
                    .map(|raw| number(&mut self.uids, raw, "uid"));
                let generated = map.get("generateName").and_then(Value::as_str).map(str::to_owned);
                // A real server tells some mistakes two or three times.
                if let Some(Value::Array(causes)) = map.get_mut("causes") {
                    let mut seen: Vec<Value> = Vec::new();
                    causes.retain(|c| {
                        !seen.contains(c) && {
                            seen.push(c.clone());
                            true
                        }
                    });
                }
                // What Go prints of nothing, and the type of the items of lists of built-in kinds.
                if self.built_in {
                    // Of an Event it is compared: kubectl sorts by fields that are null.
                    let is_event = map.contains_key("involvedObject") || map.contains_key("regarding");
                    map.retain(|_, v| is_event || !v.is_null() && *v != json!({}) && *v != "");
                    for item in map.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
                        let item = item.as_object_mut().unwrap();
                        item.remove("kind");
                        item.remove("apiVersion");
                    }
                }
                for (key, v) in map.iter_mut() {
                    match (key.as_str(), v.as_str()) {
                        ("creationTimestamp" | "deletionTimestamp", Some(_)) => *v = "TIME".into(),
                        ("resourceVersion", Some(_)) if self.versions_differ => *v = "VERSION".into(),
                        ("resourceVersion", Some(raw)) if raw.parse::<u64>().is_ok() => {
                            let of = object.as_deref().unwrap_or("none");
                            let next = self.versions.values().filter(|v| v.ends_with(&format!(" of {of}"))).count() + 1;
                            let new = || format!("version {next} of {of}");
                            *v = self.versions.entry(raw.to_owned()).or_insert_with(new).clone().into();
                        }
                        ("uid", Some(raw)) if raw.len() == 36 => *v = number(&mut self.uids, raw, "uid").into(),
                        ("name", Some(raw)) if generated.as_ref().is_some_and(|g| raw.starts_with(g)) => {
                            *v = format!("{}+{}", generated.clone().unwrap(), raw.len()).into();
                        }
                        _ => self.level(v),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|v| self.level(v)),
            Value::String(s) => *s = self.level_text(s),
            _ => {}
        }
    }

    fn level_text(&self, text: &str) -> String {
        static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\(|current: )([0-9]+)").unwrap());
        static TIME: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(Z| \+0000 UTC)").unwrap());
        let mut text = text.replace(&self.subject.namespace, "NS");
        for (raw, label) in &self.uids {
            text = text.replace(raw, label);
        }
        let label = |c: &regex::Captures<'_>| {
            let known = self.versions.get(&c[2]).filter(|_| &c[1] == "(");
            format!("{}{}", &c[1], known.map_or("some version", String::as_str))
        };
        TIME.replace_all(&NUMBER.replace_all(&text, label), "TIME").into_owned()
    }
}

/// The label of a value, the next one if it is new.
fn number(seen: &mut BTreeMap<String, String>, raw: &str, what: &str) -> String {
    let next = seen.len() + 1;
    seen.entry(raw.to_owned()).or_insert_with(|| format!("{what} {next}")).clone()
}

/// A long string without its middle.
fn cut(text: &str) -> String {
    const LONGEST: usize = 6000;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let (start, end): (String, String) =
        (text.chars().take(LONGEST / 2).collect(), text.chars().skip(text.chars().count() - LONGEST / 4).collect());
    format!("{start} … {end}")
}

/// Plays a scenario and compares all answers with those recorded from a real server.
pub async fn tell(subject: &Subject, name: &str, story: &[Ask]) {
    let mut talk = Talk::new(subject);
    talk.versions_differ = name == "gadget";
    let mut told = Vec::new();
    for ask in story {
        let body = if ask.body.is_null() { String::new() } else { cut(&ask.body.to_string()) };
        let answer = talk.say(ask).await;
        told.push(format!("{}\n{answer}", format!("{} {} {} {body}", ask.method, ask.path, ask.media).trim_end()));
    }
    compare(subject, name, &told);
}

/// Compares answers with those recorded in `answers/NAME.txt`, or records those of a real server.
pub fn compare(subject: &Subject, name: &str, told: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/conformance/answers/{name}.txt"));
    if std::env::var_os("POOLKEEPER_RECORD").is_some() {
        if subject.local.is_none() {
            std::fs::write(path, told.join("\n")).unwrap();
        }
        return;
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let recorded: Vec<&str> = recorded.split("\n\n").map(str::trim_end).collect();
    let differing: Vec<String> = (0..told.len().max(recorded.len()))
        .map(|i| (told.get(i).map_or("nothing", |t| t.trim_end()), recorded.get(i).copied().unwrap_or("nothing")))
        .filter(|(told, recorded)| told != recorded)
        .map(|(told, recorded)| format!("--- recorded\n{recorded}\n+++ now\n{told}\n"))
        .collect();
    assert!(
        differing.is_empty(),
        "{} of {} differ from {name}:\n{}",
        differing.len(),
        told.len(),
        differing.join("\n")
    );
}
