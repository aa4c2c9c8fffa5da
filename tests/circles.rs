//! Within a layer, files import each other in one direction only.
//!
//! **What counts.** A file is one module. It imports every module that a path in it leads to, in a `use` or anywhere else;
//! a method call names no path and does not count, and tests do not count either. An import through a re-export is an
//! import of the file that defines the item. A `mod.rs` is a file like any other: declaring a child module is no import,
//! but what it defines itself, its children may use only if it does not use them. So types that several children share live
//! in a child of their own, which the `mod.rs` re-exports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use poolkeeper_testkit::files;
use poolkeeper_testkit::source::Source;

/// The directories of `src` in which no circle is allowed.
const ROOTS: [&str; 9] =
    ["api", "cli", "controller", "core", "dashboard", "local", "runtime", "standalone", "supervisor"];

/// The files of one directory by the path of their module, such as `core::state`.
struct Tree(BTreeMap<Vec<String>, Source>);

impl Tree {
    /// Builds it from (path of the file below `src`, text).
    fn new<'a>(files: impl Iterator<Item = (String, &'a str)>) -> Self {
        let mut tree: BTreeMap<_, _> =
            files.map(|(path, text)| (module_of(&path), Source::read_without_tests(text))).collect();
        for (module, source) in &tree {
            let inline = &source.inline_modules;
            assert!(
                inline.is_empty(),
                "{module:?}: `super` means something else in {inline:?}: give it a file of its own"
            );
        }
        let tests: Vec<Vec<String>> = tree
            .iter()
            .flat_map(|(module, source)| source.test_modules.iter().map(|name| join(module, name)))
            .collect();
        tree.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self(tree)
    }

    /// The module in which a path that `from` names ends. `None` if it leads out of the tree.
    fn resolve(&self, from: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut module = from.to_vec();
        let mut rest = path;
        match path.first().map(String::as_str)? {
            "crate" => {
                module.clear();
                rest = &path[1..];
            }
            "self" | "super" => {
                while let Some(name @ ("self" | "super")) = rest.first().map(String::as_str) {
                    if name == "super" {
                        module.pop()?;
                    }
                    rest = &rest[1..];
                }
            }
            name if path.len() > 1 && self.0.contains_key(&join(from, name)) => {}
            _ => return None,
        }
        if rest.is_empty() && path.len() == 1 {
            return None; // `self`, as a value
        }
        while let Some(name) = rest.first() {
            let child = join(&module, name);
            if !self.0.keys().any(|m| m.starts_with(&child)) {
                break;
            }
            module = child;
            rest = &rest[1..];
        }
        let source = self.0.get(&module)?;
        let Some(name) = rest.first().filter(|_| module != from) else { return Some(module) };
        let follow = |path: &[String]| self.resolve(&module, path);
        let named = source.exports.iter().find(|(export, _)| export == name).and_then(|(_, path)| follow(path));
        let through_glob = || {
            let globs = source.exports.iter().filter(|(export, _)| export == "*");
            globs.filter_map(|(_, path)| follow(path)).find(|m| self.0[m].defines.contains(name))
        };
        Some(named.or_else(through_glob).unwrap_or(module))
    }

    /// What each module imports.
    fn imports(&self) -> BTreeMap<&[String], BTreeSet<Vec<String>>> {
        let of = |(module, source): (&'_ Vec<String>, &Source)| -> BTreeSet<Vec<String>> {
            source.paths.iter().filter_map(|p| self.resolve(module, p)).filter(|m| m != module).collect()
        };
        self.0.iter().map(|entry| (entry.0.as_slice(), of(entry))).collect()
    }

    /// The shortest circle, such as `a -> b -> a`.
    fn circle(&self) -> Option<String> {
        let imports = self.imports();
        let circles = imports.keys().filter_map(|start| {
            let mut came_from: BTreeMap<&[String], &[String]> = BTreeMap::new();
            let mut next = VecDeque::from([*start]);
            while let Some(module) = next.pop_front() {
                for import in &imports[module] {
                    if import == start {
                        let mut circle = vec![*start, module];
                        while let Some(before) = came_from.get(circle[circle.len() - 1]) {
                            circle.push(before);
                        }
                        circle.reverse();
                        return Some(circle);
                    }
                    if !came_from.contains_key(import.as_slice()) {
                        came_from.insert(import, module);
                        next.push_back(import);
                    }
                }
            }
            None
        });
        let shortest = circles.min_by_key(Vec::len)?;
        Some(shortest.iter().map(|m| m.join("::")).collect::<Vec<_>>().join(" -> "))
    }
}

