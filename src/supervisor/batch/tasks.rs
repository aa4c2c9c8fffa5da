//! The task file: one task a line. It is read twice: first to find mistakes before anything starts, then as workers become
//! free. It is never in memory as a whole. What another program writes is read once, as it comes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::ids::MAX_ID;
use crate::supervisor::Error;

/// The most bytes of a task that comes as `$TASK` too: Linux allows no longer `TASK=…` in an environment.
pub const MAX_TASK: usize = 128 * 1024 - "TASK=".len() - 1;
/// Bytes of the hash that stands for an id when ids are compared.
const ID_HASH: usize = 12;
/// In UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id: unique in the file.
    pub id: String,
    /// The line, from 1.
    pub line: u64,
    /// The line's text, without its end.
    pub text: String,
    /// Its place in the queue of the pool: higher first.
    pub priority: i32,
}

/// What separates tasks, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text, one task a line; JSON if the name of the file says so.
    Lines,
    /// JSON objects, one a line.
    Json,
    /// Text, with a NUL after each task, as `find -print0` writes it.
    Nul,
}

/// The highest priority of a task, and below zero the lowest.
const PRIORITY: i64 = 1_000_000_000;

/// A task file that is open, and can be read repeatedly.
#[derive(Debug)]
pub struct TaskFile {
    file: File,
    name: String,
    form: Form,
    /// It is being written, and can be read once.
    comes: bool,
}

impl TaskFile {
    /// Opens a file; `-` is standard input. What is no regular file can be read only once; with `whole` all of it is copied to a
    /// nameless temporary file.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn open(path: &Path, form: Form, whole: bool) -> Result<Self, Error> {
        let stdin = path == Path::new("-");
        let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
        let wrong = |e: &io::Error| {
            let text = format!("--tasks {name}: {e}");
            if e.kind() == io::ErrorKind::NotFound { Error::NotFound(text) } else { Error::Input(text) }
        };
        let form = if form == Form::Lines && has_json_lines(path) { Form::Json } else { form };
        if stdin {
            let file = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(|e| wrong(&e))?;
            let file = if whole { spool(file).map_err(|e| wrong(&e))? } else { file };
            return Ok(Self { file, name, form, comes: !whole });
        }
        let file = File::open(path).map_err(|e| wrong(&e))?;
        let kind = file.metadata().map_err(|e| wrong(&e))?.file_type();
        if kind.is_dir() {
            return Err(Error::Input(format!("--tasks {name}: it is a directory; name a file with one task a line")));
        }
        let file = if kind.is_file() || !whole { file } else { spool(file).map_err(|e| wrong(&e))? };
        Ok(Self { file, name, form, comes: !kind.is_file() && !whole })
    }

    /// Reads all of it, passes each task to `look`, and answers how many there are.
    ///
    /// # Errors
    /// There is no task, a line is not a task, or an id is used twice; or what `look` answers.
    pub fn check(&self, mut look: impl FnMut(&Item) -> Result<(), Error>) -> Result<u64, Error> {
        let mut count = 0;
        let mut seen = Vec::new();
        for item in self.items()? {
            let item = item?;
            look(&item)?;
            count += 1;
            if self.form == Form::Json {
                seen.push((hash(&item.id), item.line));
            }
        }
        if count == 0 {
            return Err(self.is_empty());
        }
        seen.sort_unstable();
        let twice = seen.windows(2).filter(|pair| pair[0].0 == pair[1].0).min_by_key(|pair| pair[1].1);
        if let Some([(_, first), (_, second)]) = twice {
            let id = self.items()?.filter_map(Result::ok).find(|i| i.line == *second).map(|i| i.id).unwrap_or_default();
            return Err(Error::Input(format!(
                "{}: lines {first} and {second} have the same id {id:?}: give each task an id of its own, or none",
                self.name
            )));
        }
        Ok(count)
    }

    /// True if it is being written: it can be read once, and mistakes in it are known when they come.
    pub const fn comes(&self) -> bool {
        self.comes
    }

    /// There is no task in it.
    pub fn is_empty(&self) -> Error {
        Error::Input(format!("--tasks {}: there is no task in it: write one a line", self.name))
    }

    /// Reads it from the start.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn items(&self) -> Result<Items, Error> {
        let read = || {
            let mut file = self.file.try_clone()?;
            if !self.comes {
                file.rewind()?;
            }
            Ok(file)
        };
        let file = read().map_err(|e: io::Error| Error::Input(format!("--tasks {}: {e}", self.name)))?;
        Ok(Items {
            reader: BufReader::with_capacity(64 * 1024, file),
            name: self.name.clone(),
            form: self.form,
            line: 0,
            ids: self.comes.then(HashSet::new),
            is_broken: false,
        })
    }
}

