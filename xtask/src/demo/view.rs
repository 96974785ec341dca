//! What the demo shows while it runs: a screen that is drawn anew on a terminal, plain lines elsewhere. Both go
//! to standard error, so that standard output stays for the result.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Stderr, stderr};
use std::time::{Duration, Instant};

use ratatui::layout::{Constraint, Layout};
use ratatui::prelude::{CrosstermBackend, Frame, Stylize, Terminal};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};
use ratatui::{TerminalOptions, Viewport};

use super::look::EdgeState;
use crate::progress::say;

/// Rows of the live view.
const HEIGHT: u16 = 18;

/// One moment of the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// The edges by name, each with its connections.
    pub(super) edges: BTreeMap<String, EdgeState>,
    /// Ended commands by state.
    pub(super) states: BTreeMap<String, usize>,
    /// Accepted commands.
    pub(super) accepted: usize,
    /// Of these: not ended yet.
    pub(super) open: usize,
    /// Median and 99th percentile so far, milliseconds.
    pub(super) latency_ms: (Option<f64>, Option<f64>),
}

/// The view.
pub(super) struct View {
    begun: Instant,
    events: Vec<String>,
    terminal: Option<Terminal<CrosstermBackend<Stderr>>>,
    last_line: u64,
}

impl View {
    /// A view for where standard error goes: of lines, unless that is a terminal that can be drawn on.
    pub(super) fn new() -> Self {
        let terminal = if stderr().is_terminal() {
            let options = TerminalOptions {
                viewport: Viewport::Inline(HEIGHT),
            };
            // It asks the terminal where its cursor is, and not every one answers.
            Terminal::with_options(CrosstermBackend::new(stderr()), options).ok()
        } else {
            None
        };
        Self {
            begun: Instant::now(),
            events: Vec::new(),
            terminal,
            last_line: 0,
        }
    }

    /// How long it has been shown: the time of the events.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Something happened.
    pub(super) fn event(&mut self, text: impl Into<String>) {
        let line = format!("{:5.1} s  {}", self.begun.elapsed().as_secs_f64(), text.into());
        if self.terminal.is_none() {
            say(&line);
        }
        self.events.push(line);
    }

    /// Shows a moment; without a terminal a line every other second.
    pub(super) fn show(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let events = &self.events;
        if let Some(terminal) = &mut self.terminal {
            terminal.draw(|frame| draw(frame, snapshot, events))?;
            return Ok(());
        }
        let seconds = self.begun.elapsed().as_secs();
        if seconds >= self.last_line + 2 {
            self.last_line = seconds;
            say(format!("{seconds:3} s    {}", plain(snapshot)));
        }
        Ok(())
    }
}

fn plain(snapshot: &Snapshot) -> String {
    let edges = snapshot
        .edges
        .iter()
        .map(|(edge, state)| format!("{edge} {state}"));
    let states = snapshot
        .states
        .iter()
        .map(|(state, count)| format!("{} {count}", state.to_lowercase()));
    format!(
        "connections: {} | accepted {}, open {}, {} | p50 {} p99 {}",
        edges.collect::<Vec<_>>().join(", "),
        snapshot.accepted,
        snapshot.open,
        states.collect::<Vec<_>>().join(", "),
        milliseconds(snapshot.latency_ms.0),
        milliseconds(snapshot.latency_ms.1),
    )
}

fn draw(frame: &mut Frame, snapshot: &Snapshot, events: &[String]) {
    let [top, bottom] = Layout::vertical([Constraint::Length(8), Constraint::Min(4)]).areas(frame.area());
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(top);
    let edges = snapshot
        .edges
        .iter()
        .map(|(edge, state)| Row::new([edge.clone(), state.to_string()]));
    let edges = Table::new(edges, [Constraint::Length(12), Constraint::Length(10)]);
    frame.render_widget(edges.block(Block::bordered().title(" connections ".bold())), left);
    let mut commands = vec![
        Row::new(["accepted".to_owned(), snapshot.accepted.to_string()]),
        Row::new(["open".to_owned(), snapshot.open.to_string()]),
    ];
    commands.extend(
        snapshot
            .states
            .iter()
            .map(|(state, count)| Row::new([state.to_lowercase(), count.to_string()])),
    );
    let (p50, p99) = snapshot.latency_ms;
    let title = format!(" commands, p50 {} p99 {} ", milliseconds(p50), milliseconds(p99));
    let commands = Table::new(commands, [Constraint::Length(16), Constraint::Length(10)]);
    frame.render_widget(commands.block(Block::bordered().title(title.bold())), right);
    let visible = usize::from(bottom.height.saturating_sub(2));
    let last = events
        .iter()
        .skip(events.len().saturating_sub(visible))
        .map(|event| Line::from(event.as_str()));
    let events = Paragraph::new(last.collect::<Vec<_>>());
    frame.render_widget(events.block(Block::bordered().title(" events ".bold())), bottom);
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_which_edge_is_down_or_silent_and_how_fast_answers_are() {
        let snapshot = Snapshot {
            edges: BTreeMap::from([
                ("edge-1".to_owned(), EdgeState::Holds(500)),
                ("edge-2".to_owned(), EdgeState::Down),
                ("edge-3".to_owned(), EdgeState::NoAnswer),
            ]),
            states: BTreeMap::from([("ACKNOWLEDGED".to_owned(), 7)]),
            accepted: 9,
            open: 2,
            latency_ms: (Some(12.34), None),
        };
        let line = plain(&snapshot);
        assert_eq!(
            line,
            "connections: edge-1 500, edge-2 down, edge-3 no answer | accepted 9, open 2, acknowledged 7 | p50 12.3 ms p99 -"
        );
    }
}
