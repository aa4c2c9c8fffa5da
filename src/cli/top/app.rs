//! What is on the screen, and what the keys do to it.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::events::Heard;
use super::rows::{Row, SortKey, Table, columns, len, row};
use super::theme::Theme;
use crate::cli::feed::events::Subject;
use crate::cli::print::kinds::Kind;
use crate::dashboard::live::model::Model;

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The screen may have changed.
    Draw,
    /// The end.
    Quit,
}

/// What has the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A table.
    Tables,
    /// The filter is typed.
    Filter,
    /// One object, with the first line that is shown.
    Details(u16),
    /// The list of keys, with the first line that is shown.
    Help(u16),
}

/// A table as it is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Pane {
    /// The lines that are shown, as indices into the model.
    pub lines: Vec<usize>,
    /// The selected one of them.
    pub cursor: usize,
    /// The first one that is on the screen.
    pub top: usize,
    /// The column that it is sorted by, and whether backwards.
    pub sort: Option<(usize, bool)>,
    /// Namespace and name of the selected object.
    selected: Option<(String, String)>,
}

/// The state of the screen.
pub(super) struct App {
    pub model: Model,
    panes: [Pane; 4],
    pub focus: Table,
    pub filter: String,
    pub mode: Mode,
    /// True if only one table is shown, whatever the size.
    pub zoomed: bool,
    /// Only this pool, and what belongs to it.
    pub pool: Option<String>,
    /// True if objects of all namespaces are shown.
    pub all_namespaces: bool,
    /// What is looked at.
    pub title: String,
    /// Why fewer namespaces are shown than were asked for.
    pub less: Option<String>,
    /// The flags that a command needs to reach the same server, each after a space.
    pub flags: String,
    /// The Events that were read last.
    pub heard: Option<Heard>,
    pub theme: Theme,
    /// How many lines of a table fit on the screen.
    pub page: usize,
}

impl App {
    pub fn new(model: Model, title: String, pool: Option<String>, all_namespaces: bool, colour: bool) -> Self {
        let focus = if pool.is_some() { Table::Workers } else { Table::Pools };
        let mut app = Self {
            model,
            panes: Default::default(),
            focus,
            filter: String::new(),
            mode: Mode::Tables,
            zoomed: false,
            pool,
            all_namespaces,
            title,
            less: None,
            flags: String::new(),
            heard: None,
            theme: Theme { colour },
            page: 10,
        };
        app.arrange();
        app
    }

    /// Shows a newer view. The selected objects stay selected.
    pub fn show(&mut self, model: Model) {
        self.model = model;
        self.arrange();
    }

    pub fn pane(&self, table: Table) -> &Pane {
        &self.panes[table as usize]
    }

    pub fn pane_mut(&mut self, table: Table) -> &mut Pane {
        &mut self.panes[table as usize]
    }

    /// The selected object of the table that has the keys.
    pub fn selected(&self) -> Option<usize> {
        let pane = self.pane(self.focus);
        pane.lines.get(pane.cursor).copied()
    }

    /// The object whose details are shown, if there are Events of its kind.
    pub fn subject(&self) -> Option<Subject> {
        let Mode::Details(_) = self.mode else { return None };
        let kind = match self.focus {
            Table::Pools => Kind::Pool,
            Table::Workers => Kind::Worker,
            Table::Dispatches => Kind::Dispatch,
            Table::Credentials => return None,
        };
        let (namespace, name) = row(&self.model, self.focus, self.selected()?)?.id();
        Some(Subject { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Chooses and sorts the lines of all tables.
    fn arrange(&mut self) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        for table in Table::ALL {
            let (model, pool) = (&self.model, self.pool.as_deref());
            let shown = |i: &usize| {
                row(model, table, *i).is_some_and(|row| pool.is_none_or(|pool| row.is_of(pool)) && matches(row, &words))
            };
            let mut lines: Vec<usize> = (0..len(model, table)).filter(shown).collect();
            let pane = &mut self.panes[table as usize];
            if let Some((column, backwards)) = pane.sort {
                let key =
                    |i: &usize| row(model, table, *i).map_or(SortKey::Number(0), |row| row.key(column, model.now));
                lines.sort_by_cached_key(key);
                if backwards {
                    lines.reverse();
                }
            }
            pane.lines = lines;
            pane.select_again(model, table);
        }
    }

    /// What a key does.
    pub fn key(&mut self, key: KeyEvent) -> Effect {
        if key.kind == KeyEventKind::Release {
            return Effect::Draw;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Effect::Quit;
        }
        match self.mode {
            Mode::Tables => return self.key_in_tables(key),
            Mode::Filter => self.key_in_filter(key),
            Mode::Details(line) => self.mode = scrolled(key, line, self.page).map_or(Mode::Tables, Mode::Details),
            Mode::Help(line) => self.mode = scrolled(key, line, self.page).map_or(Mode::Tables, Mode::Help),
        }
        Effect::Draw
    }

    fn key_in_tables(&mut self, key: KeyEvent) -> Effect {
        let page = isize::try_from(self.page.max(1)).unwrap_or(1);
        match key.code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Char('d') if key.modifiers.contains(KeyModifiers::CONTROL) => self.go(page / 2),
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => self.go(-page / 2),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.go(page),
            KeyCode::PageUp => self.go(-page),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.turn(3),
            KeyCode::Char(n @ '1'..='4') => self.focus = Table::ALL[n as usize - '1' as usize],
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('s') => self.sort(),
            KeyCode::Char('S' | 'r') => self.sort_backwards(),
            KeyCode::Char('z') => self.zoomed = !self.zoomed,
            KeyCode::Enter if self.selected().is_some() => self.mode = Mode::Details(0),
            KeyCode::Char('?') | KeyCode::F(1) => self.mode = Mode::Help(0),
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                self.arrange();
            }
            _ => {}
        }
        Effect::Draw
    }