/// True for a name that says that each line is JSON.
fn has_json_lines(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["jsonl", "ndjson", "jsonlines"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn spool(mut from: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut from, &mut file)?;
    Ok(file)
}

fn hash(id: &str) -> [u8; ID_HASH] {
    let mut hash = [0; ID_HASH];
    hash.copy_from_slice(&Sha256::digest(id.as_bytes())[..ID_HASH]);
    hash
}

/// The tasks of a file, in order. All readers of a file share one position, so only one may be used at a time.
#[derive(Debug)]
pub struct Items {
    reader: BufReader<File>,
    name: String,
    form: Form,
    line: u64,
    /// The ids that came. None: they were looked at before.
    ids: Option<HashSet<[u8; ID_HASH]>>,
    is_broken: bool,
}

impl Items {
    /// The next task that is not blank, without its end.
    fn next_line(&mut self) -> Result<Option<String>, Error> {
        let end = if self.form == Form::Nul { 0 } else { b'\n' };
        loop {
            self.line += 1;
            let mut bytes = Vec::new();
            let read = self.reader.read_until(end, &mut bytes);
            self.is_broken = read.is_err();
            if read.map_err(|e| Error::Input(format!("--tasks {}: {e}", self.name)))? == 0 {
                return Ok(None);
            }
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
            if self.form != Form::Nul {
                // Some editors and shells begin a file with it.
                if self.line == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
                    bytes.drain(..BYTE_ORDER_MARK.len());
                }
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
            }
            let text = String::from_utf8(bytes).map_err(|e| {
                self.wrong(format!("byte {} is not UTF-8, which $TASK must be", e.utf8_error().valid_up_to() + 1))
            })?;
            if let Some(at) = text.find('\0') {
                return Err(self.wrong(format!(
                    "byte {} is NUL, which $TASK cannot hold; -0 is for tasks that end with NUL",
                    at + 1
                )));
            }
            let is_blank = if self.form == Form::Nul { text.is_empty() } else { text.trim().is_empty() };
            if !is_blank {
                return Ok(Some(text));
            }
        }
    }

    fn item(&mut self) -> Result<Option<Item>, Error> {
        let Some(text) = self.next_line()? else { return Ok(None) };
        let (id, priority) = if self.form == Form::Json { self.of_json(&text)? } else { (None, 0) };
        let line = self.line;
        let id = id.unwrap_or_else(|| format!("line-{line}"));
        if self.form == Form::Json && self.ids.as_mut().is_some_and(|ids| !ids.insert(hash(&id))) {
            return Err(self.wrong(format!("id {id:?} came before: give each task an id of its own, or none")));
        }
        Ok(Some(Item { id, line, text, priority }))
    }

    /// The id and the priority that a JSON line gives.
    fn of_json(&self, text: &str) -> Result<(Option<String>, i32), Error> {
        let object: Map<String, Value> = serde_json::from_str(text).map_err(|e| {
            let why = e.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            Error::Input(format!(
                "{}:{}:{}: {why}; each line must be a JSON object",
                self.name,
                self.line,
                e.column().max(1)
            ))
        })?;
        let priority = match object.get("priority") {
            None | Some(Value::Null) => 0,
            Some(given) => given
                .as_i64()
                .filter(|n| (-PRIORITY..=PRIORITY).contains(n))
                .and_then(|n| i32::try_from(n).ok())
                .ok_or_else(|| self.wrong(format!("priority must be a whole number from -{PRIORITY} to {PRIORITY}")))?,
        };
        let id = match object.get("id") {
            None | Some(Value::Null) => return Ok((None, priority)),
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            Some(_) => return Err(self.wrong("id must be a string or a number".to_owned())),
        };
        if id.is_empty() || id.len() > MAX_ID || id.contains('\0') {
            return Err(self.wrong(format!("id must have 1 to {MAX_ID} bytes, none of them NUL")));
        }
        Ok((Some(id), priority))
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Input(format!("{}:{}: {problem}", self.name, self.line))
    }
}

