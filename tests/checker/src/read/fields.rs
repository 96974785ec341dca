//! What each kind of line must hold. Leaves out what it means.

mod edge;

use serde_json::Value;
use serde_json::value::RawValue;

use super::row::{Row, Text};
use super::text;
use crate::event::{
    Applied, At, Audit, Call, Charger, Dispatch, Ended, Get, Heal, Inject, Leased, Pass, Place, Published,
    Quarantine, Reason, Record, Registered, Repair, Reply, Said, Seen, State, Swept, Unregistered,
};
use crate::symbols::{Sym, Symbols};

/// What is wrong with a line, in words.
pub(super) type Problem = String;

/// How an API says that there is no such command.
const NOT_FOUND: [&str; 3] = ["NOT_FOUND", "not_found", "NotFound"];

/// A row that becomes a line.
pub(super) struct Fields<'a> {
    pub(super) row: &'a Row<'a>,
    pub(super) symbols: &'a mut Symbols,
    pub(super) at: At,
}

impl Fields<'_> {
    pub(super) fn call(&mut self) -> Result<Call, Problem> {
        Ok(Call {
            at: self.at,
            n: need("n", self.row.n)?,
            key: self.optional(self.row.key.as_ref()),
            cp: self.cp()?,
            action: self.sym("action", self.row.action.as_ref())?,
            is_unsafe: need("unsafe", self.row.is_unsafe)?,
            deadline_us: need("deadline_us", self.row.deadline_us)?,
            payload: self.sym("payload_hash", self.row.payload_hash.as_ref())?,
        })
    }

    pub(super) fn reply(&mut self) -> Result<Reply, Problem> {
        let ok = need("ok", self.row.ok)?;
        let code = self.row.code.as_ref();
        let code = code.map_or(String::new(), |code| text::code(&code.0));
        Ok(Reply {
            at: self.at,
            n: need("n", self.row.n)?,
            ok,
            code: self.symbols.intern(&code),
            why: self.optional(self.row.why.as_ref()),
            id: if ok { self.id()? } else { Sym::NONE },
        })
    }

    pub(super) fn get(&mut self) -> Result<Get, Problem> {
        let word = need("state", self.row.state.as_ref())?;
        let gone = NOT_FOUND.contains(&word.0.as_ref());
        Ok(Get {
            at: self.at,
            id: self.id()?,
            state: if gone { None } else { Some(known_state(word)?) },
            reason: self.reason()?,
            answer: self
                .row
                .answer
                .and_then(|answer| text::said(answer, self.symbols)),
            ended_us: self.row.ended_us.unwrap_or(0),
            possibly_written: self.row.possibly_written,
        })
    }

    pub(super) fn registered(&mut self) -> Result<Registered, Problem> {
        Ok(Registered {
            at: self.at,
            cp: self.cp()?,
            pod: self.sym("pod", self.row.pod.as_ref())?,
            inc: need("inc", self.row.inc)?,
            seq: need("seq", self.row.seq)?,
            version: need("version", self.row.version)?,
            now_us: need("now_us", self.row.now_us)?,
        })
    }

    pub(super) fn leased(&mut self) -> Result<Leased, Problem> {
        Ok(Leased {
            at: self.at,
            pod: self.sym("pod", self.row.pod.as_ref())?,
            inc: need("inc", self.row.inc)?,
            expires_us: need("expires_us", self.row.expires_us)?,
        })
    }

    pub(super) fn pass(&mut self) -> Result<Pass, Problem> {
        Ok(Pass {
            at: self.at,
            begins: need("value", self.row.value)?,
        })
    }

    pub(super) fn unregistered(&mut self) -> Result<Unregistered, Problem> {
        Ok(Unregistered {
            at: self.at,
            cp: self.cp()?,
            version: need("version", self.row.version)?,
            applied: need("applied", self.row.applied)?,
            now_us: self.row.now_us,
        })
    }

    pub(super) fn dispatch(&mut self) -> Result<Dispatch, Problem> {
        Ok(Dispatch {
            at: self.at,
            id: self.id()?,
            cp: self.cp()?,
            dispatch: need("dispatch", self.row.dispatch)?,
            version: need("version", self.row.version)?,
        })
    }

    pub(super) fn applied(&mut self) -> Result<Applied, Problem> {
        let kind = need("kind", self.row.kind.as_ref())?;
        let verdict = need("verdict", self.row.verdict.as_ref())?;
        let status = self.row.status.as_ref().filter(|s| !s.0.is_empty());
        Ok(Applied {
            at: self.at,
            id: self.id()?,
            kind: text::kind(&kind.0).ok_or_else(|| unknown("kind", kind))?,
            dispatch: self.row.dispatch.unwrap_or(0),
            version: self.row.version.unwrap_or(0),
            verdict: text::verdict(&verdict.0).ok_or_else(|| unknown("verdict", verdict))?,
            status: status.map(known_state).transpose()?,
            now_us: need("now_us", self.row.now_us)?,
        })
    }

    pub(super) fn ended(&mut self) -> Result<Ended, Problem> {
        Ok(Ended {
            at: self.at,
            id: self.id()?,
            state: self.terminal()?,
            now_us: need("now_us", self.row.now_us)?,
        })
    }

    pub(super) fn swept(&mut self) -> Result<Swept, Problem> {
        Ok(Swept {
            at: self.at,
            id: self.id()?,
            now_us: need("now_us", self.row.now_us)?,
        })
    }

    pub(super) fn published(&mut self) -> Result<Published, Problem> {
        Ok(Published {
            at: self.at,
            id: self.id()?,
            dead: need("dead", self.row.dead)?,
        })
    }

    pub(super) fn quarantine(&mut self) -> Result<Quarantine, Problem> {
        Ok(Quarantine {
            at: self.at,
            topic: self.sym("topic", self.row.topic.as_ref())?,
            partition: need("partition", self.row.partition)?,
            offset: need("offset", self.row.offset)?,
        })
    }

    pub(super) fn record(&mut self) -> Result<Record, Problem> {
        let topic = need("topic", self.row.topic.as_ref())?;
        Ok(Record {
            at: self.at,
            dead: topic.0.contains("dead-letter"),
            topic: self.symbols.intern(&topic.0),
            partition: need("partition", self.row.partition)?,
            offset: need("offset", self.row.offset)?,
            id: self.id()?,
            record_id: self.sym("record_id", self.row.record_id.as_ref())?,
            cp: self.cp()?,
            seq: need("seq", self.row.seq)?,
            state: self.terminal()?,
            reason: self.reason()?,
            possibly_written: self.row.possibly_written,
        })
    }

    pub(super) fn audit(&mut self) -> Result<Audit, Problem> {
        Ok(Audit {
            at: self.at,
            open: need("open", self.row.open)?,
            untimed: need("untimed", self.row.untimed)?,
            doubly_timed: need("doubly_timed", self.row.doubly_timed)?,
            findings: need("violations", self.row.violations.clone())?,
        })
    }

    pub(super) fn inject(&mut self) -> Result<Inject, Problem> {
        Ok(Inject {
            at: self.at,
            kind: self.sym("kind", self.row.kind.as_ref())?,
            target: self.sym("target", self.row.target.as_ref())?,
            place: self.row.detail.and_then(|detail| self.place(detail)),
        })
    }

    pub(super) fn heal(&mut self) -> Result<Heal, Problem> {
        Ok(Heal {
            at: self.at,
            kind: self.sym("kind", self.row.kind.as_ref())?,
            target: self.sym("target", self.row.target.as_ref())?,
        })
    }

    pub(super) fn repair(&mut self) -> Result<Repair, Problem> {
        Ok(Repair {
            at: self.at,
            what: self.sym("what", self.row.what.as_ref())?,
            about: self.optional(
                self.row
                    .id
                    .as_ref()
                    .or(self.row.cp.as_ref())
                    .or(self.row.pod.as_ref()),
            ),
            pod: self.optional(self.row.pod.as_ref()),
            inc: self.row.inc.unwrap_or(0),
            version: self.row.version.unwrap_or(0),
            applied: need("applied", self.row.applied)?,
            now_us: need("now_us", self.row.now_us)?,
        })
    }

    pub(super) fn charger(&mut self) -> Result<Charger, Problem> {
        let Some(Text(kind)) = &self.row.kind else {
            return Err("neither `ev` nor `kind`".to_owned());
        };
        let seen = match kind.as_ref() {
            "connected" => Seen::Connected,
            "disconnected" => Seen::Disconnected,
            "call_received" => Seen::Call,
            "reply_sent" => Seen::Reply,
            "call_sent" | "result_received" => Seen::Other,
            other => return Err(format!("unknown kind `{other}`")),
        };
        let payload = self.row.payload.map_or("{}", RawValue::get);
        Ok(Charger {
            at: self.at,
            cp: self.cp()?,
            seen,
            id: match seen {
                Seen::Call | Seen::Reply => self.sym("message_id", self.row.message_id.as_ref())?,
                Seen::Connected | Seen::Disconnected | Seen::Other => Sym::NONE,
            },
            action: self.optional(self.row.action.as_ref()),
            payload: if seen == Seen::Call {
                self.symbols.intern(payload)
            } else {
                Sym::NONE
            },
            said: (seen == Seen::Reply).then(|| match &self.row.error_code {
                Some(code) => Said::Error(self.symbols.intern(&code.0)),
                None => text::said_by_result(payload, self.symbols),
            }),
        })
    }

    fn cp(&mut self) -> Result<Sym, Problem> {
        self.sym("cp", self.row.cp.as_ref())
    }

    fn id(&mut self) -> Result<Sym, Problem> {
        self.sym("id", self.row.id.as_ref())
    }

    fn priority(&self) -> Result<u8, Problem> {
        let word = need("priority", self.row.priority.as_ref())?;
        text::priority(&word.0).ok_or_else(|| unknown("priority", word))
    }

    fn terminal(&self) -> Result<State, Problem> {
        let word = need("state", self.row.state.as_ref())?;
        let state = known_state(word)?;
        if state.is_terminal() {
            return Ok(state);
        }
        Err(format!("`state` is `{}`, which is no end", word.0))
    }

    fn reason(&self) -> Result<Option<Reason>, Problem> {
        match &self.row.reason {
            None => Ok(None),
            Some(word) => text::reason(&word.0).ok_or_else(|| unknown("reason", word)),
        }
    }

    /// Topic, partition and offset in a fault's detail, as an object or as `topic/partition/offset`.
    fn place(&mut self, detail: &RawValue) -> Option<Place> {
        let value: Value = serde_json::from_str(detail.get()).ok()?;
        if let Some(text) = value.as_str() {
            let mut parts = text.rsplitn(3, '/');
            let (offset, partition) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            return Some((self.symbols.intern(parts.next()?), partition, offset));
        }
        let number = |name| value.get(name).and_then(Value::as_i64);
        let topic = value.get("topic").and_then(Value::as_str)?;
        Some((
            self.symbols.intern(topic),
            number("partition")?,
            number("offset")?,
        ))
    }

    /// A string that must be there and not be empty.
    fn sym(&mut self, name: &str, value: Option<&Text>) -> Result<Sym, Problem> {
        let text = need(name, value)?;
        if text.0.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
        Ok(self.symbols.intern(&text.0))
    }

    fn optional(&mut self, value: Option<&Text>) -> Sym {
        value.map_or(Sym::NONE, |text| self.symbols.intern(&text.0))
    }
}

fn need<T>(name: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| format!("`{name}` is missing"))
}

fn unknown(name: &str, value: &Text) -> Problem {
    format!("`{name}` is `{}`, which is unknown", value.0)
}

fn known_state(word: &Text) -> Result<State, Problem> {
    text::state(&word.0).ok_or_else(|| unknown("state", word))
}
