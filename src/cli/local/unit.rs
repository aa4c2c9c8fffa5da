//! `poolkeeper local unit`: a unit for systemd.

use clap::Args;

use super::server;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print;
use crate::standalone::resident::home::HOME;

/// Print a systemd user unit that keeps the server running
///
/// With it, a stop or a restart of the unit ends the server alone: its workers stay for the next one.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct UnitArgs {}

const EXAMPLE: &str = "\
Example:
  poolkeeper local unit > ~/.config/systemd/user/poolkeeper.service
  systemctl --user enable --now poolkeeper
  loginctl enable-linger   # so that it runs while you are logged out";

impl Run for UnitArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let home = server::home()?;
        let exe = std::env::current_exe().map_err(|e| Failure::poolkeeper("the path of this program", e))?;
        let text = unit(&exe.to_string_lossy(), &home.path().to_string_lossy());
        print::data(&text)?;
        Ok(Exit::Success)
    }
}

fn unit(exe: &str, home: &str) -> String {
    format!(
        "[Unit]
Description=Poolkeeper local server
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=exec
Environment={home}
ExecStart={exe} local up --foreground
Restart=on-failure
RestartSec=1
# Workers are not part of the server: they stay when it ends.
KillMode=process

[Install]
WantedBy=default.target
",
        exe = quoted(exe),
        home = quoted(&format!("{HOME}={home}")),
    )
}

/// A word as systemd reads it.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_quoted_for_systemd() {
        let text = super::unit("/opt/a b/poolkeeper", "/home/x/50%");
        assert!(text.contains("ExecStart=\"/opt/a b/poolkeeper\" local up --foreground\n"));
        assert!(text.contains("Environment=\"POOLKEEPER_HOME=/home/x/50%%\"\n"));
        assert!(text.contains("KillMode=process\n"));
    }
}
