//! What is drawn, without a terminal: at three sizes, with colours and without.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use insta::assert_snapshot;
use jiff::SignedDuration;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::json;

use super::app::{App, Effect, Mode};
use super::draw::draw;
use super::events::Heard;
use super::rows::Table;
use crate::cli::print::kinds::Kind;
use crate::dashboard::live::events::ShownEvent;
use crate::dashboard::live::testkit::{Server, at, busy, credentials, now};
use crate::dashboard::live::{Change, Loss, Watched};

/// Two pools, of which one rests; a message that would clear the screen of a terminal.
fn server() -> Server {
    let met = json!({
        "rateLimits": [{"key": "env/A", "until": at(252), "strikes": 2, "reason": "429 \u{1b}[2J too many requests"}],
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "Resting", "message": "all rest", "lastTransitionTime": at(-9)},
        ],
    });
    let assigned = |worker: &str| json!({"phase": "Assigned", "attempt": 1, "assignedAt": at(-95), "worker": {"name": worker, "uid": format!("{worker}-uid")}});
    let retried = json!({"phase": "Pending", "attempt": 2, "notBefore": at(20), "lastResult": {
        "attempt": 2, "outcome": "Overloaded", "closedAt": at(-1), "message": "529",
    }});
    let done = json!({"phase": "Failed", "attempt": 1, "finishedAt": at(-3700), "message": "exit code 1: \u{202e}no such file"});
    let mut server = Server::new()
        .pool("agents", &credentials(), &met)
        .pool("tools", &json!({"image": "tools", "max": 2}), &json!({}))
        .worker("agents-0", Some("a"), &json!({"phase": "Ready", "idleSince": at(-30), "dispatches": 7}))
        .worker("agents-1", Some("b"), &busy("résumé-日本語", -95))
        .worker("tools-0", None, &busy("build", -95))
        .worker("tools-1", None, &json!({"phase": "Starting", "message": "ErrImagePull: no such image"}))
        .dispatch("résumé-日本語", "agents", &assigned("agents-1"))
        .dispatch("build", "tools", &assigned("tools-0"))
        .dispatch("retried", "tools", &retried)
        .dispatch("failed", "tools", &done);
    for n in 0..30 {
        server = server.dispatch(&format!("task-{n:02}"), "agents", &json!({}));
    }
    server.listed()
}

fn app(server: &Server, colour: bool) -> App {
    App::new(server.view(), "default of the local server".into(), None, false, colour)
}

fn draw_at(app: &mut App, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    terminal
}

fn press(app: &mut App, keys: &[KeyCode]) {
    for key in keys {
        assert_eq!(app.key(KeyEvent::new(*key, KeyModifiers::NONE)), Effect::Draw);
    }
}

/// The screen as text, without the spaces at the ends of lines.
fn text(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            // The second half of a wide character is a cell of its own.
            if skip == 0 {
                line.push_str(symbol);
                skip = unicode_width::UnicodeWidthStr::width(symbol);
            }
            skip = skip.saturating_sub(1);
        }
        line.trim_end().to_owned()
    };
    (0..buffer.area.height).map(line).collect::<Vec<_>>().join("\n")
}

const SIZES: [(u16, u16); 3] = [(40, 10), (80, 24), (200, 50)];

#[test]
fn the_tables_at_three_sizes() {
    let server = server();
    for (width, height) in SIZES {
        let mut app = app(&server, false);
        let mut all = String::new();
        for table in Table::ALL {
            app.focus = table;
            if height == 50 && table != Table::Pools {
                continue; // all tables are there at once
            }
            all.push_str(&text(&draw_at(&mut app, width, height)));
            all.push_str("\n----\n");
        }
        assert_snapshot!(format!("tables-{width}x{height}"), all);
    }
}

#[test]
fn details_help_and_a_lost_server() {
    let mut server = server();
    server.apply(Change::Lost(
        Watched::Server,
        now() - SignedDuration::from_secs(75),
        Loss::away("connection refused\u{1b}]52;"),
    ));
    let mut app = app(&server, false);
    let mut screens = Vec::new();
    for (table, name) in Table::ALL.into_iter().zip(["pool", "worker", "dispatch", "credential"]) {
        app.focus = table;
        app.mode = Mode::Details(0);
        screens.push(format!("---- {name}\n{}\n", text(&draw_at(&mut app, 80, 24))));
    }
    app.mode = Mode::Help(0);
    screens.push(format!("---- help\n{}\n", text(&draw_at(&mut app, 80, 24))));
    let all = screens.concat();
    assert_snapshot!("details-and-help", all);
    assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}'), "what comes from outside acts on no terminal");
}

#[test]
fn colours_say_nothing_that_the_text_does_not() {
    let server = server();
    for (width, height) in SIZES {
        let (plain, coloured) =
            (draw_at(&mut app(&server, false), width, height), draw_at(&mut app(&server, true), width, height));
        assert_eq!(text(&plain), text(&coloured));
        let colours = |terminal: &Terminal<TestBackend>| {
            let cells = &terminal.backend().buffer().content;
            cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
        };
        assert_eq!(colours(&plain), 0);
        assert!(colours(&coloured) > 0);
    }
}