impl Iterator for Items {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken {
            return None;
        }
        self.item().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: impl AsRef<[u8]>, name: &str) -> TaskFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        TaskFile { name: name.to_owned(), ..TaskFile::open(&path, Form::Lines, true).unwrap() }
    }

    fn read(text: impl AsRef<[u8]>, name: &str) -> Result<Vec<(String, String)>, String> {
        let file = file(text, name);
        file.check(|_| Ok(())).map_err(|e| e.to_string())?;
        let items = file.items().unwrap();
        Ok(items.map(|i| i.map(|i| (i.id, i.text)).unwrap()).collect())
    }

    fn pair(id: &str, text: &str) -> (String, String) {
        (id.to_owned(), text.to_owned())
    }

    #[test]
    fn each_line_that_is_not_blank_is_a_task() {
        let tasks = read("one\n\n  \n two \r\nthree", "t.txt").unwrap();
        assert_eq!(tasks, [pair("line-1", "one"), pair("line-4", " two "), pair("line-5", "three")]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_task() {
        assert_eq!(read("\u{feff}one\ntwo\n", "t.txt").unwrap(), [pair("line-1", "one"), pair("line-2", "two")]);
        assert_eq!(read("\u{feff}{\"id\":\"a\"}\n", "t.jsonl").unwrap(), [pair("a", "{\"id\":\"a\"}")]);
        let longest = "y".repeat(MAX_TASK);
        assert_eq!(read(format!("\u{feff}{longest}\r\nx"), "t.txt").unwrap()[0].1, longest);
    }

    #[test]
    fn json_lines_may_have_ids() {
        let tasks = read("{\"id\":\"a/b\",\"n\":1}\n{\"id\":7}\n{}\n", "t.jsonl").unwrap();
        assert_eq!(tasks, [pair("a/b", "{\"id\":\"a/b\",\"n\":1}"), pair("7", "{\"id\":7}"), pair("line-3", "{}")]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, name, wanted) in [
            ("\n \n", "t.txt", "--tasks t.txt: there is no task in it"),
            ("", "t.txt", "there is no task"),
            ("a\nb\0c\n", "t.txt", "t.txt:2: byte 2 is NUL"),
            ("{}\n{\"id\": }\n", "t.jsonl", "t.jsonl:2:8: expected value; each line must be a JSON object"),
            ("{}\n[1]\n", "t.jsonl", "t.jsonl:2:1: invalid type"),
            ("{\"id\":[]}\n", "t.jsonl", "t.jsonl:1: id must be a string or a number"),
            ("{\"id\":\"\"}\n", "t.jsonl", "t.jsonl:1: id must have 1 to"),
            ("{\"id\":1}\n{}\n{\"id\":\"1\"}\n", "t.jsonl", "lines 1 and 3 have the same id \"1\""),
            ("{\"id\":\"line-2\"}\n{}\n", "t.jsonl", "lines 1 and 2 have the same id \"line-2\""),
        ] {
            let error = read(text, name).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        assert!(read(b"ok\n\xff\n", "t.txt").unwrap_err().contains("t.txt:2: byte 1 is not UTF-8"));
    }

    #[test]
    fn a_task_may_be_larger_than_a_variable() {
        let tasks = read(format!("{}\r\nx", "y".repeat(4 * MAX_TASK)), "t.txt").unwrap();
        assert_eq!((tasks.len(), tasks[0].1.len()), (2, 4 * MAX_TASK));
    }

    #[test]
    fn with_nul_a_task_may_have_several_lines() {
        let file = TaskFile { form: Form::Nul, ..file("one\ntwo\0 \0\0\r\0last", "t.txt") };
        let tasks: Vec<(String, String)> = file.items().unwrap().map(|i| i.map(|i| (i.id, i.text)).unwrap()).collect();
        assert_eq!(
            tasks,
            [pair("line-1", "one\ntwo"), pair("line-2", " "), pair("line-4", "\r"), pair("line-5", "last")]
        );
    }

    #[test]
    fn json_lines_may_have_priorities() {
        let file = file("{\"priority\":7}\n{\"id\":\"a\",\"priority\":-1}\n{\"priority\":null}\n", "t.jsonl");
        let priorities: Vec<i32> = file.items().unwrap().map(|i| i.unwrap().priority).collect();
        assert_eq!(priorities, [7, -1, 0]);
        for bad in ["1.5", "\"high\"", "1000000001"] {
            let error = read(format!("{{\"priority\":{bad}}}\n"), "t.jsonl").unwrap_err();
            assert!(error.contains("t.jsonl:1: priority must be a whole number"), "{error}");
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let error = TaskFile::open(Path::new("/no/such"), Form::Lines, true).unwrap_err();
        assert!(matches!(&error, Error::NotFound(text) if text.contains("--tasks /no/such: No such file")), "{error}");
        assert!(TaskFile::open(Path::new("/"), Form::Lines, true).unwrap_err().to_string().contains("is a directory"));
    }
}
