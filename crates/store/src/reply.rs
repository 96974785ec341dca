//! Reading what scripts return: one flat array of strings, read from front to back in the order in which
//! the script wrote it.

use domain::command::{
    Answer, Attempt, AttemptOutcome, Command, Deadline, FailureReason, IdempotencyKey, Mark, Priority,
    Progress, RedeliveryClass, Request, Route, Status,
};
use domain::delivery::Verdict;
use domain::ids::{
    ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, Nonce, PodId, Sequence, Version,
};
use domain::slot::{Claimed, DeadLetter, Device};
use fred::types::Value;

use crate::error::StoreError;

/// A value with what every reply carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<T> {
    /// What was asked for.
    pub value: T,
    /// Redis time when the script ran.
    pub redis_now: Micros,
    /// The script put something into the slot's outbox or among its notes: it wants to be drained.
    pub wants_drain: bool,
}

impl<T> Reply<T> {
    /// The same reply with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reply<U> {
        Reply {
            value: f(self.value),
            redis_now: self.redis_now,
            wants_drain: self.wants_drain,
        }
    }
}

/// Reads one reply.
pub(crate) struct Reader {
    operation: &'static str,
    parts: std::vec::IntoIter<Value>,
}

type Read<T> = Result<T, StoreError>;

impl Reader {
    pub(crate) fn new(operation: &'static str, value: Value) -> Read<Self> {
        match value {
            Value::Array(parts) => Ok(Self {
                operation,
                parts: parts.into_iter(),
            }),
            other => Err(Self::wrong(
                operation,
                format!("not an array but {:?}", other.kind()),
            )),
        }
    }

    fn wrong(operation: &'static str, problem: String) -> StoreError {
        StoreError::Reply { operation, problem }
    }

    /// An error that names what was unexpected.
    pub(crate) fn error(&self, problem: impl Into<String>) -> StoreError {
        Self::wrong(self.operation, problem.into())
    }

