//! Starting a worker, and watching over it.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio_util::codec::Framed;

use super::procfs::{Ending, MARKER, ProcessId};
use super::protocol::{Codec, Frame, VERSION, connect};
use super::record::{self, Record, WorkerDir};
use super::shim::{Answer, Setup};
use super::state::{Known, Shared};
use super::{end, spec};
use crate::runtime::{Exit, Instance, InstanceSpec, InstanceState, StartError};

/// How long a shim may take to say whether it could start. Milliseconds are normal.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the instance, if there is none for this uid.
pub async fn start(shared: Arc<Shared>, spec: InstanceSpec) -> Result<Instance, StartError> {
    let key = &spec.key;
    let _alone = shared.exclusive(&key.uid).await;
    if let Some(worker) = shared.get(&key.uid) {
        return Ok(worker.instance);
    }
    let dir = WorkerDir::of(&shared.options.run_dir, &key.uid)
        .ok_or_else(|| StartError::Refused(format!("uid {:?} is not one", key.uid)))?;
    let setup = spec::setup(&spec, &shared.options, &shared.current_dir).await?;
    let mut record = Record {
        namespace: key.namespace.clone(),
        worker: key.worker.clone(),
        uid: key.uid.clone(),
        installation: shared.options.installation.clone(),
        boot_id: shared.boot_id.clone(),
        owner: shared.own,
        grace_ms: Some(setup.kill_grace_ms),
        binary: Some(shared.binary.clone()),
        shim: None,
    };
    // A cleaner of temporary files may have removed it since the last start.
    let made = record::ensure_workers(&shared.options.run_dir).and_then(|()| dir.create(&record));
    made.map_err(|error| StartError::Refused(format!("{}: {error}", dir.path().display())))?;
    match launch(&shared, &dir, &mut record, &setup).await {
        Ok((child, connection)) => {
            let worker = Known::new(&record, dir, InstanceState::Running);
            let instance = worker.instance.clone();
            shared.add(worker);
            tokio::spawn(watch(shared.clone(), record, Death::Child(Box::new(child)), connection));
            Ok(instance)
        }
        Err(message) => match end::destroy(&shared.own, &dir, &record).await {
            Ok(()) => Err(StartError::Refused(message)),
            Err(left) => Err(StartError::Unknown(format!("{message}; and {left}"))),
        },
    }
}

/// Starts the shim and waits until it is ready.
async fn launch(
    shared: &Shared,
    dir: &WorkerDir,
    record: &mut Record,
    setup: &Setup,
) -> Result<(Child, Option<Connection>), String> {
    let text = |error: io::Error| format!("the worker's shim: {error}");
    let log = std::fs::File::create(dir.log()).map_err(text)?;
    let mut command = Command::new(&shared.program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| shared.options.inherited.has(name)));
    let mut child = command
        .arg0(&shared.binary)
        .arg("shim")
        .arg("--dir")
        .arg(dir.path())
        .env(MARKER, &record.uid)
        .env("POOLKEEPER_WORKER", &record.worker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| format!("{}: {error}", shared.program.display()))?;
    // The number cannot become another's while the child is not waited for.
    record.shim = child.id().and_then(|pid| ProcessId::of(pid.cast_signed()));
    let talk = async {
        dir.write_record(record)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&Zeroizing::new(serde_json::to_vec(setup)?)).await?;
        }
        let mut answer = Vec::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_end(&mut answer).await?;
        }
        Ok(answer)
    };
    let failed = match tokio::time::timeout(ANSWER_TIMEOUT, talk).await {
        Err(_) => "the worker's shim did not answer within 30 s".to_owned(),
        Ok(Err(error)) => text(error),
        Ok(Ok(answer)) => match serde_json::from_slice(&answer) {
            Ok(Answer::Refused(message)) => message,
            // It cannot be connected to if its command ended already. That is for the watch to see.
            Ok(Answer::Ready) => return Ok((child, own(dir).await.ok())),
            Err(_) => {
                let said = std::fs::read_to_string(dir.log()).unwrap_or_default();
                format!("the worker's shim ended without an answer: {}", said.trim())
            }
        },
    };
    if let Some(shim) = record.shim {
        shim.signal(rustix::process::Signal::TERM);
    }
    tokio::spawn(async move { child.wait().await });
    Err(failed)
}

/// A connection by which a shim knows that it is owned.
pub type Connection = Framed<UnixStream, Codec>;

/// Tells a shim that it is owned.
pub async fn own(dir: &WorkerDir) -> io::Result<Connection> {
    let mut connection = Framed::new(connect(&dir.socket()).await?, Codec);
    connection.feed(Frame::Hello(VERSION)).await?;
    connection.send(Frame::Own).await?;
    Ok(connection)
}

/// How the end of a shim is seen.
pub enum Death {
    /// It is a child of this process, which must collect it.
    Child(Box<Child>),
    /// It is a child of an owner that is no more.
    Other(Ending),
}

impl Death {
    async fn seen(&mut self) {
        let waited = match self {
            Self::Child(child) => child.wait().await.map(drop),
            Self::Other(ending) => ending.seen().await,
        };
        if let Err(error) = waited {
            tracing::warn!(%error, "cannot wait for the end of a worker");
        }
    }
}

/// Waits for the end of a worker, makes sure that it is one, and says so.
pub async fn watch(shared: Arc<Shared>, record: Record, mut death: Death, connection: Option<Connection>) {
    tokio::select! {
        biased;
        () = shared.closed() => return,
        () = death.seen() => {}
    }
    drop(connection);
    let Some(Known { dir, .. }) = shared.get(&record.uid) else { return };
    let exit = match dir.read_exit() {
        Ok(Some(exit)) => exit.into(),
        // The shim was killed. Nothing has ended what ran under it.
        _ => {
            while let Err(left) = end::end_left(&record.uid, record.shim).await {
                tracing::warn!("{left}");
            }
            let removed = !dir.path().exists();
            let tail = removed.then(|| format!("its directory {} was removed while it ran", dir.path().display()));
            Exit { tail: tail.unwrap_or_default(), ..Exit::default() }
        }
    };
    shared.set_exited(&record.uid, exit);
}
