//! `poolkeeper doctor`: what is there, what can be reached, what is allowed, and what to do about the rest.
//!
//! - `here`: this machine. `hosts`: Docker hosts by name. `there`: the server that commands talk to. `check`: one line of the answer.

mod check;
mod here;
mod hosts;
mod there;

use clap::Args;

use self::check::{Check, Level};
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output;
use super::print::{self, Summary};
use super::server::ServerArgs;
use crate::runtime::docker::HostEntry;

/// Check what is installed, what can be reached and what is allowed, and say what to do about the rest
///
/// It looks at this machine, at the Docker hosts of hosts.yaml and of the local server, and at the server that the other commands would talk to, and changes nothing. Each line begins with
/// ok, warn or fail. Exits with 1 if a line begins with fail. No secret is printed.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper doctor\n  poolkeeper doctor --context prod -o json\n  poolkeeper doctor --host gpu1=ssh://me@gpu1"
)]
pub struct DoctorArgs {
    /// How to print it; json: an array with an object for each check
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Summary,
    /// Look at this Docker host too; it takes the place of one with the same name
    #[arg(long, value_name = "NAME=ENDPOINT")]
    host: Vec<HostEntry>,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for DoctorArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let (known, wrong) = match hosts::known(&self.host) {
            Ok(known) => (known, None),
            Err(wrong) => (Vec::new(), Some(wrong)),
        };
        let (here, hosts, there) =
            tokio::join!(look_here(), hosts::reached(&known), look_there(&self.server, &known, cx));
        let checks: Vec<Check> = here.into_iter().chain(wrong).chain(hosts).chain(there).collect();
        if self.output == Summary::Json {
            let json = serde_json::to_string_pretty(&checks).map_err(|e| Failure::poolkeeper("JSON", e))?;
            print::data(&json.lines().map(|line| format!("{}\n", output::escape_json(line))).collect::<String>())?;
        } else {
            print::data(&checks.iter().map(Check::line).collect::<String>())?;
        }
        let worst = checks.iter().map(|check| check.level).max();
        Ok(if worst == Some(Level::Fail) { Exit::Failed } else { Exit::Success })
    }
}

async fn look_here() -> Vec<Check> {
    let (local, docker, kubectl, helm) = tokio::join!(
        here::local_server(),
        here::docker(),
        here::other("kubectl", &["version", "--client"]),
        here::other("helm", &["version", "--short"]),
    );
    [vec![here::program()], local, vec![docker, kubectl, helm]].concat()
}

async fn look_there(args: &ServerArgs, known: &[HostEntry], cx: &Context) -> Vec<Check> {
    let server = match args.connect().await {
        Ok(server) => server,
        // Its words say what to do.
        Err(failure) => return vec![Check { remedy: None, ..Check::fail("server", failure.message, "") }],
    };
    let version = there::version(&server).await;
    if version.level == Level::Fail {
        return vec![version];
    }
    let mut checks = vec![version, there::kinds(&server).await];
    if !server.is_local && checks[1].level == Level::Ok {
        checks.push(there::schema(&server).await);
        checks.push(there::controller(&server, cx.clock.now()).await);
    }
    checks.extend(there::rights(&server).await);
    if server.is_local {
        checks.extend(hosts::expected(&server, known).await);
    }
    checks
}
