//! The log on standard error.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter, fmt};

use super::output;

/// The variable that asks for a log: `debug`, `poolkeeper::controller=trace`.
const LOG: &str = "POOLKEEPER_LOG";

/// What the lines of the log look like.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Starts the log: what the environment asks for, else what `default` says, else none. bollard's messages below a warning
/// are always left out, because they print the bodies of requests, and credentials with them.
pub fn start(default: Option<&str>, format: LogFormat) {
    let filter = match (std::env::var_os(LOG), default) {
        (Some(_), _) => EnvFilter::from_env(LOG),
        (None, Some(default)) => EnvFilter::new(default),
        (None, None) => return,
    };
    let safe = filter::filter_fn(|meta| !meta.target().starts_with("bollard") || *meta.level() <= tracing::Level::WARN);
    let lines = fmt::layer().with_writer(output::stderr).with_ansi(output::is_stderr_a_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter).with_filter(safe)).init();
}
