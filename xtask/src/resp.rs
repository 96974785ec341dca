//! As much of RESP2, the protocol of Redis, as faults, dumps and floors need; no client library may be named here.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK` or `$2…`.
    Text(Vec<u8>),
    /// `:1`.
    Integer(i64),
    /// `*2…`.
    List(Vec<Reply>),
    /// Nothing.
    Nil,
}

/// One connection, one command at a time.
#[derive(Debug)]
pub(crate) struct Redis(BufReader<TcpStream>);

impl Redis {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = stream.context("Redis does not answer")?;
        let stream = stream.context("connecting to Redis")?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// One command and its answer; an error answer is an error.
    pub(crate) async fn call(&mut self, words: &[&[u8]]) -> Result<Reply> {
        let exchange = async {
            self.0.get_mut().write_all(&encode(words)).await?;
            Box::pin(read(&mut self.0)).await
        };
        timeout(PATIENCE, exchange)
            .await
            .context("Redis does not answer")?
    }
}

impl Reply {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements; none of what is no list.
    pub(crate) fn list(self) -> Vec<Self> {
        match self {
            Self::List(list) => list,
            _ => Vec::new(),
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

async fn read<S: AsyncBufReadExt + Unpin>(stream: &mut S) -> Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let Some(line) = line.strip_suffix("\r\n") else {
        bail!("Redis closed the connection");
    };
    let (kind, text) = line.split_at_checked(1).context("an answer of Redis is empty")?;
    let number = || text.parse::<i64>().context("a number of Redis");
    Ok(match kind {
        "+" => Reply::Text(text.as_bytes().to_vec()),
        "-" => bail!("Redis: {text}"),
        ":" => Reply::Integer(number()?),
        "$" => {
            let Ok(length) = usize::try_from(number()?) else {
                return Ok(Reply::Nil);
            };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes).await?;
            bytes.truncate(length);
            Reply::Text(bytes)
        }
        "*" => {
            let mut list = Vec::new();
            for _ in 0..number()? {
                list.push(Box::pin(read(stream)).await?);
            }
            Reply::List(list)
        }
        other => bail!("an answer of Redis begins with {other:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        assert_eq!(encode(&[b"GET", b"k\r\n"]), b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n");
    }

    #[tokio::test]
    async fn half_an_answer_is_an_error_at_every_byte() {
        let whole = b"*2\r\n$12\r\nhello\r\nworld\r\n:1\r\n";
        for length in 0..whole.len() {
            assert!(read(&mut &whole[..length]).await.is_err(), "{length} bytes");
        }
        assert!(read(&mut &whole[..]).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_no_answer_is_refused() {
        for bytes in [&b"HTTP/1.1\r\n"[..], b":x\r\n", b"\r\n", b"$x\r\n"] {
            assert!(read(&mut &bytes[..]).await.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn lists_in_lists_and_nothing_are_read() {
        let bytes = b"*4\r\n$3\r\na\r\n\r\n:-7\r\n$-1\r\n*1\r\n+OK\r\n";
        let reply = read(&mut &bytes[..]).await.unwrap();
        let expected = [
            Reply::Text(b"a\r\n".to_vec()),
            Reply::Integer(-7),
            Reply::Nil,
            Reply::List(vec![Reply::Text(b"OK".to_vec())]),
        ];
        assert_eq!(reply.list(), expected);
    }

    #[tokio::test]
    async fn an_error_answer_is_an_error_with_its_text() {
        let error = read(&mut &b"-MISCONF disk\r\n"[..]).await.unwrap_err();
        assert!(error.to_string().contains("MISCONF disk"));
        assert!(read(&mut &b""[..]).await.is_err());
    }
}
