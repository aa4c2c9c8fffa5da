//! The whole screen.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::app::{App, Mode};
use super::rows::{Table, columns};
use super::table::{self, Look, shortened};
use super::theme::Tone;
use super::words::{clock, short};
use super::{details, help};
use crate::cli::output::escape;

/// From this height on all tables are shown at once.
const ALL_AT_ONCE: u16 = 36;

/// Draws the screen. Works at every size.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width == 0 || area.height == 0 {
        return;
    }
    let mut rest = area;
    if area.height >= 4 {
        header(buffer, take_top(&mut rest, 1), app);
    }
    if let Some(less) = app.less.as_ref().filter(|_| area.height >= 6) {
        let line = take_top(&mut rest, 1);
        let words = shortened(&escape(less), usize::from(line.width));
        Line::from(Span::styled(words, app.theme.of(Tone::Waits, false))).render(line, buffer);
    }
    if app.model.lost.is_some() {
        banner(buffer, take_top(&mut rest, 1), app);
    }
    if area.height >= 6 {
        footer(buffer, take_bottom(&mut rest, 1), app);
    }
    match app.mode {
        Mode::Help(line) => app.mode = Mode::Help(text(buffer, rest, help::lines(app.theme), line, &mut app.page)),
        Mode::Details(line) => {
            let lines = details::lines(app);
            app.mode = Mode::Details(text(buffer, rest, lines, line, &mut app.page));
        }
        Mode::Tables | Mode::Filter => tables(buffer, rest, app),
    }
}

/// Cuts lines off at the top, as far as there are any.
fn take_top(rest: &mut Rect, lines: u16) -> Rect {
    let lines = lines.min(rest.height);
    let taken = Rect { height: lines, ..*rest };
    (rest.y, rest.height) = (rest.y + lines, rest.height - lines);
    taken
}

fn take_bottom(rest: &mut Rect, lines: u16) -> Rect {
    let lines = lines.min(rest.height);
    rest.height -= lines;
    Rect { y: rest.y + rest.height, height: lines, ..*rest }
}

/// The server, the sums, and the time there.
fn header(buffer: &mut Buffer, area: Rect, app: &App) {
    let model = &app.model;
    let mut sums = [0; 4];
    for pool in model.pools.iter().filter(|pool| app.pool.as_deref().is_none_or(|name| *pool.name == *name)) {
        let counts = &pool.counts;
        for (sum, n) in sums.iter_mut().zip([counts.ready, counts.busy, counts.resting, counts.queued + counts.delayed])
        {
            *sum += n;
        }
    }
    let [ready, busy, resting, waiting] = sums;
    let sums = format!("{busy} busy {ready} ready {resting} resting {waiting} waiting");
    let time = clock(model.now);
    let of = |tone| app.theme.of(tone, model.lost.is_some());
    let width = usize::from(area.width);
    let right = format!("{sums}  {time}");
    let right = if right.len() + 12 <= width { right } else { time };
    let room = width.saturating_sub(right.len() + 2);
    let title = shortened(&escape(&app.title), room);
    Line::from(Span::styled(title, of(Tone::Heading))).render(area, buffer);
    Line::from(Span::styled(right, of(Tone::Plain))).right_aligned().render(area, buffer);
}

fn banner(buffer: &mut Buffer, area: Rect, app: &App) {
    let Some(lost) = &app.model.lost else { return };
    let since = short(app.model.now.as_second() - lost.since.as_second());
    let text = format!("server lost since {} ({since}): {}", clock(lost.since), lost.why);
    let width = usize::from(area.width);
    let text = shortened(&escape(&text), width);
    buffer.set_style(area, app.theme.banner());
    Line::from(Span::styled(format!("{text:width$}"), app.theme.banner())).render(area, buffer);
}

fn footer(buffer: &mut Buffer, area: Rect, app: &App) {
    let width = usize::from(area.width);
    let faint = app.theme.of(Tone::Faint, false);
    if app.mode == Mode::Filter {
        let keys = "  Enter keeps it, Esc clears it";
        let text = format!("/{}_", escape(&app.filter));
        // What is typed is at the end.
        let cut = text.chars().count().saturating_sub(width);
        Line::from(vec![Span::raw(text.chars().skip(cut).collect::<String>()), Span::styled(keys, faint)])
            .render(area, buffer);
        return;
    }
    let keys = match app.mode {
        Mode::Details(_) | Mode::Help(_) => "Esc back  j k scroll  q back",
        _ if width >= 70 => "Tab next table  / filter  s sort  Enter details  ? help  q quit",
        _ => "Tab / s Enter  ? help  q quit",
    };
    Line::from(Span::styled(shortened(keys, width), faint)).render(area, buffer);
}

