//! Looks whether credentials have another value than before. Then a refused one comes back, and workers get the new value.
//!
//! Files, Secrets and the logins in directories are looked at every [`LOOK`]. A command may cost something, so it runs only
//! while its credential is parked, and every [`COMMAND`]. The environment of a process does not change: it is looked at once, because
//! another server may have had another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;

use crate::api::pool::{Credential, CredentialRest, LoginDirectory};
use crate::api::{ContainerPool, Worker};
use crate::clock::Clock;
use crate::controller::{ChangedCredential, ChangedCredentials, CredentialSender};
use crate::runtime::credentials::{Change, Changes, Login, Resolver, Seen, ValueFiles, ValueOf};

/// Time between two looks at files and Secrets.
const LOOK: Duration = Duration::from_secs(2);
/// Time between two runs of a command.
const COMMAND: Duration = Duration::from_mins(1);

/// Namespace and identity of a credential.
type CredentialKey = (String, String);

/// Stores what was seen for the next server.
pub(super) type Store = Box<dyn Fn(&Seen) -> io::Result<()> + Send + Sync>;

/// What looks at credentials. It ends when it is dropped.
pub(super) struct CredentialWatch {
    tasks: [JoinHandle<()>; 2],
    changed: ChangedCredentials,
}

impl CredentialWatch {
    /// Begins. `resolver` notes what it finds in `changes`. `store`: None if no later process has the same workers.
    pub fn begin(
        client: Client,
        resolver: Resolver,
        changes: Changes,
        store: Option<Store>,
        installation: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (sender, changed) = ChangedCredentials::channel();
        let hands_over = tokio::spawn(hand_over(client.clone(), changes.clone(), installation, sender));
        let memory = store.map(|store| Memory { store, stored: changes.seen(), earlier: changes.seen() });
        let (workers, commands, variables) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let looks = Looks { client, resolver, changes, memory, clock, workers, commands, variables };
        Self { tasks: [tokio::spawn(looks.run()), hands_over], changed }
    }

    /// What it finds, for a controller.
    pub fn changed(&self) -> ChangedCredentials {
        self.changed.clone()
    }
}

impl Drop for CredentialWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Looks {
    client: Client,
    resolver: Resolver,
    changes: Changes,
    memory: Option<Memory>,
    clock: Arc<dyn Clock>,
    /// The workers that had a directory at the last look, with their versions: a busy one changes its login itself.
    workers: BTreeMap<CredentialKey, Vec<(String, String)>>,
    /// When a command ran last.
    commands: BTreeMap<CredentialKey, Duration>,
    /// Those from variables that were looked at.
    variables: BTreeSet<CredentialKey>,
}

/// What was seen, for the next server.
struct Memory {
    store: Store,
    stored: Seen,
    /// At the look before. Another value is stored one look after it was noticed, when the pools show that it changed: if the server
    /// dies before that, the next one notices it again.
    earlier: Seen,
}

impl Memory {
    fn note(&mut self, seen: Seen) {
        let due = seen.settled(&self.earlier, &self.stored);
        self.earlier = seen;
        if due == self.stored {
            return;
        }
        match (self.store)(&due) {
            Ok(()) => self.stored = due,
            Err(error) => tracing::warn!(
                %error,
                "the hashes of credentials cannot be stored: the next server will not notice which ones changed meanwhile"
            ),
        }
    }
}

