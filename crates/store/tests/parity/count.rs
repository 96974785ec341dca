//! Counts what happened, so that the comparison cannot pass without having compared anything.

use std::collections::BTreeMap;

use domain::command::Status;
use domain::delivery::Verdict;
use domain::ids::ChargePointId;
use domain::slot::{
    AcceptRefusal, AcceptReply, Applied, Call, Claimed, EventInput, OutboxKind, RegisterRefusal,
    RegisterReply, ReplayReply, SlotModel, TooLate,
};
use store::FoundDeadLetter;

use crate::generate::Op;
use crate::world::World;

impl World {
    pub(crate) fn seen_accept(&mut self, reply: AcceptReply) -> AcceptReply {
        match &reply {
            AcceptReply::Accepted { claimed, .. } => {
                self.count("accepted");
                self.see_claimed(claimed);
            }
            AcceptReply::Known { .. } => self.count("known key"),
            AcceptReply::Refused(AcceptRefusal::OtherContent) => self.count("other content"),
            AcceptReply::Refused(AcceptRefusal::QueueFull(_)) => self.count("queue full"),
            AcceptReply::Refused(AcceptRefusal::OutboxFull(_)) => self.count("outbox full"),
            AcceptReply::Refused(_) => self.count("deadline refused"),
        }
        reply
    }

    pub(crate) fn seen_register(&mut self, reply: RegisterReply) -> RegisterReply {
        match &reply {
            RegisterReply::Registered { claimed, kicked, .. } => {
                self.count(if *kicked { "kicked" } else { "registered" });
                self.see_claimed(claimed);
                let aside = self.model.commands.values().any(|c| {
                    let held = self.model.devices[&c.request.charge_point].lane(c.request.priority.lane());
                    c.progress.status == Status::Delivered && held != Some(c.request.id)
                });
                if aside {
                    self.count("stands aside");
                }
            }
            RegisterReply::Refused(RegisterRefusal::OldSequence) => self.count("old sequence"),
            RegisterReply::Refused(RegisterRefusal::NewerSocket) => self.count("newer socket"),
        }
        reply
    }

    pub(crate) fn see_applied(&mut self, before: Option<Status>, applied: &Applied, input: &EventInput) {
        let id = input.id;
        let charge_point = self.model.commands.get(&id).map(|c| &c.request.charge_point);
        if input
            .charge_point
            .as_ref()
            .is_some_and(|c| charge_point.is_some_and(|o| o != c))
        {
            self.count("another charger's");
        }
        if self.model.attempts.contains_key(&id) {
            self.count("attempt remembered");
        }
        self.count(match applied.verdict {
            Some(Verdict::Applied) => "verdict Applied",
            Some(Verdict::Repeated) => "verdict Repeated",
            Some(Verdict::Noted) => "verdict Noted",
            Some(Verdict::Stale) => "verdict Stale",
            Some(Verdict::Ended) => "verdict Ended",
            None => "unknown command",
        });
        if before == Some(Status::Sent) && applied.write_before.0 > 0 {
            self.count("granted");
        }
        let last = self.model.outbox.values().next_back();
        if last.is_some_and(|e| matches!(e.kind, OutboxKind::LateAnswer(_)) && e.command.request.id == id) {
            self.count("late answer");
        }
        if applied.status == Some(Status::Pending) && self.model.commands[&id].progress.timer > self.now {
            self.count("backoff");
        }
        self.see_claimed(&applied.claimed);
    }

    /// What a timer round made vanish: its retention was over, or newer dead letters pushed it out.
    pub(crate) fn see_forgotten(&mut self, before: &SlotModel) {
        for (id, entry) in &before.dead_letters {
            if !self.model.dead_letters.contains_key(id) {
                self.count(if entry.forget <= self.now {
                    "dead letter forgotten"
                } else {
                    "dead letter pushed out"
                });
            }
        }
    }

    pub(crate) fn overtakes(&self) -> BTreeMap<ChargePointId, u32> {
        let all = self.model.devices.iter();
        all.map(|(id, d)| (id.clone(), d.overtakes)).collect()
    }

    pub(crate) fn see_overtakes(&mut self, before: &BTreeMap<ChargePointId, u32>) {
        for (id, now) in self.overtakes() {
            let was = before.get(&id).copied().unwrap_or(0);
            if now > was {
                self.count("overtaken");
            } else if was == self.model.settings.max_overtakes && now == 0 {
                self.count("turn of the longest waiting");
            }
        }
    }

    pub(crate) fn model_handles_dead(&mut self, op: &Op, call: &Call<'_>) -> Result<String, TooLate> {
        match op {
            Op::Replay(replay) => {
                let reply = self.model.replay((**replay).clone(), call)?;
                self.count(match &reply {
                    ReplayReply::Tried(AcceptReply::Accepted { .. }) => "replayed",
                    ReplayReply::Tried(AcceptReply::Known { .. }) => "replayed before",
                    ReplayReply::Tried(AcceptReply::Refused(_)) => "replay not accepted",
                    ReplayReply::NotFound => "replay of nothing",
                    ReplayReply::NotADeadLetter => "replay of what is no dead letter",
                    ReplayReply::UnsafeToRepeat => "unsafe replay",
                });
                Ok(format!("{reply:?}"))
            }
            Op::Purge(ids) => {
                let purged = self.model.purge(ids, call)?;
                if !purged.is_empty() {
                    self.count("purged");
                }
                Ok(format!("{purged:?}"))
            }
            Op::DeadLetter(id) if call.now <= call.not_after => {
                let found = match self.model.dead_letter(*id) {
                    Some(letter) => FoundDeadLetter::Found(Box::new(letter)),
                    None if self.model.commands.contains_key(id) => FoundDeadLetter::NotADeadLetter,
                    None => FoundDeadLetter::NotFound,
                };
                if matches!(found, FoundDeadLetter::Found(_)) {
                    self.count("dead letter read");
                }
                Ok(format!("{found:?}"))
            }
            _ => Err(TooLate),
        }
    }

    pub(crate) fn see_claimed(&mut self, claimed: &[Claimed]) {
        for _ in claimed {
            self.count("claimed");
        }
    }
}
