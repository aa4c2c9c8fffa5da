//! A table in a part of the screen: which columns fit, how wide they are, and its lines.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::app::Pane;
use super::rows::{Column, Row, Table, columns, row};
use super::theme::{Theme, Tone};
use crate::cli::output::escape;
use crate::dashboard::live::model::Model;

/// The space between two columns.
const GAP: usize = 2;
/// No column but the last is wider.
const WIDEST: usize = 40;
/// The last column is left out if it would be narrower, and has more to show.
const NARROWEST: usize = 12;

/// What is the same for all lines.
pub(super) struct Look {
    pub theme: Theme,
    /// True if the server is lost.
    pub old: bool,
    /// True if the selected line is marked.
    pub marked: bool,
    pub all_namespaces: bool,
}

/// Text without control characters.
struct Drawn {
    text: String,
    tone: Tone,
}

/// Draws the headings and the lines that fit.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, model: &Model, table: Table, pane: &Pane, look: &Look) {
    let Some(height) = area.height.checked_sub(1).map(usize::from) else { return };
    let width = usize::from(area.width);
    let shown: Vec<(usize, &dyn Row)> = (pane.top..)
        .zip(pane.lines.iter().skip(pane.top).take(height))
        .filter_map(|(place, i)| Some((place, row(model, table, *i)?)))
        .collect();
    let columns = columns(table);
    let cells: Vec<Vec<Drawn>> = shown.iter().map(|(_, row)| cells(*row, columns.len(), model.now)).collect();
    let widths = fit(columns, &cells, width, look.all_namespaces, pane.sort.map(|(column, _)| column));
    let heading: Vec<Drawn> = columns.iter().enumerate().map(|(n, c)| heading(n, c, pane.sort)).collect();
    line(buffer, area, columns, &heading, &widths, |_| look.theme.of(Tone::Heading, look.old));
    for (y, ((place, _), cells)) in shown.iter().zip(&cells).enumerate() {
        let y = area.y + 1 + u16::try_from(y).unwrap_or(u16::MAX);
        let area = Rect { y, height: 1, ..area };
        let marked = look.marked && *place == pane.cursor;
        if marked {
            buffer.set_style(area, look.theme.selected());
        }
        line(buffer, area, columns, cells, &widths, |tone| {
            let style = look.theme.of(tone, look.old);
            if marked { look.theme.selected() } else { style }
        });
    }
    if shown.is_empty() && height > 0 {
        let text = if model.complete { "nothing" } else { "reading…" };
        buffer.set_stringn(area.x, area.y + 1, text, width, look.theme.of(Tone::Faint, look.old));
    }
}

fn cells(row: &dyn Row, columns: usize, now: Timestamp) -> Vec<Drawn> {
    let one = |column| {
        let cell = row.cell(column, now);
        Drawn { text: escape(&cell.text).into_owned(), tone: cell.tone }
    };
    (0..columns).map(one).collect()
}

fn heading(n: usize, column: &Column, sort: Option<(usize, bool)>) -> Drawn {
    let mark = match sort {
        Some((sorted, false)) if sorted == n => "^",
        Some((sorted, true)) if sorted == n => "v",
        _ => "",
    };
    Drawn { text: format!("{}{mark}", column.name), tone: Tone::Heading }
}

/// The widths of the columns; 0 for those that are left out.
fn fit(columns: &[Column], cells: &[Vec<Drawn>], width: usize, namespaces: bool, sort: Option<usize>) -> Vec<usize> {
    let last = columns.len() - 1;
    let mut widths: Vec<usize> = Vec::with_capacity(columns.len());
    for (n, column) in columns.iter().enumerate() {
        let content = cells.iter().map(|cells| cells[n].text.width()).max().unwrap_or(0);
        let all = content.max(column.name.len() + usize::from(sort == Some(n)));
        let is_empty = content == 0 && column.rank > 2 && sort != Some(n);
        let is_hidden = (n == 0 && !namespaces) || is_empty;
        widths.push(match (is_hidden, n == last) {
            (true, _) => 0,
            (false, true) => all,
            (false, false) => all.min(WIDEST),
        });
    }
    loop {
        let present = |n: &usize| widths[*n] > 0;
        let needed: usize = (0..columns.len())
            .filter(present)
            .map(|n| GAP + if n == last { widths[n].min(NARROWEST) } else { widths[n] })
            .sum();
        let over = needed.saturating_sub(GAP) > width;
        let worst =
            (0..columns.len()).filter(present).filter(|n| columns[*n].rank > 0).max_by_key(|n| columns[*n].rank);
        let Some(worst) = worst.filter(|_| over) else { break };
        widths[worst] = 0;
    }
    // Names are shortened before what they do is left out.
    let fixed: usize = widths[..last].iter().filter(|w| **w > 0).map(|w| w + GAP).sum();
    if widths[last] > 0 {
        widths[last] = width.saturating_sub(fixed);
    } else if let Some(over) = fixed.saturating_sub(GAP).checked_sub(width) {
        let widest = (0..last).max_by_key(|n| widths[*n]).unwrap_or(0);
        widths[widest] = widths[widest].saturating_sub(over).max(4);
    }
    widths
}

fn line(
    buffer: &mut Buffer,
    area: Rect,
    columns: &[Column],
    cells: &[Drawn],
    widths: &[usize],
    style: impl Fn(Tone) -> Style,
) {
    let (mut x, end) = (area.x, area.right());
    for ((column, cell), width) in columns.iter().zip(cells).zip(widths).filter(|(_, width)| **width > 0) {
        let room = usize::from(end.saturating_sub(x)).min(*width);
        if room == 0 || area.y >= buffer.area.bottom() {
            return;
        }
        let text = shortened(&cell.text, room);
        let indent = if column.right { room.saturating_sub(text.width()) } else { 0 };
        buffer.set_stringn(x + u16::try_from(indent).unwrap_or(0), area.y, &text, room, style(cell.tone));
        x = x.saturating_add(u16::try_from(width + GAP).unwrap_or(u16::MAX));
    }
}

/// Text in so many columns of the terminal, with a sign if some is left out.
pub(super) fn shortened(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}
