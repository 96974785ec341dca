//! A charger under a test's hand: every message is sent, awaited or withheld by the test.
//!
//! It is deliberately not the simulator: it may say what no charger should. Reconnecting by itself is left to
//! `companion`.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Role, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::handshake::Handshake;
use crate::wait::{eventually, within};

/// The subprotocol of OCPP 1.6.
pub const OCPP16: &str = "ocpp1.6";

/// A CALL from the gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its messageId: the command's id.
    pub id: String,
    /// The action.
    pub action: String,
    /// The payload.
    pub payload: Value,
}

/// What the gateway answered to a CALL of the charger.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// CALLRESULT.
    Result(Value),
    /// CALLERROR: code and description.
    Error(String, String),
}

/// One connection of a charger.
#[derive(Debug)]
pub struct Charger {
    /// Its identity.
    pub id: String,
    socket: WebSocketStream<TcpStream>,
    calls: VecDeque<Call>,
    next_id: u32,
}

/// What the gateway sent.
#[derive(Debug)]
enum Incoming {
    Call(Call),
    Reply(String, Reply),
    /// The connection is over, with the close code if there was one.
    End(Option<CloseCode>),
}

impl Charger {
    /// Connects with OCPP 1.6; an edge that is not ready yet is tried again.
    pub async fn connect(edge: SocketAddr, id: &str) -> Self {
        Self::connect_as(edge, id, OCPP16).await
    }

    /// Connects with these subprotocols; an edge that is not ready yet is tried again.
    pub async fn connect_as(edge: SocketAddr, id: &str, protocols: &str) -> Self {
        eventually(format_args!("{id} can connect to {edge}"), async || {
            Self::try_connect(edge, id, protocols).await.ok()
        })
        .await
    }

    /// One attempt.
    pub async fn try_connect(edge: SocketAddr, id: &str, protocols: &str) -> Result<Self> {
        let mut request = format!("ws://{edge}/ocpp/{id}").into_client_request()?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", HeaderValue::from_str(protocols)?);
        let stream = TcpStream::connect(edge).await?;
        stream.set_nodelay(true)?;
        let (socket, _response) = client_async(request, stream).await?;
        Ok(Self::over(socket, id))
    }

    /// A charger over a connection that was upgraded by hand.
    pub async fn from_handshake(handshake: Handshake, id: &str) -> Self {
        Self::over(
            WebSocketStream::from_raw_socket(handshake.stream, Role::Client, None).await,
            id,
        )
    }

    /// Sends a CALL and waits for its answer; CALLs of the gateway that come first are kept.
    pub async fn call(&mut self, action: &str, payload: &Value) -> Reply {
        let id = self.send_call(action, payload).await;
        self.reply_to(&id).await
    }

    /// Sends a CALL without waiting; returns its messageId.
    pub async fn send_call(&mut self, action: &str, payload: &Value) -> String {
        self.next_id += 1;
        let id = format!("{}-{}", self.id, self.next_id);
        self.send_text(&json!([2, id, action, payload]).to_string()).await;
        id
    }

    /// Waits for the answer to one CALL.
    pub async fn reply_to(&mut self, id: &str) -> Reply {
        let charger = self.id.clone();
        within(format_args!("{charger} gets the answer to {id}"), async {
            loop {
                match self.incoming().await {
                    Incoming::Reply(answered, reply) if answered == id => return reply,
                    Incoming::Reply(..) => {}
                    Incoming::Call(call) => self.calls.push_back(call),
                    Incoming::End(code) => {
                        panic!("{charger} was closed ({code:?}) before the answer to {id}")
                    }
                }
            }
        })
        .await
    }

    /// The next answer, whichever CALL it is for.
    pub async fn next_reply(&mut self) -> (String, Reply) {
        let charger = self.id.clone();
        within(format_args!("{charger} gets an answer"), async {
            loop {
                match self.incoming().await {
                    Incoming::Reply(id, reply) => return (id, reply),
                    Incoming::Call(call) => self.calls.push_back(call),
                    Incoming::End(code) => panic!("{charger} was closed ({code:?}) instead"),
                }
            }
        })
        .await
    }

    /// The next CALL of the gateway.
    pub async fn expect_call(&mut self) -> Call {
        let charger = self.id.clone();
        within(format_args!("{charger} gets a CALL"), self.next_call())
            .await
            .expect("the connection is open")
    }

    /// The next CALL of the gateway, however long it takes; `None` once the connection is over. Cancel safe.
    pub async fn next_call(&mut self) -> Option<Call> {
        if let Some(call) = self.calls.pop_front() {
            return Some(call);
        }
        loop {
            match self.incoming().await {
                Incoming::Call(call) => return Some(call),
                Incoming::Reply(..) => {}
                Incoming::End(_) => return None,
            }
        }
    }

    /// Takes the next CALL and accepts it.
    pub async fn accept_next(&mut self) -> Call {
        let call = self.expect_call().await;
        self.answer(&call.id, &json!({"status": "Accepted"})).await;
        call
    }

    /// Answers a CALL.
    pub async fn answer(&mut self, id: &str, payload: &Value) {
        self.send_text(&json!([3, id, payload]).to_string()).await;
    }

    /// Refuses a CALL by a CALLERROR.
    pub async fn answer_error(&mut self, id: &str, code: &str, description: &str) {
        self.send_text(&json!([4, id, code, description, {}]).to_string())
            .await;
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .await
            .expect("the connection takes a text");
    }

    /// Sends any text, also where the gateway may close meanwhile.
    pub async fn try_send_text(&mut self, text: &str) -> Result<()> {
        self.socket
            .send(Message::text(text))
            .await
            .context("sending a text")
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.socket
            .send(Message::Binary(Bytes::copy_from_slice(bytes)))
            .await
            .expect("the connection takes it");
    }

    /// Waits until the gateway ends the connection; the close code if it gave one. What comes first is dropped.
    pub async fn closed(&mut self) -> Option<CloseCode> {
        let charger = self.id.clone();
        within(format_args!("{charger} is closed"), async {
            loop {
                if let Incoming::End(code) = self.incoming().await {
                    return code;
                }
            }
        })
        .await
    }

    /// Closes in order.
    pub async fn close(mut self) {
        let _gone_already = self.socket.close(None).await;
        within("the close is answered", async {
            while let Some(Ok(_)) = self.socket.next().await {}
        })
        .await;
    }

    fn over(socket: WebSocketStream<TcpStream>, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            socket,
            calls: VecDeque::new(),
            next_id: 0,
        }
    }

    /// The next thing that matters; pings are answered by the library while it reads.
    async fn incoming(&mut self) -> Incoming {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return parse(&text),
                Some(Ok(Message::Close(frame))) => {
                    // The library answers the close while it is read on.
                    while let Some(Ok(_)) = self.socket.next().await {}
                    return Incoming::End(frame.map(|frame| frame.code));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Incoming::End(None),
            }
        }
    }
}

fn parse(text: &str) -> Incoming {
    let frame: Value = serde_json::from_str(text).expect("the gateway speaks JSON");
    let word = |at: usize| frame[at].as_str().unwrap_or_default().to_owned();
    match frame[0].as_u64() {
        Some(2) => Incoming::Call(Call {
            id: word(1),
            action: word(2),
            payload: frame[3].clone(),
        }),
        Some(3) => Incoming::Reply(word(1), Reply::Result(frame[2].clone())),
        Some(4) => Incoming::Reply(word(1), Reply::Error(word(2), word(3))),
        _ => panic!("the gateway sent {text}"),
    }
}