impl Looks {
    async fn run(mut self) {
        loop {
            // What cannot be listed now is listed at the next look.
            if let Ok(pools) = Api::<ContainerPool>::all(self.client.clone()).list(&ListParams::default()).await {
                let mut seen: BTreeMap<CredentialKey, (&Credential, Option<Refused>)> = BTreeMap::new();
                for pool in &pools.items {
                    let parked = |identity: &str| {
                        let rests = pool.status.iter().flat_map(|status| &status.rate_limits);
                        rests.filter(|rest| rest.parked && rest.key == identity).map(Refused::of).max()
                    };
                    for credential in &pool.spec.credentials {
                        let identity = credential.identity();
                        let refused = parked(&identity);
                        let entry = seen.entry((pool.namespace().unwrap_or_default(), identity));
                        let newest = &mut entry.or_insert((credential, None)).1;
                        *newest = refused.max(*newest);
                    }
                }
                // One list for all logins.
                let has_login = seen.values().any(|(credential, _)| credential.directory.is_some());
                let workers = if has_login { self.workers_now().await } else { None };
                for (key, (credential, refused)) in &seen {
                    self.look(key, credential, *refused, workers.as_deref()).await;
                }
                self.workers.retain(|key, _| seen.contains_key(key));
                self.commands.retain(|key, _| seen.contains_key(key));
                self.variables.retain(|key| seen.contains_key(key));
                self.changes.retain(|namespace, id| seen.contains_key(&(namespace.to_owned(), id.to_owned())));
                if let Some(memory) = &mut self.memory {
                    memory.note(self.changes.seen());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// All Workers. `None`: they cannot be listed now.
    async fn workers_now(&self) -> Option<Vec<Worker>> {
        let all = Api::<Worker>::all(self.client.clone()).list(&ListParams::default()).await;
        all.ok().map(|list| list.items)
    }

    /// `refused`: that the credential is parked, if so. `workers`: all Workers, if they are known.
    async fn look(
        &mut self,
        key: &CredentialKey,
        credential: &Credential,
        refused: Option<Refused>,
        workers: Option<&[Worker]>,
    ) {
        if let Some(directory) = &credential.directory {
            if let Some(workers) = workers {
                self.look_at_login(key, directory, refused, workers);
            }
            return;
        }
        if credential.from_env.is_some() && !self.variables.insert(key.clone()) {
            return;
        }
        if !credential.from_command.is_empty() {
            let now = self.clock.mono();
            let is_due = self.commands.get(key).is_none_or(|last| now >= *last + COMMAND);
            if refused.is_none() || !is_due {
                return;
            }
            self.commands.insert(key.clone(), now);
        }
        // A value that cannot be read is no other value. The start of a worker says what is wrong.
        let _ = self.resolver.look(&key.0, credential).await;
    }

    /// A login counts as changed if another program than a worker changed it: none was busy since the last look, or all are idle for
    /// longer than it is unchanged.
    fn look_at_login(
        &mut self,
        key: &CredentialKey,
        directory: &LoginDirectory,
        refused: Option<Refused>,
        workers: &[Worker],
    ) {
        let Ok(login) = Login::open(directory) else { return };
        let path = directory.plain_path();
        let on_it = || workers.iter().filter(|worker| worker.spec.directory.as_deref() == Some(&*path));
        let is_busy = on_it().any(|worker| worker.status.as_ref().is_some_and(|status| status.dispatch.is_some()));
        let version =
            |worker: &Worker| (worker.uid().unwrap_or_default(), worker.resource_version().unwrap_or_default());
        let now: Vec<(String, String)> = on_it().map(version).collect();
        let before = self.workers.insert(key.clone(), now.clone());
        let idle_since = |worker: &Worker| worker.status.as_ref().and_then(|status| status.idle_since.clone());
        let changed = login.changed_at(directory.watch.as_deref());
        let by_itself = |worker: &Worker| match (idle_since(worker), changed) {
            (Some(idle), Some(changed)) => changed > SystemTime::from(idle.0),
            _ => false,
        };
        let by_another = on_it().count() > 0 && on_it().all(by_itself);
        let counts = !is_busy && (by_another || before == Some(now));
        let state = login.state(directory.watch.as_deref()).unwrap_or_default();
        let is_first = !self.changes.knows_login(&key.0, &key.1);
        self.changes.saw_login(&key.0, &key.1, state, counts);
        if is_first && !is_busy && is_since(changed, refused) {
            self.changes.login_was_renewed(&key.0, &key.1);
        }
    }
}

/// The service refused a credential, which is parked: when it did so last. None: an older version did not store that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Refused(Option<SystemTime>);

impl Refused {
    fn of(rest: &CredentialRest) -> Self {
        Self(rest.stale_before.as_ref().map(|time| SystemTime::from(time.0)))
    }
}

/// True if a file was written after its credential was refused.
fn is_since(written: Option<SystemTime>, refused: Option<Refused>) -> bool {
    let refused = refused.and_then(|refused| refused.0);
    written.zip(refused).is_some_and(|(written, refused)| written > refused)
}

/// Gives the workers that read the value from a file the new one, and then tells the controller.
async fn hand_over(client: Client, changes: Changes, installation: String, to: CredentialSender) {
    loop {
        let Change { namespace, identity, value } = changes.next().await;
        let in_place = match &value {
            // Workers have the directory itself.
            None => true,
            Some(value) => {
                let of = ValueOf {
                    installation: installation.clone(),
                    namespace: namespace.clone(),
                    identity: identity.clone(),
                };
                let written = ValueFiles::open().map_or(Ok(0), |files| files.rewrite(&of, value));
                if let Err(error) = &written {
                    tracing::warn!(namespace, identity, %error, "a new value cannot be written for the workers that run");
                }
                written.is_ok() && only_in_files(&client, &namespace, &identity).await
            }
        };
        tracing::info!(namespace, identity, in_place, "a credential has another value");
        to.send(ChangedCredential { namespace, identity, in_place });
    }
}

/// True if every pool that names a credential hands it over as a file.
async fn only_in_files(client: &Client, namespace: &str, identity: &str) -> bool {
    let pools = Api::<ContainerPool>::namespaced(client.clone(), namespace).list(&ListParams::default()).await;
    let Ok(pools) = pools else { return false };
    let mut uses = pools.items.iter().flat_map(|pool| &pool.spec.credentials).filter(|c| c.identity() == identity);
    uses.all(|credential| credential.file.is_some())
}
