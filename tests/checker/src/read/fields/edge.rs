//! What each kind of line of an edge must hold.

use super::{Fields, Problem, need, unknown};
use crate::event::{Answered, Canary, Close, Lapsed, Lease, Open, Ready, Taken, Unwritten, Versioned, Write};
use crate::read::text;

impl Fields<'_> {
    pub(in crate::read) fn open(&mut self) -> Result<Open, Problem> {
        Ok(Open {
            at: self.at,
            cp: self.cp()?,
            socket: need("socket", self.row.socket)?,
        })
    }

    pub(in crate::read) fn close(&mut self) -> Result<Close, Problem> {
        Ok(Close {
            at: self.at,
            cp: self.cp()?,
            socket: need("socket", self.row.socket)?,
        })
    }

    pub(in crate::read) fn version(&mut self) -> Result<Versioned, Problem> {
        Ok(Versioned {
            at: self.at,
            cp: self.cp()?,
            socket: need("socket", self.row.socket)?,
            version: need("version", self.row.version)?,
        })
    }

    pub(in crate::read) fn lease(&mut self) -> Result<Lease, Problem> {
        Ok(Lease {
            at: self.at,
            inc: need("inc", self.row.inc)?,
            until_m_us: need("until_m_us", self.row.until_m_us)?,
        })
    }

    pub(in crate::read) fn lapsed(&mut self) -> Result<Lapsed, Problem> {
        Ok(Lapsed {
            at: self.at,
            inc: need("inc", self.row.inc)?,
        })
    }

    pub(in crate::read) fn taken(&mut self) -> Result<Taken, Problem> {
        self.priority()?;
        Ok(Taken {
            at: self.at,
            id: self.id()?,
            cp: self.cp()?,
            dispatch: need("dispatch", self.row.dispatch)?,
        })
    }

    pub(in crate::read) fn unwritten(&mut self) -> Result<Unwritten, Problem> {
        Ok(Unwritten {
            at: self.at,
            id: self.id()?,
            cp: self.cp()?,
            socket: need("socket", self.row.socket)?,
        })
    }

    pub(in crate::read) fn write(&mut self) -> Result<Write, Problem> {
        Ok(Write {
            at: self.at,
            id: self.id()?,
            cp: self.cp()?,
            socket: need("socket", self.row.socket)?,
            version: need("version", self.row.version)?,
            dispatch: need("dispatch", self.row.dispatch)?,
            inc: need("inc", self.row.inc)?,
            attempt: need("attempt", self.row.attempt)?,
            is_unsafe: need("unsafe", self.row.is_unsafe)?,
            nonce: self.row.nonce,
            priority: self.priority()?,
            deadline_us: need("deadline_us", self.row.deadline_us)?,
            redis_upper_us: need("redis_upper_us", self.row.redis_upper_us)?,
            lease_until_m_us: need("lease_until_m_us", self.row.lease_until_m_us)?,
        })
    }

    pub(in crate::read) fn answer(&mut self) -> Result<Answered, Problem> {
        Ok(Answered {
            at: self.at,
            id: self.id()?,
            cp: self.cp()?,
            socket: need("socket", self.row.socket)?,
        })
    }

    pub(in crate::read) fn canary(&mut self) -> Result<Canary, Problem> {
        let word = need("lane", self.row.lane.as_ref())?;
        Ok(Canary {
            at: self.at,
            lane: text::lane(&word.0).ok_or_else(|| unknown("lane", word))?,
            place: match (self.row.topic.as_ref(), self.row.partition, self.row.offset) {
                (Some(topic), Some(partition), Some(offset)) => {
                    Some((self.symbols.intern(&topic.0), partition, offset))
                }
                _ => None,
            },
        })
    }

    pub(in crate::read) fn ready(&mut self) -> Result<Ready, Problem> {
        Ok(Ready {
            at: self.at,
            value: need("value", self.row.value)?,
        })
    }
}
