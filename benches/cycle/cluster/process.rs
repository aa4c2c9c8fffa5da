//! The controller, as a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn proc(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the program has ended; see its log")
}

/// Time of a process on a core since its start.
pub fn cpu(pid: u32) -> Duration {
    let stat = proc(pid, "stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on all that Linux runs on.
    Duration::from_millis(ticks * 10)
}

/// Resident memory of a process, and the most that it ever was, in MiB.
pub fn memory(pid: u32) -> (f64, f64) {
    let status = proc(pid, "status");
    let of = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Ends with this value.
pub struct Controller(Child);

impl Controller {
    /// Starts one for one namespace.
    pub fn start(binary: &Path, kubeconfig: &Path, namespace: &str) -> Self {
        let log = std::fs::File::create(std::env::temp_dir().join(format!("{namespace}-controller.log"))).unwrap();
        let child = Command::new(binary)
            .args(["controller", "--http-bind", "127.0.0.1:0", "--runtimes", "Pod", "--leader-elect=true"])
            .args(["--namespace", namespace, "--lease-namespace", namespace])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Self(child.unwrap_or_else(|e| panic!("starting {}: {e}", binary.display())))
    }

    /// Time on a core since its start.
    pub fn cpu(&self) -> Duration {
        cpu(self.0.id())
    }

    /// Resident memory, and the most that it ever was, in MiB.
    pub fn memory(&self) -> (f64, f64) {
        memory(self.0.id())
    }

    /// SIGTERM, and its end.
    pub fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.0.try_wait()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.0.wait();
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.stop();
    }
}
