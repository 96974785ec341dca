//! The judge at the ends: what leaves by Kafka, what anybody sees of an end, and whether it is true.

use domain::command::{Answer, Command, Status};
use domain::ids::CommandId;
use domain::slot::{OutboxEntry, OutboxKind};

use super::{End, Judge};

impl Judge {
    /// Kafka has a record of what left the store.
    pub(crate) fn published(&mut self, entry: &OutboxEntry, dead: bool) {
        let id = entry.command.request.id;
        if matches!(entry.kind, OutboxKind::LateAnswer(_)) {
            return;
        }
        self.see_end(&entry.command);
        if !dead {
            self.judge_sequence(&entry.command);
        }
        if let Some(book) = self.commands.get_mut(&id) {
            book.results += u32::from(!dead);
            book.dead_letters += u32::from(dead);
        }
    }

    /// A reader that drops what is not above the last number misses nothing.
    fn judge_sequence(&mut self, command: &Command) {
        let number = command.progress.result_sequence;
        let last = self
            .results
            .entry(command.request.charge_point.clone())
            .or_default();
        let before = *last;
        *last = before.max(number);
        let charge_point = &command.request.charge_point;
        if !self.relaxed {
            self.check(18, number <= before + 1, || {
                format!("{charge_point}: result {number} came after {before}")
            });
        }
    }

    /// Somebody sees a command: if it has ended, it has ended like this for all time.
    pub(super) fn see_end(&mut self, command: &Command) {
        let id = command.request.id;
        let seen = End::of(command);
        let Some(book) = self.commands.get_mut(&id) else {
            return;
        };
        let Some(before) = book.end.clone() else {
            book.end.clone_from(&seen);
            if let Some(end) = seen {
                self.judge_end(id, &end);
            }
            return;
        };
        // A look that set out before the end may come back after it was seen elsewhere.
        if let Some(seen) = seen.filter(|_| !self.relaxed) {
            self.check(4, seen == before, || {
                format!("{id} ended as {before:?}, then it was {seen:?}")
            });
        }
    }

    /// An end must be true.
    fn judge_end(&mut self, id: CommandId, end: &End) {
        let Some(book) = self.commands.get(&id) else {
            return;
        };
        let (received, written) = (book.received, book.writes.len());
        let answer = end.answer.clone();
        let said_so = answer.as_ref().is_some_and(|a| book.replies.contains(a));
        match end.status {
            Status::Acknowledged => {
                self.check(5, received > 0 && said_so, || {
                    format!("{id} is acknowledged by {answer:?}; its charger read it {received} times")
                });
                let refused = match &answer {
                    Some(Answer::Error(_)) => true,
                    Some(Answer::Result(text)) => text.contains("Rejected"),
                    None => false,
                };
                if refused {
                    self.check(6, said_so, || format!("{id}: the answer is not the charger's"));
                }
            }
            Status::Expired | Status::Cancelled if !end.possibly_written && !self.relaxed => {
                self.check(15, written == 0, || {
                    format!("{id} is surely unwritten, and was written {written} times")
                });
            }
            _ => {}
        }
    }

    /// A charger read a CALL.
    pub(crate) fn received(&mut self, id: CommandId) {
        if let Some(book) = self.commands.get_mut(&id) {
            book.received += 1;
        }
    }

    /// A charger answered.
    pub(crate) fn replied(&mut self, id: CommandId, answer: &Answer) {
        if let Some(book) = self.commands.get_mut(&id) {
            book.replies.push(answer.clone());
        }
    }
}
