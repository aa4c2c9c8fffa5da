//! `poolkeeper get`: the objects of a kind.

mod filter;
mod follow;
mod request;

use clap::Args;

use self::filter::FilterArgs;
use self::request::Request;
pub(super) use self::request::as_table;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::print::Format;
use super::print::kinds::Kind;
use super::print::table::Layout;
use super::server::ServerArgs;

/// Show pools, workers or dispatches
///
/// The columns are those that `kubectl get` shows.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper get pools\n  poolkeeper get workers --phase Busy -o wide\n  poolkeeper get dispatches --pool agents -w"
)]
pub struct GetArgs {
    /// What to show: pools, workers or dispatches, or KIND/NAME
    #[arg(value_name = "KIND")]
    kind: String,
    /// Names of objects. Without names: all of them
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Show the objects of all namespaces
    #[arg(long, short = 'A', conflicts_with_all = ["names", "namespace"])]
    all_namespaces: bool,
    /// How to print them
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// Leave out the headings
    #[arg(long)]
    no_headers: bool,
    /// After that, show each change until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for GetArgs {
    async fn run(mut self, _: &Context) -> Result<Exit, Failure> {
        if let Some((kind, name)) = self.kind.split_once('/') {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            self.names.insert(0, name);
            self.kind = kind;
        }
        let kind: Kind =
            self.kind.parse().map_err(|right| Failure::usage(format!("{:?} is no kind: {right}", self.kind)))?;
        let request = Request {
            kind,
            filter: self.filter.of(kind, &self.names)?,
            names: self.names,
            all_namespaces: self.all_namespaces,
            output: self.output,
        };
        let mut layout = Layout::new(self.output == Format::Wide, self.all_namespaces, self.no_headers);
        let server = self.server.connect().await?;
        let (found, version) = request.list(&server).await?;
        if !self.watch || !found.rows.is_empty() {
            request.show(&found, &server, &mut layout)?;
        }
        if self.watch {
            follow::follow(&request, &server, (found, version), layout).await?;
        }
        Ok(Exit::Success)
    }
}
