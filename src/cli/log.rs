//! The log on standard error.

use std::io::{self, Write};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
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

/// Starts the log: what the environment asks for, else what `default` says, else none.
pub fn start(default: Option<&str>, format: LogFormat) {
    let asked = std::env::var(LOG).ok();
    let Some(asked) = asked.as_deref().or(default) else { return };
    lines(asked, format, output::is_stderr_a_terminal(), output::stderr).init();
}

/// Writes the log to `writer`. `asked`: the content of `POOLKEEPER_LOG`; see [`directives`].
///
/// bollard's messages below a warning are always left out, because they print the bodies of requests, and credentials with
/// them.
pub fn lines<W>(asked: &str, format: LogFormat, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse_lossy(directives(asked));
    let safe = filter::filter_fn(|meta| !meta.target().starts_with("bollard") || *meta.level() <= tracing::Level::WARN);
    let lines = match format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(colours).boxed(),
        LogFormat::Json => {
            fmt::layer().with_writer(Escaped(writer)).with_ansi(false).json().flatten_event(true).boxed()
        }
    };
    Box::new(tracing_subscriber::registry().with(filter).with(safe).with(lines))
}

/// The directives of a filter. A level without a name is for Poolkeeper's own messages: libraries log at most warnings unless
/// a directive names them, since their messages and spans fill every line. The client's own messages about failed requests
/// are left out too: they do not say what a request was for, and its caller logs that.
fn directives(asked: &str) -> String {
    let mut all = vec!["warn".to_owned()];
    if !asked.contains("kube_client") {
        all.push("kube_client::client::builder=off".to_owned());
    }
    for directive in asked.split(',').map(str::trim).filter(|d| !d.is_empty()) {
        match directive.parse::<LevelFilter>() {
            Ok(level) => all.extend([level.min(LevelFilter::WARN).to_string(), format!("poolkeeper={level}")]),
            Err(_) => all.push(directive.to_owned()),
        }
    }
    all.join(",")
}

/// Writes lines of JSON without characters that a terminal acts on: `kubectl logs` prints them as they are.
struct Escaped<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaped<W> {
    type Writer = EscapedLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapedLine(self.0.make_writer())
    }
}

struct EscapedLine<W>(W);

impl<W: Write> Write for EscapedLine<W> {
    /// A call writes one line of the log, or several.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(buf);
        for line in text.split_inclusive('\n') {
            let (json, end) = line.strip_suffix('\n').map_or((line, ""), |json| (json, "\n"));
            self.0.write_all(output::escape_json(json).as_bytes())?;
            self.0.write_all(end.as_bytes())?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `say`, without the times.
    fn logged(asked: &str, format: LogFormat, say: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::subscriber::with_default(lines(asked, format, false, move || writer.clone()), say);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
        time.replace_all(&text, "TIME").into_owned()
    }

    fn all() {
        let span = tracing::debug_span!(target: "tower", "HTTP");
        let _in_span = span.enter();
        tracing::debug!(target: "poolkeeper::controller", "ours");
        tracing::debug!(target: "kube_client::client::builder", "requesting");
        tracing::info!(target: "hyper_util", "theirs");
        tracing::warn!(target: "rustls", "a warning");
        tracing::debug!(target: "bollard::docker", "a body");
    }

    #[test]
    fn a_level_is_for_our_own_messages_and_a_name_for_others() {
        let ours = "TIME DEBUG poolkeeper::controller: ours\n";
        let warning = "TIME  WARN rustls: a warning\n";
        assert_eq!(logged("debug", LogFormat::Text, all), format!("{ours}{warning}"));
        assert_eq!(logged("trace", LogFormat::Text, all), format!("{ours}{warning}"));
        assert_eq!(logged("info", LogFormat::Text, all), warning);
        assert_eq!(logged("error", LogFormat::Text, all), "");
        assert_eq!(logged("off", LogFormat::Text, all), "");
        let theirs = "TIME  INFO hyper_util: theirs\n";
        assert_eq!(logged("debug,hyper_util=debug", LogFormat::Text, all), format!("{ours}{theirs}{warning}"));
        let client = "TIME DEBUG kube_client::client::builder: requesting\n";
        assert_eq!(logged("kube_client=debug", LogFormat::Text, all), format!("{client}{warning}"));
        assert_eq!(logged("bollard=debug", LogFormat::Text, all), warning, "it prints the bodies of requests");
    }

    #[test]
    fn words_from_outside_stay_in_their_line_and_act_on_no_terminal() {
        let say = || tracing::info!(target: "poolkeeper", reason = "a\nb\u{1b}[2J\u{9b}\u{202e}ü", "refused");
        let text = logged("info", LogFormat::Text, say);
        assert_eq!(text, "TIME  INFO poolkeeper: refused reason=\"a\\nb\\u{1b}[2J\\u{9b}\\u{202e}ü\"\n");
        let json = logged("info", LogFormat::Json, say);
        let wanted = r#"{"timestamp":"TIME","level":"INFO","message":"refused","reason":"a\nb\u001b[2J\u009b\u202eü","target":"poolkeeper"}"#;
        assert_eq!(json, format!("{wanted}\n"));
    }
}