    /// The next string, without taking it.
    pub(crate) fn peek(&self) -> Option<&str> {
        match self.parts.as_slice().first() {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.len() == 0
    }

    pub(crate) fn text(&mut self) -> Read<String> {
        match self.parts.next() {
            Some(Value::String(text)) => Ok(text.to_string()),
            Some(Value::Integer(number)) => Ok(number.to_string()),
            Some(Value::Bytes(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            other => Err(self.error(format!("expected a string, found {other:?}"))),
        }
    }

    pub(crate) fn number<N: std::str::FromStr>(&mut self) -> Read<N> {
        let text = self.text()?;
        text.parse()
            .map_err(|_| self.error(format!("{text:?} is not the expected number")))
    }

    pub(crate) fn flag(&mut self) -> Read<bool> {
        Ok(self.text()? == "1")
    }

    pub(crate) fn micros(&mut self) -> Read<Micros> {
        Ok(Micros(self.number()?))
    }

    /// A number of items, then the items.
    pub(crate) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count: usize = self.number()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn letter(&mut self) -> Read<Option<char>> {
        Ok(self.text()?.chars().next())
    }

    fn known<T>(&self, what: &'static str, value: Option<T>) -> Read<T> {
        value.ok_or_else(|| self.error(format!("unknown {what}")))
    }

    /// None if the text is empty.
    pub(crate) fn status(&mut self) -> Read<Option<Status>> {
        match self.letter()? {
            None => Ok(None),
            Some(code) => self.known("status", Status::from_code(code)).map(Some),
        }
    }

    /// None if the text is empty.
    pub(crate) fn verdict(&mut self) -> Read<Option<Verdict>> {
        let all = [
            Verdict::Applied,
            Verdict::Repeated,
            Verdict::Noted,
            Verdict::Stale,
            Verdict::Ended,
        ];
        match self.text()?.as_str() {
            "" => Ok(None),
            name => self
                .known("verdict", all.into_iter().find(|v| v.name() == name))
                .map(Some),
        }
    }

    pub(crate) fn charge_point(&mut self) -> Read<ChargePointId> {
        let text = self.text()?;
        ChargePointId::parse(&text).map_err(|e| self.error(format!("charge point {text:?} {e}")))
    }

    pub(crate) fn pod(&mut self) -> Read<PodId> {
        let text = self.text()?;
        PodId::parse(&text).map_err(|e| self.error(format!("pod {text:?} {e}")))
    }

    fn optional_pod(&mut self) -> Read<Option<PodId>> {
        match self.text()?.as_str() {
            "" => Ok(None),
            text => PodId::parse(text)
                .map(Some)
                .map_err(|e| self.error(format!("pod {text:?} {e}"))),
        }
    }

    pub(crate) fn command_id(&mut self) -> Read<CommandId> {
        let text = self.text()?;
        CommandId::parse(&text).map_err(|e| self.error(format!("command {text:?} {e}")))
    }

    pub(crate) fn optional_command_id(&mut self) -> Read<Option<CommandId>> {
        match self.text()?.as_str() {
            "" => Ok(None),
            text => CommandId::parse(text)
                .map(Some)
                .map_err(|e| self.error(format!("command {text:?} {e}"))),
        }
    }

    pub(crate) fn claimed(&mut self) -> Read<Vec<Claimed>> {
        self.list(|r| {
            Ok(Claimed {
                command: r.command()?,
            })
        })
    }

    /// A command, in the order of the prelude's list of fields.
    pub(crate) fn command(&mut self) -> Read<Command> {
        let mut request = self.request()?;
        let (created, deadline) = (self.micros()?, self.micros()?);
        request.deadline = Deadline::At {
            at: deadline,
            max_us: 0,
        };
        let (score, epoch) = (self.number()?, self.text()?);
        Ok(Command {
            request,
            created,
            deadline,
            score,
            epoch,
            progress: self.progress()?,
        })
    }

    /// A request without its deadline, which follows as the command's.
    fn request(&mut self) -> Read<Request> {
        Ok(Request {
            id: self.command_id()?,
            charge_point: self.charge_point()?,
            action: self.text()?,
            payload: self.text()?,
            priority: {
                let number = self.number()?;
                self.known("priority", Priority::from_number(number))?
            },
            class: match self.letter()? {
                Some('s') => RedeliveryClass::Safe,
                Some('u') => RedeliveryClass::Unsafe,
                _ => return Err(self.error("unknown class")),
            },
            max_attempts: self.number()?,
            answer_timeout_us: self.number()?,
            deadline: Deadline::After(0),
            idempotency: match self.text()? {
                key if key.is_empty() => None,
                key => Some(IdempotencyKey {
                    key,
                    content_hash: String::new(),
                }),
            },
            replay_of: self.optional_command_id()?,
        })
    }

    fn progress(&mut self) -> Read<Progress> {
        Ok(Progress {
            status: {
                let status = self.status()?;
                self.known("status", status)?
            },
            attempts: self.number()?,
            misses: self.number()?,
            dispatch: DispatchNumber(self.number()?),
            route: self.route()?,
            nonce: Nonce(self.number()?),
            write_before: self.micros()?,
            timer: self.micros()?,
            mark: {
                let mark = self.letter()?.and_then(Mark::from_code);
                self.known("mark", mark)?
            },
            attempt_at: self.micros()?,
            revision: self.number()?,
            reason: match self.text()?.as_str() {
                "" => None,
                name => Some(self.known("reason", FailureReason::from_name(name))?),
            },
            possibly_written: self.flag()?,
            answer: self.answer()?,
            ended: self.micros()?,
            result_sequence: self.number()?,
        })
    }

    /// Former attempts, a line each.
    pub(crate) fn attempts(&mut self) -> Read<Vec<Attempt>> {
        let text = self.text()?;
        let read = |line: &str| attempt(line).ok_or_else(|| self.error(format!("{line:?} is no attempt")));
        text.lines().map(read).collect()
    }

    /// A command with its attempts and the command that replays it.
    pub(crate) fn dead_letter(&mut self) -> Read<DeadLetter> {
        Ok(DeadLetter {
            command: self.command()?,
            attempts: self.attempts()?,
            replayed_as: self.optional_command_id()?,
        })
    }

    fn route(&mut self) -> Read<Option<Route>> {
        let pod = self.optional_pod()?;
        let (incarnation, version) = (Incarnation(self.number()?), Version(self.number()?));
        Ok(pod.map(|pod| Route {
            pod,
            incarnation,
            version,
        }))
    }

    /// None if the text is empty.
    pub(crate) fn answer(&mut self) -> Read<Option<Answer>> {
        let text = self.text()?;
        let mut letters = text.chars();
        match letters.next() {
            None => Ok(None),
            Some('R') => Ok(Some(Answer::Result(letters.as_str().to_owned()))),
            Some('E') => Ok(Some(Answer::Error(letters.as_str().to_owned()))),
            Some(_) => Err(self.error("unknown kind of answer")),
        }
    }

    /// A device, in the order of the prelude's list of fields.
    pub(crate) fn device(&mut self) -> Read<Device> {
        Ok(Device {
            pod: self.optional_pod()?,
            incarnation: Incarnation(self.number()?),
            version: Version(self.number()?),
            sequence: Sequence(self.number()?),
            first_version: Version(self.number()?),
            connected: self.flag()?,
            expires: self.micros()?,
            registered: self.micros()?,
            ocpp_version: self.text()?,
            normal: self.optional_command_id()?,
            urgent: self.optional_command_id()?,
            open: self.number()?,
            results: self.number()?,
            overtakes: self.number()?,
        })
    }
}

/// Number, time, pod, incarnation, version and outcome, separated by blanks.
fn attempt(line: &str) -> Option<Attempt> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [number, at, pod, incarnation, version, outcome] = parts.as_slice() else {
        return None;
    };
    Some(Attempt {
        number: number.parse().ok()?,
        at: Micros(at.parse().ok()?),
        route: Route {
            pod: PodId::parse(pod).ok()?,
            incarnation: Incarnation(incarnation.parse().ok()?),
            version: Version(version.parse().ok()?),
        },
        outcome: AttemptOutcome::from_code(outcome.chars().next()?)?,
    })
}

/// How an answer is written in Redis.
pub(crate) fn answer_text(answer: Option<&Answer>) -> String {
    match answer {
        None => String::new(),
        Some(Answer::Result(text)) => format!("R{text}"),
        Some(Answer::Error(text)) => format!("E{text}"),
    }
}

/// How a requested deadline is written in Redis. Numbers beyond what a script can hold exactly mean "never",
/// and stay what they mean.
pub(crate) fn deadline_text(deadline: Deadline) -> String {
    const MOST: u64 = 1 << 52;
    match deadline {
        Deadline::After(us) => format!("A{}", us.min(MOST)),
        Deadline::At { at, max_us } => format!("T{},{}", at.0.min(MOST), max_us.min(MOST)),
    }
}
