//! How parts of the screen look, with colours and without. Nothing is shown by its colour alone.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing more.
    #[default]
    Plain,
    /// It works.
    Good,
    /// It waits or rests.
    Waits,
    /// Something is wrong.
    Bad,
    /// It is of less interest.
    Faint,
    /// A heading.
    Heading,
}

/// The looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub colour: bool,
}

impl Theme {
    /// Of a piece of text. `old`: the server is lost.
    pub fn of(self, tone: Tone, old: bool) -> Style {
        let plain = Style::new();
        if old && tone != Tone::Heading {
            return if self.colour { plain.fg(Color::DarkGray) } else { plain.add_modifier(Modifier::DIM) };
        }
        match (tone, self.colour) {
            (Tone::Good, true) => plain.fg(Color::Green),
            (Tone::Waits, true) => plain.fg(Color::Yellow),
            (Tone::Bad, true) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Tone::Faint, true) => plain.fg(Color::DarkGray),
            (Tone::Heading, _) | (Tone::Bad, false) => plain.add_modifier(Modifier::BOLD),
            (Tone::Plain, _) | (Tone::Good | Tone::Waits, false) => plain,
            (Tone::Faint, false) => plain.add_modifier(Modifier::DIM),
        }
    }

    /// Of the line that is selected.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Of a line about the server that is lost.
    pub fn banner(self) -> Style {
        let loud = Style::new().add_modifier(Modifier::BOLD);
        if self.colour { loud.fg(Color::White).bg(Color::Red) } else { loud.add_modifier(Modifier::REVERSED) }
    }

    /// Of the name of the table that has the keys.
    pub fn focus(self) -> Style {
        let focus = Style::new().add_modifier(Modifier::BOLD);
        if self.colour { focus.fg(Color::Cyan) } else { focus.add_modifier(Modifier::UNDERLINED) }
    }
}
