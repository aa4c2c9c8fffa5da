//! What kubectl is used for: each transcript is typed into either server, in a namespace of its own.
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use poolkeeper_testkit::program::kubectl_of;

use crate::differences::DIFFERENCES;
use crate::server::Place;
use crate::transcript::{Call, printed, read, write};

/// The version of kubectl whose words the transcripts have.
const VERSION: &str = "v1.33";

/// Makes of each transcript a test of either server.
macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::embedded(stringify!($name)).await;
            })*
        }
        mod real {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::real(stringify!($name)).await;
            })*
        }
    };
}

transcripts! { builtin, changing, deleting, discovery, namespaces, reading, waiting }

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/kubectl/transcripts/{name}.txt"))
}

fn recorded(name: &str) -> Vec<Call> {
    read(&std::fs::read_to_string(path(name)).unwrap())
}

async fn typed(place: &Place, calls: &[Call]) -> Vec<Call> {
    let mut typed = Vec::new();
    for Call { remark, line, .. } in calls {
        let prints = printed(place, &place.types(line).await);
        typed.push(Call { remark: remark.clone(), line: line.clone(), prints });
    }
    typed
}

async fn embedded(name: &str) {
    let Some(kubectl) = kubectl_of(VERSION) else { return };
    let place = Place::embedded(kubectl).await;
    let recorded = recorded(name);
    let typed = typed(&place, &recorded).await;
    let mut wrong = String::new();
    for (expected, now) in recorded.iter().zip(&typed) {
        match DIFFERENCES.iter().find(|(line, ..)| *line == now.line) {
            None if expected == now => {}
            None => write!(wrong, "$ {}\n--- real\n{}\n+++ embedded\n{}\n\n", now.line, expected.prints, now.prints)
                .unwrap(),
            Some(_) if expected == now => writeln!(wrong, "$ {}\nno longer differs\n", now.line).unwrap(),
            Some((_, words, _)) if now.prints.contains(words) => {}
            Some((_, words, _)) => {
                write!(wrong, "$ {}\n--- should have {words:?}\n{}\n\n", now.line, now.prints).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{wrong}");
}

async fn real(name: &str) {
    let Some(kubectl) = kubectl_of(VERSION) else { return };
    let Some(place) = Place::real(kubectl).await else { return };
    let recorded = recorded(name);
    let typed = typed(&place, &recorded).await;
    place.leave().await;
    if std::env::var_os("POOLKEEPER_RECORD").is_some() {
        std::fs::write(path(name), write(&typed)).unwrap();
        return;
    }
    for (expected, now) in recorded.iter().zip(&typed) {
        assert_eq!(expected.prints, now.prints, "{name}: $ {}", now.line);
    }
}

/// The connection stays; a new one sees the new certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_lives_through_a_renewed_certificate() {
    let Some(kubectl) = kubectl_of(VERSION) else { return };
    let place = Place::embedded(kubectl).await;
    // The watch has begun once it prints its first line. It goes on when the file is there.
    let line = "k create -f gadgets.yaml >/dev/null
        watching 4 'touch ../begun; until [ -e ../renewed ]; do sleep 0.05; done; k label gadget a x=y' get gadgets -w";
    let renew = async {
        while !place.file("begun").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        place.renew_certificate();
        std::fs::write(place.file("renewed"), "").unwrap();
    };
    let (output, ()) = tokio::join!(place.types(line), renew);
    let said = printed(&place, &output);
    assert_eq!(said, "NAME  AGE\na  AGE\nb  AGE\na  AGE");
    let said = printed(&place, &place.types("k get gadget a -o name").await);
    assert_eq!(said, "gadget.test.poolkeeper.dev/a");
}

#[test]
fn the_table_is_long_and_its_differences_are_in_it() {
    let lines: Vec<String> = NAMES.iter().flat_map(|name| recorded(name)).map(|call| call.line).collect();
    let different: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
    assert!(different.len() >= 60, "{}", different.len());
    for (line, words, reason) in DIFFERENCES {
        assert!(different.contains(line), "no transcript has {line:?}");
        assert!(!words.is_empty() && !reason.is_empty(), "{line}");
    }
    let files = std::fs::read_dir(path("changing").parent().unwrap()).unwrap().count();
    assert_eq!(files, NAMES.len(), "a transcript is not in the list");
}