    fn key_in_filter(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => self.mode = Mode::Tables,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Tables;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char('u') if control => self.filter.clear(),
            KeyCode::Char(c) if !control => self.filter.push(c),
            _ => return,
        }
        self.arrange();
    }

    /// Moves the selection by so many lines, within the table.
    fn go(&mut self, by: isize) {
        let (table, model) = (self.focus, &self.model);
        let pane = &mut self.panes[table as usize];
        let last = pane.lines.len().saturating_sub(1);
        pane.cursor = pane.cursor.saturating_add_signed(by).min(last);
        pane.remember(model, table);
    }

    fn turn(&mut self, by: usize) {
        self.focus = Table::ALL[(self.focus as usize + by) % Table::ALL.len()];
    }

    /// Sorts by the next column; after the last one as the objects come.
    fn sort(&mut self) {
        let (table, first) = (self.focus, usize::from(!self.all_namespaces));
        let pane = self.pane_mut(table);
        let next = pane.sort.map_or(first, |(column, _)| column + 1);
        pane.sort = (next < columns(table).len()).then_some((next, false));
        self.arrange();
    }

    fn sort_backwards(&mut self) {
        let pane = self.pane_mut(self.focus);
        pane.sort = pane.sort.map(|(column, backwards)| (column, !backwards));
        self.arrange();
    }
}

impl Pane {
    /// Looks for the selected object in the new lines. If it is gone, the selection stays where it was.
    fn select_again(&mut self, model: &Model, table: Table) {
        let selected = self.selected.as_ref();
        let is_it = |i: &usize| {
            let id = row(model, table, *i).map(Row::id);
            id.zip(selected).is_some_and(|(id, (namespace, name))| id == (namespace, name))
        };
        let found = selected.and_then(|_| self.lines.iter().position(is_it));
        self.cursor = found.unwrap_or(self.cursor).min(self.lines.len().saturating_sub(1));
        if found.is_none() && selected.is_some() {
            self.remember(model, table);
        }
    }

    /// Nothing is selected by name before a key was used: the first line is.
    fn remember(&mut self, model: &Model, table: Table) {
        let id = self.lines.get(self.cursor).and_then(|i| row(model, table, *i)).map(Row::id);
        self.selected = id.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    }

    /// Scrolls so that the selected line is among `height` lines.
    pub fn scroll(&mut self, height: usize) {
        let last = self.lines.len().saturating_sub(height);
        let least = (self.cursor + 1).saturating_sub(height);
        self.top = self.top.clamp(least, self.cursor.max(least)).min(last.max(least));
    }
}

/// True if every word is somewhere in a line.
fn matches(row: &dyn Row, words: &[String]) -> bool {
    words.is_empty() || {
        let texts = row.texts();
        words.iter().all(|word| texts.iter().any(|text| text.to_lowercase().contains(word)))
    }
}

/// The first line after a key, or nothing if it closes what was open.
fn scrolled(key: KeyEvent, line: u16, page: usize) -> Option<u16> {
    let page = u16::try_from(page).unwrap_or(u16::MAX);
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => Some(line.saturating_add(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(line.saturating_sub(1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(line.saturating_add(page)),
        KeyCode::PageUp => Some(line.saturating_sub(page)),
        KeyCode::Home | KeyCode::Char('g') => Some(0),
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') | KeyCode::F(1) => None,
        _ => Some(line),
    }
}
