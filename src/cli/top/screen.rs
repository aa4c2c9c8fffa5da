//! The terminal while `top` has it, and its return.

use std::io::{self, Stdout};
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::cli::output;

/// The terminal. It is as it was before once this is dropped, and when the program panics.
pub(super) struct Screen {
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It is none, or cannot be written.
    pub fn new() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                report(panic);
            }));
        });
        enable_raw_mode()?;
        // From here on it is given back, whatever fails.
        take().inspect_err(|_| restore()).map(|terminal| Self { terminal })
    }
}

fn take() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    execute!(output::terminal(), EnterAlternateScreen)?;
    let mut terminal = Terminal::new(CrosstermBackend::new(output::terminal()))?;
    terminal.clear()?;
    Ok(terminal)
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. If it is gone nothing is to be given back.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(output::terminal(), LeaveAlternateScreen, Show);
}