/// One table with the names of all, or all tables.
fn tables(buffer: &mut Buffer, area: Rect, app: &mut App) {
    if area.height < ALL_AT_ONCE - 2 || app.zoomed {
        let mut rest = area;
        if area.height >= 4 {
            tabs(buffer, take_top(&mut rest, 1), app);
        }
        one(buffer, rest, app, app.focus);
        return;
    }
    let mut rest = area;
    for (table, height) in Table::ALL.into_iter().zip(heights(app, area.height)) {
        let mut part = take_top(&mut rest, height);
        title(buffer, take_top(&mut part, 1), app, table);
        // A line stays free below each table.
        take_bottom(&mut part, 1);
        one(buffer, part, app, table);
    }
}

fn one(buffer: &mut Buffer, area: Rect, app: &mut App, table: Table) {
    let height = usize::from(area.height.saturating_sub(1));
    if table == app.focus {
        app.page = height;
    }
    app.pane_mut(table).scroll(height.max(1));
    let look = Look {
        theme: app.theme,
        old: app.model.lost.is_some(),
        marked: table == app.focus,
        all_namespaces: app.all_namespaces,
    };
    table::draw(buffer, area, &app.model, table, app.pane(table), &look);
}

/// The heights of the tables when all are shown, with title, headings and a free line each.
fn heights(app: &App, all: u16) -> [u16; 4] {
    let wanted =
        Table::ALL.map(|table| u16::try_from(app.pane(table).lines.len().max(1)).unwrap_or(u16::MAX).saturating_add(3));
    let few = (all / 5).max(4);
    let (pools, credentials) = (wanted[0].min(few), wanted[3].min(few));
    let rest = all - pools - credentials;
    let workers = wanted[1].min((rest / 2).max(rest.saturating_sub(wanted[2])));
    [pools, workers, wanted[2].min(rest - workers), credentials]
}

fn name(app: &App, table: Table) -> String {
    let pane = app.pane(table);
    let sort = pane.sort.map(|(column, backwards)| {
        format!(" by {}{}", columns(table)[column].name.to_lowercase(), if backwards { ", backwards" } else { "" })
    });
    format!("{} {}{}", table.title(), pane.lines.len(), sort.unwrap_or_default())
}

fn tabs(buffer: &mut Buffer, area: Rect, app: &App) {
    let mut spans = Vec::new();
    for (n, table) in Table::ALL.into_iter().enumerate() {
        let focused = table == app.focus;
        let style = if focused { app.theme.focus() } else { app.theme.of(Tone::Faint, false) };
        if area.width >= 70 {
            let mark = if focused { ">" } else { " " };
            spans.push(Span::styled(format!("{mark}{} {}", n + 1, name(app, table)), style));
            spans.push(Span::raw("  "));
        } else if focused {
            spans.push(Span::styled(format!("{}/4 {}", n + 1, name(app, table)), style));
        }
    }
    filter(app, &mut spans);
    Line::from(spans).render(area, buffer);
}

fn title(buffer: &mut Buffer, area: Rect, app: &App, table: Table) {
    let focused = table == app.focus;
    let style = if focused { app.theme.focus() } else { app.theme.of(Tone::Heading, false) };
    let mark = if focused { ">" } else { " " };
    let mut spans = vec![Span::styled(format!("{mark}{}", name(app, table)), style)];
    if focused {
        spans.push(Span::raw("  "));
        filter(app, &mut spans);
    }
    Line::from(spans).render(area, buffer);
}

fn filter(app: &App, spans: &mut Vec<Span<'static>>) {
    if !app.filter.is_empty() && app.mode != Mode::Filter {
        spans.push(Span::styled(format!(" /{}", escape(&app.filter)), app.theme.of(Tone::Waits, false)));
    }
}

/// Lines of text from `first` on. Returns the first line that is shown: not beyond the last.
fn text(buffer: &mut Buffer, area: Rect, lines: Vec<Line<'static>>, first: u16, page: &mut usize) -> u16 {
    *page = usize::from(area.height);
    // A line that is wrapped counts as the lines that it takes, about.
    let width = usize::from(area.width.max(1));
    let height: usize = lines.iter().map(|line| line.width().div_ceil(width).max(1)).sum();
    let first = first.min(u16::try_from(height.saturating_sub(usize::from(area.height))).unwrap_or(u16::MAX));
    Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((first, 0)).render(area, buffer);
    first
}
