//! `poolkeeper local backup`: a copy of the store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use http_body_util::BodyExt;

use super::server;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::local::DiskStore;
use crate::standalone::resident;
use crate::standalone::resident::home::Home;

/// Write a copy of everything that the server has stored to a file
///
/// The copy is that of one moment, whether the server runs or not. To restore it, stop the server, put it in the place of
/// store.redb, and start the server. It then pauses all pools, because dispatches that have ended since are open again in the
/// copy, and says how to go on.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper local backup ~/poolkeeper-backup.redb")]
pub struct BackupArgs {
    /// The file; it must not exist yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Run for BackupArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let home = server::home_that_is()?;
        if self.file.exists() {
            return Err(Failure::new(Exit::Conflict, format!("{} exists: name another file", self.file.display())));
        }
        if home.holder().is_some() {
            copy_of_running(&home, &self.file).await?;
        } else {
            let _lock = resident::take(&home)?;
            let (store, _) = DiskStore::open(&home.store(), cx.clock.now()).map_err(resident::Error::from)?;
            store.copier().copy_to(&self.file).map_err(resident::Error::from)?;
        }
        Ok(Exit::Success)
    }
}

async fn copy_of_running(home: &Home, to: &Path) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::new(Exit::Failed, format!("{}: {e}", to.display()));
    let mut body = server::backup(home).await?.into_body();
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(failed)?;
    let written = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Failure::new(Exit::Failed, format!("the local server made no copy: {e}")))?;
            if let Ok(data) = frame.into_data() {
                file.write_all(&data).map_err(failed)?;
            }
        }
        file.sync_all().map_err(failed)?;
        fs::rename(&part, to).map_err(failed)?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)
    };
    let written = written.await;
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}
