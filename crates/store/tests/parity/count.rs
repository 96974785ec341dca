//! Counts what happened, so that the comparison cannot pass without having compared anything.

use domain::command::Status;
use domain::delivery::Verdict;
use domain::ids::CommandId;
use domain::slot::{
    AcceptRefusal, AcceptReply, Applied, Claimed, OutboxKind, RegisterRefusal, RegisterReply,
};

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

    pub(crate) fn see_applied(&mut self, before: Option<Status>, applied: &Applied, id: CommandId) {
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

    pub(crate) fn see_claimed(&mut self, claimed: &[Claimed]) {
        for _ in claimed {
            self.count("claimed");
        }
    }
}
