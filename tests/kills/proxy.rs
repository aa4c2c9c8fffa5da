//! An address that leads to one engine or another, and whose connections can be cut.
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

struct State {
    to: PathBuf,
    /// Connections that were made there.
    made: usize,
    open: Vec<UnixStream>,
}

/// A socket whose connections are passed on.
pub struct Proxy {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub fn new(path: PathBuf, to: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(Mutex::new(State { to, made: 0, open: Vec::new() }));
        let shared = state.clone();
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                let Ok(engine) = UnixStream::connect(&state.to) else { continue };
                pass_on(client.try_clone().unwrap(), engine.try_clone().unwrap());
                pass_on(engine.try_clone().unwrap(), client.try_clone().unwrap());
                state.open.extend([client, engine]);
                state.made += 1;
            }
        });
        Self { path, state }
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// From now on new connections lead there. Those that are open stay where they are.
    pub fn route(&self, to: PathBuf) {
        let mut state = self.state.lock().unwrap();
        (state.to, state.made) = (to, 0);
    }

    /// How many connections were made since the last change.
    pub fn made(&self) -> usize {
        self.state.lock().unwrap().made
    }

    /// Ends every connection that is open.
    pub fn cut(&self) {
        for stream in self.state.lock().unwrap().open.drain(..) {
            // One that has ended cannot be ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Copies until one side ends, then says so to the other. The other way may go on.
fn pass_on(mut from: UnixStream, mut to: UnixStream) {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
