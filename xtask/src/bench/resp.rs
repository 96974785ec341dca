//! As much of RESP2, the protocol of Redis, as it takes to time a script: no client library may be named here.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer that is no array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// `+OK`.
    Simple(String),
    /// `-ERR …`.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// `$2`, or nothing.
    Bulk(Option<Vec<u8>>),
}

/// One connection, one command at a time.
#[derive(Debug)]
pub(super) struct RedisConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RedisConnection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting to Redis")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// One command and its answer; an error answer is an error.
    pub(super) async fn call(&mut self, words: &[&[u8]]) -> Result<Reply> {
        self.stream.write_all(&encode(words)).await?;
        self.buffer.clear();
        loop {
            if let Some((reply, _)) = parse(&self.buffer)? {
                return match reply {
                    Reply::Error(text) => bail!("Redis: {text}"),
                    other => Ok(other),
                };
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("Redis closed the connection");
            }
        }
    }
}

/// A command as Redis reads it: an array of bulk strings.
fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The answer at the beginning of `bytes` and its length; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let (line, after) = (std::str::from_utf8(&bytes[..end])?, end + 2);
    let (kind, text) = line.split_at_checked(1).context("an answer of Redis is empty")?;
    let reply = match kind {
        "+" => Reply::Simple(text.to_owned()),
        "-" => Reply::Error(text.to_owned()),
        ":" => Reply::Integer(text.parse().context("an integer of Redis")?),
        "$" if text == "-1" => Reply::Bulk(None),
        "$" => {
            let length: usize = text.parse().context("a length of Redis")?;
            let bulk = bytes.get(after..after + length);
            let whole = bytes.len() >= after + length + 2;
            return Ok(bulk
                .filter(|_| whole)
                .map(|bulk| (Reply::Bulk(Some(bulk.to_vec())), after + length + 2)));
        }
        other => bail!("an answer of Redis begins with {other:?}"),
    };
    Ok(Some((reply, after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        assert_eq!(encode(&[b"GET", b"k\r\n"]), b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n");
    }

    #[test]
    fn every_kind_of_answer_is_read_with_its_length() {
        let cases: [(&[u8], Reply, usize); 5] = [
            (b"+OK\r\n", Reply::Simple("OK".to_owned()), 5),
            (
                b"-NOSCRIPT none\r\n",
                Reply::Error("NOSCRIPT none".to_owned()),
                16,
            ),
            (b":-7\r\n+OK\r\n", Reply::Integer(-7), 5),
            (b"$-1\r\n", Reply::Bulk(None), 5),
            (
                b"$4\r\na\r\nb\r\n:1\r\n",
                Reply::Bulk(Some(b"a\r\nb".to_vec())),
                10,
            ),
        ];
        for (bytes, reply, length) in cases {
            assert_eq!(parse(bytes).unwrap(), Some((reply, length)));
        }
    }

    #[test]
    fn half_an_answer_is_none_at_every_byte() {
        let whole = b"$12\r\nhello\r\nworld\r\n";
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).unwrap(), None, "{length} bytes");
        }
        assert!(parse(whole).unwrap().is_some());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [&b"HTTP/1.1\r\n"[..], b":x\r\n", b"\r\n", b"*1\r\n"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
