//! What the results and the dead letter topics hold, as histories: read while they grow, and once more from the start at
//! the end, so that a reader that a fault made deaf hides nothing. A record is written down once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use wire::gateway::record::v1::{CommandResult, DeadLetter};

use super::chronicle::Chronicle;
use super::rig::Rig;
use crate::stack::settings;
use crate::supervise::{ChildSpec, Guarded};

/// The topics, and what their histories are called.
const TOPICS: [(&str, &str); 2] = [
    ("command-results", "results"),
    ("commands-dead-letter", "dead-letters"),
];

/// How often the end of a file is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// A topic has been read to its end when nothing came for so long.
const SILENCE: Duration = Duration::from_millis(1_500);

/// The longest that the last reading may take.
const LAST_READING: Duration = Duration::from_secs(20);

/// What the tool prints of a record.
#[derive(Debug, Deserialize)]
struct Line {
    partition: i64,
    offset: i64,
    payload: String,
}

/// What was read of one topic.
#[derive(Debug)]
struct Reading {
    topic: &'static str,
    chronicle: Chronicle,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    places: BTreeSet<(i64, i64)>,
    ids: BTreeSet<String>,
    last: Option<Instant>,
}

/// The readers of both topics.
#[derive(Debug)]
pub(super) struct Readers {
    readings: Vec<Arc<Reading>>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Readers {
    /// Starts to read.
    pub(super) async fn start(rig: &mut Rig) -> Result<Self> {
        let mut readers = Self {
            readings: Vec::new(),
            tasks: Vec::new(),
        };
        for (topic, name) in TOPICS {
            readers.readings.push(Arc::new(Reading {
                topic,
                chronicle: Chronicle::open(&rig.folder, name)?,
                seen: Mutex::default(),
            }));
        }
        readers.read_all(rig, "tail").await?;
        Ok(readers)
    }

    /// How many commands have a result.
    pub(super) fn results(&self) -> usize {
        self.readings
            .first()
            .map_or(0, |reading| reading.lock().ids.len())
    }

    /// Reads everything once more from the start and returns when nothing new comes.
    pub(super) async fn finish(&mut self, rig: &mut Rig) -> Result<()> {
        for reading in &self.readings {
            reading.lock().last = None;
        }
        self.read_all(rig, "again").await?;
        let deadline = Instant::now() + LAST_READING;
        while Instant::now() < deadline && !self.readings.iter().all(|reading| reading.is_silent()) {
            sleep(POLL).await;
        }
        for task in self.tasks.drain(..) {
            if task.is_finished() {
                task.await.context("a reader ended abnormally")??;
            } else {
                task.abort();
            }
        }
        Ok(())
    }

    /// Reads everything once more from the start while it grows: a reader knows only the partitions that there were.
    pub(super) async fn read_grown(&mut self, rig: &mut Rig) -> Result<()> {
        self.read_all(rig, "grown").await
    }

    async fn read_all(&mut self, rig: &mut Rig, how: &str) -> Result<()> {
        for reading in &self.readings {
            let name = format!("{how}-{}", reading.topic);
            let command = Guarded::new(rig.binaries.path(settings::TOPIC_TAIL)).args([
                "--bootstrap",
                &rig.kafka,
                "--topic",
                reading.topic,
                "--exit-on-stdin-close",
            ]);
            rig.supervisor.start(ChildSpec::new(&name, command)).await?;
            let log = rig.supervisor.log_of(&name);
            self.tasks.push(tokio::spawn(follow(log, Arc::clone(reading))));
        }
        Ok(())
    }
}

impl Reading {
    fn take(&self, text: &str) -> Result<()> {
        // What is no JSON object is something the tool says about itself.
        if !text.starts_with('{') {
            return Ok(());
        }
        let line: Line = serde_json::from_str(text).context("reading a record")?;
        let mut seen = self.lock();
        seen.last = Some(Instant::now());
        if !seen.places.insert((line.partition, line.offset)) {
            return Ok(());
        }
        let result = decode(&line.payload, self.topic)?;
        seen.ids.insert(result.command_id.clone());
        self.chronicle.note("record", fields(self.topic, &line, &result))
    }

    fn is_silent(&self) -> bool {
        self.lock().last.is_some_and(|last| last.elapsed() > SILENCE)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows a tool's output for ever.
async fn follow(file: PathBuf, reading: Arc<Reading>) -> Result<()> {
    let mut lines = BufReader::new(open(&file).await?);
    let mut line = String::new();
    loop {
        // A line that is half there is read on with the next look.
        if lines.read_line(&mut line).await? == 0 || !line.ends_with('\n') {
            sleep(POLL).await;
            continue;
        }
        reading.take(&line)?;
        line.clear();
    }
}

async fn open(file: &Path) -> Result<File> {
    File::open(file)
        .await
        .with_context(|| format!("opening {}", file.display()))
}

fn decode(hex: &str, topic: &str) -> Result<CommandResult> {
    let byte = |at: usize| hex.get(2 * at..2 * at + 2).map(|two| u8::from_str_radix(two, 16));
    let bytes: Option<Result<Vec<u8>, _>> = (0..hex.len() / 2).map(byte).collect();
    let bytes = bytes
        .context("a payload is cut short")?
        .context("a payload is no hexadecimal text")?;
    if topic == TOPICS[1].0 {
        let dead = DeadLetter::decode(bytes.as_slice()).context("a record is no DeadLetter")?;
        return dead.result.context("a dead letter without a result");
    }
    CommandResult::decode(bytes.as_slice()).context("a record is no CommandResult")
}

fn fields(topic: &str, line: &Line, result: &CommandResult) -> Value {
    json!({
        "topic": topic,
        "partition": line.partition,
        "offset": line.offset,
        "id": result.command_id,
        "record_id": result.record_id,
        "cp": result.charge_point_id,
        "seq": result.sequence,
        "state": result.state,
        "reason": Some(&result.reason).filter(|reason| !reason.is_empty()),
        "possibly_written": result.possibly_written,
        "attempts": result.attempts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(message: &impl Message) -> String {
        message
            .encode_to_vec()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    #[test]
    fn a_record_is_written_down_once_however_often_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let reading = Reading {
            topic: TOPICS[0].0,
            chronicle: Chronicle::open(folder.path(), "results").unwrap(),
            seen: Mutex::default(),
        };
        let result = CommandResult {
            command_id: "x".to_owned(),
            state: "EXPIRED".to_owned(),
            ..CommandResult::default()
        };
        let line = format!(
            "{{\"partition\":1,\"offset\":2,\"payload\":\"{}\"}}\n",
            hex(&result)
        );
        for text in [line.as_str(), "%3|fetch failed\n", &line] {
            reading.take(text).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join("results.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("\"state\":\"EXPIRED\"") && text.contains("\"reason\":null"));
    }

    #[test]
    fn a_dead_letter_is_known_by_its_result() {
        let result = CommandResult {
            record_id: "x:7".to_owned(),
            ..CommandResult::default()
        };
        let dead = DeadLetter {
            result: Some(result),
            ..DeadLetter::default()
        };
        assert_eq!(decode(&hex(&dead), TOPICS[1].0).unwrap().record_id, "x:7");
        assert!(decode("zz", TOPICS[0].0).is_err());
    }
}
