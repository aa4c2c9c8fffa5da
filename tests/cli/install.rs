//! `packaging/install.sh`, with a release whose program is a script. `scripts/ci/release.sh` runs it with a real one, on a bare Debian.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::support::{Place, Ran};

/// A directory with an archive and the installer of a version.
struct Release {
    place: Place,
    version: String,
}

impl Release {
    /// With these files besides the program, which says that it is this version.
    fn new(version: &str, files: &[&str]) -> Self {
        let release = Self { place: Place::new(), version: version.to_owned() };
        let root = release.place.path(&release.name());
        let program =
            format!("#!/bin/sh\n[ \"$1\" = local ] && {{ [ -e \"$SERVER\" ]; exit; }}\necho poolkeeper {version}\n");
        for (file, text) in files.iter().map(|file| (*file, "")).chain([("bin/poolkeeper", program.as_str())]) {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let mut chmod = Command::new("chmod");
        assert!(chmod.arg("755").arg(root.join("bin/poolkeeper")).status().unwrap().success());
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(release.place.path("")).arg("-czf").args([release.archive(), release.name().into()]);
        assert!(tar.status().unwrap().success());
        std::fs::remove_dir_all(root).unwrap();
        let sum = hex::encode(Sha256::digest(std::fs::read(release.archive()).unwrap()));
        let script = include_str!("../../packaging/install.sh")
            .replace("@VERSION@", version)
            .replace("@URL@", release.place.path("").to_str().unwrap())
            .replace("@SUMS@", &format!("0000  other.tar.gz\n{sum}  {}.tar.gz", release.name()));
        release.place.write("install.sh", &script);
        release
    }

    fn name(&self) -> String {
        format!(
            "poolkeeper-{}-{}-{}",
            self.version,
            std::env::consts::OS.replace("macos", "darwin"),
            std::env::consts::ARCH
        )
    }

    fn archive(&self) -> PathBuf {
        self.place.path(&format!("{}.tar.gz", self.name()))
    }

    /// `sh install.sh ARGS`, with this home.
    fn installer(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        self.place.furnish(&mut command).arg("install.sh").args(args).env("HOME", home).env_remove("PREFIX");
        command.env("SERVER", home.join("server"));
        command
    }

    #[track_caller]
    fn run(&self, home: &Path, args: &[&str]) -> Ran {
        let ran = Ran::from(self.installer(home, args).output().unwrap());
        self.place.is_clean();
        ran
    }
}

/// Everything below a directory, by relative paths.
fn below(dir: &Path) -> Vec<String> {
    let mut ahead = vec![dir.to_owned()];
    let mut found = Vec::new();
    while let Some(next) = ahead.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            found.push(entry.path().strip_prefix(dir).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

const PAGES: &[&str] = &["share/man/man1/poolkeeper.1.gz", "share/doc/poolkeeper/LICENSE"];

#[test]
fn what_is_installed_is_removed_again_and_nothing_else() {
    let release = Release::new("1.0.0", PAGES);
    let home = tempfile::tempdir().unwrap();
    let said = release.run(home.path(), &[]).exits(0).says(&["installed Poolkeeper 1.0.0", "is not in PATH"]);
    assert_eq!(said.stdout, "");
    assert!(below(home.path()).contains(&".local/share/man/man1/poolkeeper.1.gz".to_owned()));
    let program = Ran::from(Command::new(home.path().join(".local/bin/poolkeeper")).output().unwrap()).exits(0);
    assert_eq!(program.stdout, "poolkeeper 1.0.0\n");
    // With the local server the user would lose sight of it.
    std::fs::write(home.path().join("server"), "").unwrap();
    release.run(home.path(), &["--uninstall"]).exits(1).says(&["the local server runs", "poolkeeper local down"]);
    std::fs::remove_file(home.path().join("server")).unwrap();
    release.run(home.path(), &["--uninstall"]).exits(0);
    assert_eq!(below(home.path()), Vec::<String>::new());
    release.run(home.path(), &["--uninstall"]).exits(1).says(&["nothing in", "was installed by this script"]);
}

#[test]
fn files_and_directories_of_others_stay() {
    let release = Release::new("1.0.0", PAGES);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".local/bin")).unwrap();
    release.run(home.path(), &[]).exits(0);
    std::fs::write(home.path().join(".local/share/man/man1/other.1"), "").unwrap();
    release.run(home.path(), &["--uninstall"]).exits(0);
    let left = [".local", ".local/bin", ".local/share", ".local/share/man", ".local/share/man/man1"];
    assert_eq!(below(home.path()), [&left[..], &[".local/share/man/man1/other.1"]].concat());
}

#[test]
fn another_version_takes_the_place_of_the_one_before() {
    let (old, new) = (Release::new("1.0.0", &["share/old/page"]), Release::new("2.0.0", PAGES));
    let home = tempfile::tempdir().unwrap();
    old.run(home.path(), &["--prefix", "there"]).exits(0);
    let prefix = old.place.path("there");
    new.run(home.path(), &["--prefix", prefix.to_str().unwrap()]).exits(0);
    assert!(!below(&prefix).contains(&"share/old/page".to_owned()));
    let program = Ran::from(Command::new(prefix.join("bin/poolkeeper")).output().unwrap()).exits(0);
    assert_eq!(program.stdout, "poolkeeper 2.0.0\n");
    // Twice the same is once.
    let before = below(&prefix);
    new.run(home.path(), &["--prefix", prefix.to_str().unwrap()]).exits(0);
    assert_eq!(below(&prefix), before);
    new.run(home.path(), &["--uninstall", "--prefix", prefix.to_str().unwrap()]).exits(0);
    assert!(!prefix.exists());
}

#[test]
fn an_archive_with_another_sum_is_not_installed() {
    let release = Release::new("1.0.0", PAGES);
    let mut archive = std::fs::OpenOptions::new().append(true).open(release.archive()).unwrap();
    archive.write_all(b"\0").unwrap();
    let home = tempfile::tempdir().unwrap();
    release.run(home.path(), &[]).exits(1).says(&["is not the one of the release", "Nothing was installed"]);
    assert_eq!(below(home.path()), Vec::<String>::new());
}

#[test]
fn what_is_missing_is_named() {
    let release = Release::new("1.0.0", PAGES);
    let home = tempfile::tempdir().unwrap();
    release.run(home.path(), &["--from", "/nonexistent"]).exits(1).says(&["cannot get /nonexistent/poolkeeper-1.0.0"]);
    release.run(home.path(), &["--prefix"]).exits(1).says(&["--prefix needs a value"]);
    release.run(home.path(), &["--purge"]).exits(2).says(&["no such argument: --purge", "--uninstall"]);
    assert_eq!(below(home.path()), Vec::<String>::new());
    let script = release.place.read("install.sh").replace(&format!("{}.tar.gz", release.name()), "x.tar.gz");
    release.place.write("install.sh", &script);
    release.run(home.path(), &[]).exits(1).says(&["release 1.0.0 has no poolkeeper-1.0.0"]);
}

#[test]
fn the_archive_comes_over_http_too() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no curl");
        return;
    }
    let release = Release::new("1.0.0", PAGES);
    let home = tempfile::tempdir().unwrap();
    let archive = std::fs::read(release.archive()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/releases", listener.local_addr().unwrap());
    let expected = format!("GET /releases/{}.tar.gz HTTP/1.1\r\n", release.name());
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", archive.len());
        connection.write_all(&[head.as_bytes(), &archive].concat()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let mut command = release.installer(home.path(), &["--from", &url]);
    command.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1");
    Ran::from(command.output().unwrap()).exits(0);
    assert!(server.join().unwrap().starts_with(&expected));
    assert!(home.path().join(".local/bin/poolkeeper").exists());
}
