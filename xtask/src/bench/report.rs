//! The one table: every figure beside its floor, its ratio and its bar.
//!
//! A missed bar is shown, not punished: the exit code says only whether it could be measured.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;

use crate::stack::binaries::Profile;

/// Everything that was measured, in the order of the table.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    profile: Profile,
    broker: Option<&'static str>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    what: String,
    unit: Unit,
    value: f64,
    floor: Option<f64>,
    floor_is: Option<&'static str>,
    ratio: Option<f64>,
    #[serde(flatten)]
    bar: Option<Bar>,
    met: Option<bool>,
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Bytes of memory.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// How many a second.
    PerSecond,
    /// Hundredths.
    Percent,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bar {
    /// The value itself at most this.
    ValueAtMost(f64),
    /// At most this many times the floor.
    RatioAtMost(f64),
}

impl Row {
    /// A figure without a floor.
    pub(super) fn new(what: impl Into<String>, value: f64, unit: Unit) -> Self {
        let what = what.into();
        Self {
            what,
            unit,
            value,
            floor: None,
            floor_is: None,
            ratio: None,
            bar: None,
            met: None,
        }
    }

    /// The floor of the same run, and what it is. A floor of zero was not measured and has no ratio.
    pub(super) fn floor(mut self, floor: f64, floor_is: &'static str) -> Self {
        self.floor = Some(floor);
        self.floor_is = Some(floor_is);
        self.ratio = (floor > 0.0).then(|| self.value / floor);
        self
    }

    /// What it should be; to be called after `floor`.
    pub(super) fn bar(mut self, bar: Bar) -> Self {
        self.met = match bar {
            Bar::ValueAtMost(most) => Some(self.value <= most),
            Bar::RatioAtMost(most) => self.ratio.map(|ratio| ratio <= most),
        };
        self.bar = Some(bar);
        self
    }

    fn cells(&self) -> [String; 6] {
        let floor = self.floor.map(|floor| self.unit.show(floor));
        let floor = floor.map(|floor| format!("{floor}  {}", self.floor_is.unwrap_or_default()));
        let bar = self.bar.map(|bar| match bar {
            Bar::ValueAtMost(most) => format!("≤ {}", self.unit.show(most)),
            Bar::RatioAtMost(most) => format!("≤ {most} ×"),
        });
        let met = self.met.map(|met| if met { "met" } else { "MISSED" });
        [
            self.what.clone(),
            self.unit.show(self.value),
            floor.unwrap_or_default(),
            self.ratio
                .map(|ratio| format!("{ratio:.2} ×"))
                .unwrap_or_default(),
            bar.unwrap_or_default(),
            met.unwrap_or_default().to_owned(),
        ]
    }
}

impl Unit {
    /// A value with its unit, as precise as it deserves.
    fn show(self, value: f64) -> String {
        match self {
            Self::Bytes if value.abs() >= 1024.0 * 1024.0 => format!("{:.1} MB", value / (1024.0 * 1024.0)),
            Self::Bytes => format!("{:.2} KB", value / 1024.0),
            Self::Milliseconds => format!("{value:.3} ms"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Percent => format!("{value:.2} %"),
        }
    }
}

impl Report {
    /// An empty report about one kind of build.
    pub(super) fn new(profile: Profile) -> Self {
        let mut report = Self {
            profile,
            broker: None,
            rows: Vec::new(),
            notes: Vec::new(),
        };
        if profile == Profile::Dev {
            report.note("a DEBUG build was measured: ratios and bars say nothing about a release");
        }
        report
    }

    /// Says which broker carried the records.
    pub(super) fn broker(&mut self, broker: &'static str) {
        self.broker = Some(broker);
    }

    /// Adds a figure.
    pub(super) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a remark below the table.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        let header = ["WHAT", "MEASURED", "FLOOR", "RATIO", "BAR", ""];
        table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        let notes: String = self.notes.iter().map(|note| format!("\n- {note}")).collect();
        let broker = self
            .broker
            .map(|broker| match broker {
                "apache" => {
                    format!("\n- broker: {broker}, its Java by the options of Kafka's own start script")
                }
                _ => format!("\n- broker: {broker}"),
            })
            .unwrap_or_default();
        format!("{table}{notes}{broker}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_judged_against_its_bar() {
        let row = |value| {
            Row::new("x", value, Unit::Milliseconds)
                .floor(2.0, "f")
                .bar(Bar::RatioAtMost(3.0))
        };
        assert_eq!((row(6.0).ratio, row(6.0).met), (Some(3.0), Some(true)));
        assert_eq!((row(6.1).ratio, row(6.1).met), (Some(3.05), Some(false)));
    }

    #[test]
    fn a_value_is_judged_whatever_its_floor_is() {
        let row = |value| {
            Row::new("x", value, Unit::Bytes)
                .floor(1.0, "f")
                .bar(Bar::ValueAtMost(4096.0))
        };
        assert_eq!((row(4096.0).met, row(4097.0).met), (Some(true), Some(false)));
    }

    #[test]
    fn a_floor_that_was_not_measured_gives_no_verdict() {
        let row = Row::new("x", 1.0, Unit::PerSecond)
            .floor(0.0, "f")
            .bar(Bar::RatioAtMost(1.0));
        assert_eq!((row.ratio, row.met), (None, None));
    }

    #[test]
    fn the_table_shows_a_missed_bar_and_the_notes() {
        let mut report = Report::new(Profile::Dev);
        let row = Row::new("an idle charger", 5_000.0, Unit::Bytes);
        report.row(row.floor(2_500.0, "bare").bar(Bar::ValueAtMost(4096.0)));
        report.note("the kernel's share is not included");
        let table = report.table();
        for part in [
            "4.88 KB",
            "2.44 KB  bare",
            "2.00 ×",
            "≤ 4.00 KB",
            "MISSED",
            "DEBUG",
            "kernel's share",
        ] {
            assert!(table.contains(part), "{part} in {table}");
        }
    }

    #[test]
    fn the_json_has_the_numbers_of_the_table() {
        let mut report = Report::new(Profile::Release);
        report.row(
            Row::new("p50", 3.0, Unit::Milliseconds)
                .floor(2.0, "sum")
                .bar(Bar::RatioAtMost(3.0)),
        );
        report.row(Row::new("connects", 9.0, Unit::PerSecond));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["profile"], "release");
        let row = &json["rows"][0];
        assert_eq!(
            (&row["ratio"], &row["met"], &row["ratio_at_most"]),
            (&1.5.into(), &true.into(), &3.0.into())
        );
        assert_eq!(json["rows"][1]["met"], serde_json::Value::Null);
    }

    #[test]
    fn units_are_readable() {
        assert_eq!(Unit::Bytes.show(1024.0 * 1024.0 * 1.5), "1.5 MB");
        assert_eq!(Unit::Milliseconds.show(0.0812), "0.081 ms");
        assert_eq!(Unit::PerSecond.show(20_417.4), "20417 /s");
        assert_eq!(Unit::Percent.show(0.417), "0.42 %");
    }
}