#[test]
fn every_size_can_be_drawn() {
    let server = server();
    for width in (0..60).chain([100, 300]) {
        for height in (0..14).chain([35, 36, 37, 70]) {
            let mut app = app(&server, true);
            for mode in [Mode::Tables, Mode::Filter, Mode::Details(9), Mode::Help(99)] {
                app.mode = mode;
                draw_at(&mut app, width, height);
            }
        }
    }
}

#[test]
fn keys_choose_filter_and_sort() {
    use KeyCode::{Char, Down, End, Enter, Esc, Tab};
    let server = server();
    let mut app = app(&server, false);
    let selected = |app: &App| app.selected().map(|i| app.model.dispatches[i].name.to_string()).unwrap();
    press(&mut app, &[Tab, Tab]);
    assert_eq!(app.focus, Table::Dispatches);
    assert_eq!(selected(&app), "build");
    press(&mut app, &[Down, Down, Down]);
    assert_eq!(selected(&app), "task-01");
    press(&mut app, &[End]);
    assert_eq!(selected(&app), "failed");
    let typed: Vec<KeyCode> = "/task-2".chars().map(Char).collect();
    press(&mut app, &typed);
    assert_eq!((app.pane(Table::Dispatches).lines.len(), app.pane(Table::Workers).lines.len()), (10, 0));
    press(&mut app, &[Enter, Char('g'), Down, Char('s')]);
    assert_eq!(selected(&app), "task-21");
    press(&mut app, &[Char('S')]);
    // It stays selected, on its new place.
    assert_eq!((selected(&app), app.pane(Table::Dispatches).cursor), ("task-21".to_owned(), 8));
    app.show(server.view());
    assert_eq!(selected(&app), "task-21");
    press(&mut app, &[Enter]);
    assert_eq!(app.mode, Mode::Details(0));
    press(&mut app, &[Char('q'), Esc]);
    assert_eq!((&app.mode, app.pane(Table::Dispatches).lines.len()), (&Mode::Tables, 34));
    assert_eq!(app.key(KeyEvent::new(Char('q'), KeyModifiers::NONE)), Effect::Quit);
    app.mode = Mode::Filter;
    assert_eq!(app.key(KeyEvent::new(Char('c'), KeyModifiers::CONTROL)), Effect::Quit);
}

#[test]
fn a_pool_is_shown_alone() {
    let server = server();
    let mut app = App::new(server.view(), String::new(), Some("tools".into()), false, false);
    assert_eq!(Table::ALL.map(|table| app.pane(table).lines.len()), [1, 2, 3, 0]);
    let screen = text(&draw_at(&mut app, 80, 24));
    assert!(screen.contains("1 busy 0 ready 0 resting 1 waiting") && !screen.contains("agents"), "{screen}");
}

#[test]
fn the_events_of_an_object_are_shown_if_they_may_be_read() {
    let mut app = app(&server(), false);
    app.flags = " --context prod".into();
    let screen = |app: &mut App| text(&draw_at(app, 80, 24));
    assert_eq!(app.subject(), None, "no details are open");
    (app.focus, app.mode) = (Table::Workers, Mode::Details(0));
    assert!(screen(&mut app).contains("\nPrinted       poolkeeper logs agents-0 --context prod\n"));
    assert!(!screen(&mut app).contains("\nEvent"), "nothing is known yet");
    let of = app.subject().unwrap();
    assert_eq!((of.kind, &*of.namespace, &*of.name), (Kind::Worker, "default", "agents-0"));
    let event = |seconds, warning, count, message: &str| ShownEvent {
        at: Some(at(seconds).parse().unwrap()),
        warning,
        reason: "StartFailed".into(),
        message: message.into(),
        count,
    };
    let heard = |events| Some(Heard { of: of.clone(), events });
    app.heard = heard(Ok(vec![event(-5, true, 7, "no \u{1b}[2J image"), event(-3900, false, 1, "slow")]));
    let shown = screen(&mut app);
    assert!(shown.contains("Event         5s ago, Warning StartFailed x7: no \\u{1b}[2J image\n"), "{shown}");
    assert!(shown.contains("Event         1h05m ago, StartFailed: slow\n"), "{shown}");
    app.heard = heard(Ok(Vec::new()));
    assert!(screen(&mut app).contains("Events        none\n"));
    app.heard = heard(Err("events is forbidden: User \"me\" cannot list".into()));
    let shown = screen(&mut app);
    assert!(shown.contains("Events        not shown: events is forbidden: User \"me\" cannot list\n"), "{shown}");
    app.focus = Table::Dispatches;
    assert!(!screen(&mut app).contains("\nEvents"), "they are of another object");
    app.focus = Table::Credentials;
    assert_eq!(app.subject(), None);
}

#[test]
fn fewer_namespaces_than_were_asked_for_are_named() {
    let mut app = app(&server(), false);
    app.less = Some("namespace default only: pools is forbidden:\u{1b} no".into());
    for (width, height) in SIZES {
        let screen = text(&draw_at(&mut app, width, height));
        assert!(screen.lines().nth(1).unwrap().starts_with("namespace default only: pools is forbi"), "{screen}");
        assert!(!screen.contains('\u{1b}'));
    }
}
