//! What the sweeper asks: whether what is derived in a slot still agrees with what it derives from, and to derive
//! it again. Each call is one script, so an audit never sees, and never makes, a half step.

use domain::ids::{ChargePointId, Slot};

use crate::keys::Place;
use crate::reply::{Reader, Reply};
use crate::{Store, StoreError, flag, scripts};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// timer, queue, lane, count, listing, registration or retention.
    pub kind: String,
    /// What, in a sentence.
    pub what: String,
}

/// What a range of timers showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerAudit {
    /// How many were looked at; fewer than asked for means that the range was the last.
    pub seen: usize,
    /// How many should have been handled before the grace.
    pub overdue: u64,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Audits one charger; with `mend`, derives again what does not agree.
    pub async fn audit_charger(
        &self,
        id: &ChargePointId,
        mend: bool,
    ) -> Result<Reply<Vec<Finding>>, StoreError> {
        let args = vec![id.to_string(), flag(mend)];
        let read = |r: &mut Reader| r.list(read_finding);
        self.call(scripts::AUDIT_CHARGER, self.place_of(id), args, read)
            .await
    }

    /// Audits `count` timers of a slot from the `first` on.
    pub async fn audit_timers(
        &self,
        slot: Slot,
        (first, count): (usize, usize),
        mend: bool,
        grace_us: u64,
    ) -> Result<Reply<TimerAudit>, StoreError> {
        let args = vec![
            first.to_string(),
            count.to_string(),
            flag(mend),
            grace_us.to_string(),
        ];
        let read = |r: &mut Reader| {
            Ok(TimerAudit {
                seen: r.number()?,
                overdue: r.number()?,
                findings: r.list(read_finding)?,
            })
        };
        self.call(scripts::AUDIT_TIMERS, Place::Slot(slot), args, read)
            .await
    }

    /// Chargers of a slot that have open or retained commands, a page after the last of the page before.
    pub async fn list_chargers(
        &self,
        slot: Slot,
        after: Option<&ChargePointId>,
        limit: usize,
    ) -> Result<Vec<ChargePointId>, StoreError> {
        let args = vec![
            after.map_or(String::new(), ToString::to_string),
            limit.to_string(),
        ];
        let read = |r: &mut Reader| r.list(Reader::charge_point);
        Ok(self
            .call(scripts::LIST_CHARGERS, Place::Slot(slot), args, read)
            .await?
            .value)
    }
}

fn read_finding(r: &mut Reader) -> Result<Finding, StoreError> {
    Ok(Finding {
        kind: r.text()?,
        what: r.text()?,
    })
}
