//! Calls to whichever router is available: addresses in order, a timeout a call, rounds with backoff. Whoever waits is
//! told so on the stream that each call takes.
//!
//! Only calls that are safe to repeat go through here: reads, sends that carry an idempotency key, and replays, whose
//! key is the dead letter; `cancel` and `purge` settle their own repetition. Leaves out what is asked and what the
//! answers mean.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use tokio::time;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::cli::values::Address;
use crate::failure::{Failure, with_causes};
use crate::settings::Settings;
use crate::view::printable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_CAP: Duration = Duration::from_secs(2);

/// The routers in the order of preference, and the one in use.
pub(crate) struct Routers {
    targets: Vec<Target>,
    current: usize,
    channel: Option<Channel>,
    timeout: Duration,
    retries: u32,
    attempts: u32,
    reached: bool,
}

struct Target {
    address: Address,
    endpoint: Endpoint,
}

/// One attempt at one router that leaves the effect open.
struct Miss {
    reason: String,
    timed_out: bool,
}

/// How one attempt ended if not well.
enum AttemptError {
    Missed(Miss),
    Refused(Status),
}

impl Routers {
    /// Prepares the calls; nothing is connected yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let targets = settings
            .routers
            .iter()
            .map(|address| target(address, settings.timeout));
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
            current: 0,
            channel: None,
            timeout: settings.timeout,
            retries: settings.retries,
            attempts: 0,
            reached: false,
        })
    }

    /// Calls until a router answers, and repeats the call where the effect is open. `message` must therefore be safe to
    /// send twice. What is waited for is told to `notes`.
    pub(crate) async fn call<M: Clone, T>(
        &mut self,
        notes: &mut dyn Write,
        message: M,
        mut operation: impl AsyncFnMut(Channel, Request<M>) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let timeout = self.timeout;
        self.stream(notes, async |channel| {
            let mut request = Request::new(message.clone());
            request.set_timeout(timeout);
            operation(channel, request).await
        })
        .await
    }

    /// As [`Self::call`], without a limit on the time that the answer's stream may last.
    pub(crate) async fn stream<T>(
        &mut self,
        notes: &mut dyn Write,
        mut operation: impl AsyncFnMut(Channel) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        (self.attempts, self.reached) = (0, false);
        let mut misses = Vec::new();
        let mut told = Vec::new();
        for round in 0..=self.retries {
            if round > 0 {
                self.tell_again(notes, round, &misses, &mut told);
                time::sleep(backoff(round)).await;
            }
            misses.clear();
            for _ in 0..self.targets.len() {
                self.attempts += 1;
                match self.attempt(&mut operation).await {
                    Ok(value) => return Ok(value),
                    Err(AttemptError::Refused(status)) => return Err(Failure::Refused(Box::new(status))),
                    Err(AttemptError::Missed(miss)) => misses.push(miss),
                }
                self.abandon();
            }
        }
        let timed_out = !misses.is_empty() && misses.iter().all(|miss| miss.timed_out);
        Err(Failure::NoRouter {
            reasons: misses.into_iter().map(|miss| miss.reason).collect(),
            timed_out,
            reached: self.reached,
        })
    }

    /// Says that another round begins, and why, unless that was said of the round before.
    fn tell_again(&self, notes: &mut dyn Write, round: u32, misses: &[Miss], told: &mut Vec<String>) {
        let retries = self.retries;
        tell(
            notes,
            &format!("no router answered, trying again ({round} of {retries})"),
        );
        let reasons: Vec<String> = misses.iter().map(|miss| miss.reason.clone()).collect();
        if reasons != *told {
            for reason in &reasons {
                tell(notes, &format!("  {}", printable(reason)));
            }
            *told = reasons;
        }
    }

    /// Whether the last call was sent more than once, so that an earlier sending may have had the effect.
    pub(crate) fn repeated(&self) -> bool {
        self.attempts > 1
    }

    /// Leaves the present router, for example because its stream broke.
    pub(crate) fn abandon(&mut self) {
        self.channel = None;
        self.current = (self.current + 1) % self.targets.len();
    }

    /// How long one call to one router may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How often a broken stream may be opened again without any progress.
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    async fn attempt<T>(
        &mut self,
        operation: &mut impl AsyncFnMut(Channel) -> Result<T, Status>,
    ) -> Result<T, AttemptError> {
        let limit = self.timeout;
        let outcome = time::timeout(limit, async {
            let channel = self.channel().await?;
            // From here on the router may have heard the call, whatever becomes of the answer.
            self.reached = true;
            operation(channel).await.map_err(|status| self.judge(status))
        })
        .await;
        match outcome {
            Ok(outcome) => outcome,
            Err(_) => {
                let reason = format!(
                    "{}: no answer within {limit:?}",
                    self.targets[self.current].address
                );
                Err(AttemptError::Missed(Miss {
                    reason,
                    timed_out: true,
                }))
            }
        }
    }

    async fn channel(&mut self) -> Result<Channel, AttemptError> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let target = &self.targets[self.current];
        match target.endpoint.connect().await {
            Ok(channel) => Ok(self.channel.insert(channel).clone()),
            Err(error) => {
                let reason = format!("{}: {}", target.address, with_causes(&error));
                Err(AttemptError::Missed(Miss {
                    reason,
                    timed_out: false,
                }))
            }
        }
    }

    /// Tells an answer of the router from a call whose effect is open.
    fn judge(&self, status: Status) -> AttemptError {
        if !is_open(&status) {
            return AttemptError::Refused(status);
        }
        let cause = match status.source() {
            Some(source) => with_causes(source),
            None => status.message().to_owned(),
        };
        let timed_out = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
        let reason = format!(
            "{}: {}: {cause}",
            self.targets[self.current].address,
            status.code().description()
        );
        AttemptError::Missed(Miss { reason, timed_out })
    }
}

/// Whether a status leaves it open if the call had an effect, so that only a repetition tells. A status with a source
/// was made on this side of the connection: the router did not say it.
pub(crate) fn is_open(status: &Status) -> bool {
    status.source().is_some()
        || matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
        )
}

/// Tells the operator something that is not a result. A stream that nobody reads is no reason to give up the work.
pub(crate) fn tell(notes: &mut dyn Write, text: &str) {
    let _ = writeln!(notes, "{text}").and_then(|()| notes.flush());
}

/// The pause before a round; doubles up to a cap.
pub(crate) fn backoff(round: u32) -> Duration {
    BACKOFF_FIRST
        .saturating_mul(1 << round.saturating_sub(1).min(10))
        .min(BACKOFF_CAP)
}

/// An endpoint that notices a dead peer also while a watch is silent.
fn target(address: &Address, timeout: Duration) -> Result<Target, Failure> {
    let endpoint = Endpoint::from_shared(address.uri())
        .map_err(|source| Failure::Address {
            address: address.to_string(),
            source,
        })?
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    Ok(Target {
        address: address.clone(),
        endpoint,
    })
}
