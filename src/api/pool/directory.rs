//! A credential that is a directory, in which an agent keeps its login.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema;

/// A directory of the host with the login of an agent. It is mounted writable, because agents renew their logins there.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LoginDirectory {
    /// Absolute path on the host. It must exist there. A path inside another directory of a credential counts as the same one.
    #[schemars(schema_with = "schema::mount_path")]
    pub host_path: String,
    /// Absolute path in the worker; the variable names it. With runtime Process the variable names `hostPath`. Default: `hostPath`.
    #[schemars(schema_with = "schema::mount_path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// True: programs besides the workers may use the directory too. It is needed for `~/.claude`, `~/.codex` and the like, where a
    /// worker and your own agent can log each other out. Default false.
    #[serde(default)]
    pub shared: bool,
    /// User that the worker runs as: `image` is the user of the image, `host` the owner of the directory. Docker only. Default image.
    #[serde(default)]
    pub run_as: RunAs,
    /// True: SELinux lets containers use the directory (`:z`). Docker only. Default false.
    #[serde(default)]
    pub relabel: bool,
    /// File in the directory that a login changes. A parked credential comes back when it changes while no attempt runs on it.
    /// Default: `.credentials.json` or `auth.json`, whichever is there.
    #[schemars(schema_with = "schema::file_below")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
}

/// User that a worker runs as.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum RunAs {
    /// The user of the image.
    #[default]
    Image,
    /// The owner of the directory.
    Host,
}

impl LoginDirectory {
    /// Where the worker finds it, if it is mounted.
    pub fn mount_path(&self) -> &str {
        self.mount_path.as_deref().unwrap_or(&self.host_path)
    }

    /// The path on the host without what does not distinguish it: `/a//b/./` is `/a/b`. Links are not followed.
    pub fn plain_path(&self) -> String {
        let parts = self.host_path.split('/').filter(|part| !part.is_empty() && *part != ".");
        parts.flat_map(|part| ["/", part]).collect()
    }
}
