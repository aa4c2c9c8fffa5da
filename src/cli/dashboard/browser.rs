//! Opens the page in the user's browser.
//!
//! The address has a code in it, and every user of the machine can read the arguments of a process. So the browser gets the
//! name of a file that only this user can read, which leads to the address.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;

use tempfile::NamedTempFile;

/// A file that leads to the address. It goes when it is dropped.
///
/// # Errors
/// It cannot be written.
pub(super) fn redirect(address: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // The mode is 0600 from the beginning.
    let named = builder.prefix("poolkeeper-dashboard-").suffix(".html");
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_dir());
    let mut file = match own.map(|dir| named.tempfile_in(dir)) {
        Some(Ok(file)) => file,
        _ => named.tempfile()?,
    };
    // The address is made of letters, digits and a few signs that mean nothing in HTML.
    write!(
        file,
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>Poolkeeper</title>\n\
         <meta http-equiv=\"refresh\" content=\"0; url={address}\">\n<a href=\"{address}\">Open the dashboard</a>\n"
    )?;
    file.flush()?;
    Ok(file)
}

/// Asks the browser to open a file: `$BROWSER`, or that of the desktop.
///
/// # Errors
/// There is none, or it refuses.
pub(super) async fn open(file: &Path) -> io::Result<()> {
    let ended = tokio::process::Command::new(program())
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // A browser that was not running stays with us: it is not waited for.
    let end = tokio::time::timeout(std::time::Duration::from_secs(2), ended.wait_with_output()).await;
    match end {
        Ok(Ok(output)) if !output.status.success() => Err(io::Error::other(format!("{}", output.status))),
        Ok(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

fn program() -> OsString {
    let desktop = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    std::env::var_os("BROWSER").filter(|name| !name.is_empty()).unwrap_or_else(|| desktop.into())
}
