//! Everything that Redis holds at the end, key by key, as it is: `dump.jsonl`. Left out: what it means.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::resp::{Redis, Reply};

/// Writes the dump into the run's folder.
pub(super) async fn write(redis: SocketAddr, folder: &Path) -> Result<()> {
    let mut redis = Redis::open(redis).await?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(folder.join("dump.jsonl"))?);
    let mut cursor = b"0".to_vec();
    loop {
        let scanned = redis.call(&[b"SCAN", &cursor, b"COUNT", b"500"]).await?;
        let mut parts = scanned.list().into_iter();
        cursor = parts
            .next()
            .and_then(|next| next.text().map(<[u8]>::to_vec))
            .context("a scan without a cursor")?;
        for key in parts.next().map(Reply::list).unwrap_or_default() {
            if let Some(line) = dump_key(&mut redis, key.text().unwrap_or_default()).await? {
                writeln!(file, "{line}")?;
            }
        }
        if cursor == b"0" {
            return Ok(file.flush()?);
        }
    }
}

/// One key; none if it left meanwhile.
async fn dump_key(redis: &mut Redis, key: &[u8]) -> Result<Option<Value>> {
    let kind = redis.call(&[b"TYPE", key]).await?;
    let kind = String::from_utf8_lossy(kind.text().unwrap_or_default()).into_owned();
    let ttl_ms = match redis.call(&[b"PTTL", key]).await? {
        Reply::Integer(ttl) => ttl,
        _ => -1,
    };
    let value = match kind.as_str() {
        "string" => plain(&redis.call(&[b"GET", key]).await?),
        "hash" => pairs(redis.call(&[b"HGETALL", key]).await?, |pairs| {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Value::Object(
                pairs
                    .into_iter()
                    .map(|(name, value)| (text(&name), value))
                    .collect::<Map<_, _>>(),
            )
        }),
        "zset" => pairs(
            redis.call(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]).await?,
            |pairs| {
                pairs
                    .into_iter()
                    .map(|(member, score)| json!([member, score]))
                    .collect()
            },
        ),
        "list" => plain(&redis.call(&[b"LRANGE", key, b"0", b"-1"]).await?),
        "set" => plain(&redis.call(&[b"SMEMBERS", key]).await?),
        "stream" => plain(&redis.call(&[b"XRANGE", key, b"-", b"+"]).await?),
        _ => return Ok(None),
    };
    let key = text(key);
    Ok(Some(
        json!({ "key": key, "type": kind, "ttl_ms": ttl_ms, "value": value }),
    ))
}

fn pairs(reply: Reply, build: impl FnOnce(Vec<(Value, Value)>) -> Value) -> Value {
    let flat = reply.list();
    build(
        flat.chunks_exact(2)
            .map(|pair| (plain(&pair[0]), plain(&pair[1])))
            .collect(),
    )
}

fn plain(reply: &Reply) -> Value {
    match reply {
        Reply::Text(bytes) => text(bytes),
        Reply::Integer(number) => json!(number),
        Reply::List(list) => list.iter().map(plain).collect(),
        Reply::Nil => Value::Null,
    }
}

/// Text as it is; other bytes in hexadecimal, said so.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!(format!("hex:{hex}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        assert_eq!(text(b"hf:{s1}:due"), json!("hf:{s1}:due"));
        assert_eq!(text(&[0xff, 0]), json!("hex:ff00"));
        let scored = Reply::List(vec![Reply::Text(b"x".to_vec()), Reply::Text(b"7".to_vec())]);
        let value = pairs(scored, |pairs| {
            pairs.into_iter().map(|(a, b)| json!([a, b])).collect()
        });
        assert_eq!(value, json!([["x", "7"]]));
    }
}
