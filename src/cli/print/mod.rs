//! How objects are printed: as the server's tables, as JSON or YAML, or by name.

pub mod kinds;
pub mod table;

use clap::ValueEnum;
use serde_json::{Value, json};

use self::kinds::Kind;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;

/// A format of `-o`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The columns that the server shows
    #[default]
    Table,
    /// More columns
    Wide,
    /// The objects, as JSON
    Json,
    /// The objects, as YAML
    Yaml,
    /// KIND/NAME, one a line
    Name,
}

/// A format of `-o` of commands that print a judgement instead of objects.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    /// For people
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs
    Json,
}

impl Format {
    /// True if it is made of columns.
    pub const fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// Prints data on standard output.
///
/// # Errors
/// Standard output is closed.
pub fn data(data: &(impl AsRef<[u8]> + ?Sized)) -> Result<(), Failure> {
    output::data(data.as_ref()).map_err(|_| Failure::new(Exit::OutputClosed, "standard output was closed"))
}

/// JSON for people, which no terminal acts on.
pub fn json(value: &Value) -> String {
    format!("{value:#}").lines().map(|line| format!("{}\n", output::escape_json(line))).collect()
}

/// Objects as text in a format without columns. `single`: the user named one object, which is then printed without a list.
///
/// # Errors
/// An object cannot be written as YAML.
pub fn objects(kind: Kind, objects: &[Value], single: bool, format: Format) -> Result<String, Failure> {
    let value = || match objects {
        [one] if single => one.clone(),
        _ => json!({"apiVersion": "v1", "kind": "List", "items": objects, "metadata": {"resourceVersion": ""}}),
    };
    Ok(match format {
        Format::Name => objects.iter().map(|object| format!("{}\n", name(kind, object))).collect(),
        Format::Yaml => serde_saphyr::to_string(&value()).map_err(|e| Failure::poolkeeper("an object as YAML", e))?,
        _ => json(&value()),
    })
}

/// `worker.poolkeeper.dev/agents-0`.
fn name(kind: Kind, object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{}.poolkeeper.dev/{}", kind.singular(), output::escape(name))
}
