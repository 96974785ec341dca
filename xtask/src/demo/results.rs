//! Reads `command-results` while it grows, through the bus's `topic-tail`, into the ledger.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};
use wire::gateway::record::v1::CommandResult;

use super::ledger::End;
use super::load::SharedLedger;
use super::wall_us;

/// How often the end of the file is looked at again.
const POLL: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct Line {
    payload: String,
}

/// Follows the file for ever.
pub(super) async fn follow(file: PathBuf, ledger: SharedLedger) -> Result<()> {
    let mut lines = BufReader::new(File::open(&file).await.context("opening the results")?);
    let mut line = String::new();
    loop {
        // A line that is half there is read on with the next look.
        if lines.read_line(&mut line).await? == 0 || !line.ends_with('\n') {
            tokio::time::sleep(POLL).await;
            continue;
        }
        if let Some(result) = decode(&line)? {
            let end = End {
                state: result.state,
                reason: result.reason,
                read_us: wall_us(),
            };
            ledger
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .end(&result.command_id, end);
        }
        line.clear();
    }
}

/// Decodes one line; what is no JSON object is something the tool says about itself.
pub(crate) fn decode(line: &str) -> Result<Option<CommandResult>> {
    if !line.starts_with('{') {
        return Ok(None);
    }
    let line: Line = serde_json::from_str(line).context("reading a line of results")?;
    let bytes =
        (0..line.payload.len() / 2).map(|at| u8::from_str_radix(&line.payload[2 * at..2 * at + 2], 16));
    let bytes: Vec<u8> = bytes
        .collect::<Result<_, _>>()
        .context("a payload is no hexadecimal text")?;
    Ok(Some(
        CommandResult::decode(bytes.as_slice()).context("a record on command-results is no CommandResult")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_decoded_and_other_output_is_passed_over() {
        let record = CommandResult {
            command_id: "x".to_owned(),
            state: "EXPIRED".to_owned(),
            ..Default::default()
        };
        let payload: String = record
            .encode_to_vec()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let line = format!("{{\"partition\":0,\"offset\":1,\"key\":\"A\",\"payload\":\"{payload}\"}}\n");
        assert_eq!(decode(&line).unwrap(), Some(record));
        assert_eq!(decode("%3|1763|FAIL| broker down\n").unwrap(), None);
        assert!(decode("{\"payload\":\"zz\"}\n").is_err());
    }
}