fn join(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// `core::state` of `core/state.rs` and of `core/state/mod.rs`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    path.strip_suffix("/mod").unwrap_or(path).split('/').map(str::to_owned).collect()
}

/// (path below `src`, text) of each file of a layer.
fn sources(root: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let below = |path: &Path| path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
    let all = files::sources(&src.join(root));
    all.iter().map(|path| (below(path), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn files_of_a_layer_import_each_other_in_one_direction() {
    for root in ROOTS {
        let found = sources(root);
        let tree = Tree::new(found.iter().map(|(path, text)| (path.clone(), text.as_str())));
        let imports: usize = tree.imports().values().map(BTreeSet::len).sum();
        assert!(imports > 0, "src/{root}: {imports} imports were found, so this test does not read it right");
        assert_eq!(tree.circle(), None, "src/{root} has a circle of imports");
    }
}

mod this_test_can_fail {
    use super::Tree;

    fn circle(files: &[(&str, &str)]) -> Option<String> {
        Tree::new(files.iter().map(|(path, text)| (format!("core/{path}"), *text))).circle()
    }

    #[test]
    fn in_a_use_however_it_is_written() {
        for import in [
            "use super::b::B;",
            "use super::{c::C, b::{B, D}};",
            "use crate::core::b;",
            "use crate::{api::Pool, core::{b::{self, B}}};",
            "pub(super) use super::b::B as Other;",
            "fn f() -> super::b::B { super::b::make() }",
            "fn f() { let x = Vec::<crate::core::b::B>::new(); matches!(x, _) }",
            "use super::b::*;",
        ] {
            let files = [
                ("mod.rs", "mod a; mod b; mod c;"),
                ("a.rs", import),
                ("b.rs", "use super::c::C;"),
                ("c.rs", "use super::a::A;"),
            ];
            assert!(circle(&files).is_some(), "{import}");
        }
    }

    #[test]
    fn the_circle_is_named() {
        let files = [
            ("a.rs", "use super::b::B;"),
            ("b/mod.rs", "use super::c;"),
            ("c.rs", "use crate::core::a::A;"),
            ("d.rs", "use super::a::A;"),
        ];
        assert_eq!(circle(&files).as_deref(), Some("core::a -> core::b -> core::c -> core::a"));
    }

    #[test]
    fn with_a_parent() {
        let files = [("mod.rs", "mod a; use a::A; pub struct Core(A);"), ("a.rs", "use super::Core; pub struct A;")];
        assert_eq!(circle(&files).as_deref(), Some("core -> core::a -> core"));
        let files = [("b/mod.rs", "mod a; pub fn f() { a::f() }"), ("b/a.rs", "use super::{f, g};")];
        assert_eq!(circle(&files).as_deref(), Some("core::b -> core::b::a -> core::b"));
    }

    #[test]
    fn through_a_re_export() {
        let of_b = ["pub use b::B;", "pub(crate) use self::b::{B, C};", "pub use b::*;"];
        for export in of_b {
            let files = [("mod.rs", export), ("a.rs", "use super::B;"), ("b.rs", "use super::a; pub struct B;")];
            assert_eq!(circle(&files).as_deref(), Some("core::a -> core::b -> core::a"), "{export}");
        }
    }

    #[test]
    fn but_not_where_there_is_none() {
        let one_way = |text| {
            circle(&[
                ("mod.rs", "mod a; mod b; pub use b::B; pub mod w;"),
                ("a.rs", text),
                ("b.rs", "use super::a::A; pub struct B;"),
                ("w.rs", ""),
            ])
        };
        for text in [
            "// use super::b::B;",
            "/* super::b::B */",
            "/// See [`super::b::B`].\nstruct A;",
            "const A: &str = \"super::b::B\"; const Q: char = '\"'; fn f<'a>(x: &'a str) {}",
            "const A: &str = r#\"\" super::b::B\"#;",
            "#[cfg(test)] mod tests { use super::super::b::B; }",
            "#[cfg(test)] use super::b::B;",
            "pub(in crate::core) struct A;",
            "use super::w::W; use crate::api::b::B; use std::b;",
            "fn f(a: &A) { a.b(); self.b }",
        ] {
            assert_eq!(one_way(text), None, "{text}");
        }
        let test_file = [
            ("a.rs", "#[cfg(test)] mod tests;"),
            ("a/tests.rs", "use super::super::b::B;"),
            ("b.rs", "use super::a::A;"),
        ];
        assert_eq!(circle(&test_file), None);
    }
}
