//! Which server a command talks to: the rule alone, without a look at the machine.

use std::path::PathBuf;

/// The context that means the local server.
pub use crate::standalone::resident::CONTEXT as LOCAL_CONTEXT;

/// What the machine shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `$POOLKEEPER_CONTEXT`; not empty.
    pub context_variable: Option<String>,
    /// The files of `$KUBECONFIG` that exist.
    pub kubeconfig_variable: Vec<PathBuf>,
    /// True if this user has a local server, running or not.
    pub local: bool,
    /// `~/.kube/config`, if it exists.
    pub default_file: Option<PathBuf>,
    /// True in a Pod that has a service account.
    pub pod: bool,
    /// True if kubectl started this program: it then talks to the clusters of kubectl.
    pub plugin: bool,
}

/// Which server it is, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The server.
    pub place: Place,
    /// True if a flag or a variable names it. Otherwise a command that changes something says which one it uses.
    pub named: bool,
}

/// Where a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The local server of this user.
    Local,
    /// In these kubeconfigs, the earlier ones first. Without a context: the current one.
    Files {
        /// The files.
        files: Vec<PathBuf>,
        /// The context.
        context: Option<String>,
    },
    /// The API server of the Pod's cluster.
    Pod,
}

/// Chooses the server. None: there is none.
///
/// The local server goes before `~/.kube/config` also while it does not run: a script for this machine must never reach
/// another cluster.
pub fn choose(facts: &Facts) -> Option<Choice> {
    let context = facts.context.clone().or_else(|| facts.context_variable.clone());
    let files = |files: Vec<PathBuf>, context| Choice { place: Place::Files { files, context }, named: true };
    if let Some(file) = &facts.kubeconfig {
        return Some(files(vec![file.clone()], context));
    }
    let of_the_user = || {
        let variable = facts.kubeconfig_variable.clone();
        if variable.is_empty() { facts.default_file.iter().cloned().collect() } else { variable }
    };
    match context {
        Some(name) if name == LOCAL_CONTEXT => return Some(Choice { place: Place::Local, named: true }),
        Some(name) => return Some(files(of_the_user(), Some(name))),
        None => {}
    }
    if !facts.kubeconfig_variable.is_empty() {
        return Some(files(facts.kubeconfig_variable.clone(), None));
    }
    let unnamed = |place| Some(Choice { place, named: false });
    if facts.local && !facts.plugin {
        return unnamed(Place::Local);
    }
    if let Some(file) = &facts.default_file {
        return unnamed(Place::Files { files: vec![file.clone()], context: None });
    }
    // In a Pod without a kubeconfig there is no other server that could be meant.
    facts.pod.then_some(Choice { place: Place::Pod, named: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: what is there, and what is chosen. `f` is `--kubeconfig`, `c` `--context`, `v` the variable for it, `k` a file of
    /// `$KUBECONFIG`, `l` a local server, `d` the default file, `p` a Pod, `x` the plugin; `L` the context of the local server.
    #[test]
    fn the_table_of_servers() {
        let rows = [
            ("", "none"),
            ("p", "pod named"),
            ("d p", "d"),
            ("l d p", "local"),
            ("l", "local"),
            ("k l d p", "k named"),
            ("l d x", "d"),
            ("l p x", "pod named"),
            ("l x", "none"),
            ("k l x", "k named"),
            ("f k l d p", "f named"),
            ("f c k", "f@c named"),
            ("f L l", "f@poolkeeper-local named"),
            ("c l d", "d@c named"),
            ("c k l d", "k@c named"),
            ("c l", "@c named"),
            ("v l d", "d@v named"),
            ("c v l d", "d@c named"),
            ("L k d", "local named"),
            ("L v l d", "local named"),
            ("L x l", "local named"),
        ];
        for (there, expected) in rows {
            let mut facts = Facts::default();
            for word in there.split_whitespace() {
                match word {
                    "f" => facts.kubeconfig = Some("f".into()),
                    "c" => facts.context = Some("c".into()),
                    "L" => facts.context = Some(LOCAL_CONTEXT.into()),
                    "v" => facts.context_variable = Some("v".into()),
                    "k" => facts.kubeconfig_variable = vec!["k".into()],
                    "l" => facts.local = true,
                    "d" => facts.default_file = Some("d".into()),
                    "p" => facts.pod = true,
                    _ => facts.plugin = true,
                }
            }
            let chosen = choose(&facts).map_or("none".to_owned(), |choice| {
                let place = match choice.place {
                    Place::Local => "local".to_owned(),
                    Place::Pod => "pod".to_owned(),
                    Place::Files { files, context } => {
                        let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
                        format!("{}{}", files.join(","), context.map(|c| format!("@{c}")).unwrap_or_default())
                    }
                };
                format!("{place}{}", if choice.named { " named" } else { "" })
            });
            assert_eq!(chosen, expected, "there is: {there:?}");
        }
    }
}
