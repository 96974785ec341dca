//! Router to edge: messages as inputs of the edge's machine.

use domain::edge::{Failed, Input};
use domain::ids::{ChargePointId, CommandId, Micros, Nonce, Sequence, Version};

use crate::gateway::link::v1::{self as link, down_item};
use crate::map::{WireError, id};

/// What a router says about a charger or a command, as an input of the edge's machine. None for what is
/// about the link or the lease, and for the failure of such a request, which [`failed`] reads.
pub fn input(item: &down_item::Item) -> Result<Option<Input>, WireError> {
    let input = match item {
        down_item::Item::Registered(r) => Input::Registered {
            charge_point: charge_point(&r.charge_point_id)?,
            sequence: Sequence(r.sequence),
            version: Version(r.version),
        },
        down_item::Item::RegisterRefused(r) => Input::RegisterRefused {
            charge_point: charge_point(&r.charge_point_id)?,
            sequence: Sequence(r.sequence),
        },
        down_item::Item::ConnectionsRenewed(r) => Input::ConnectionsRenewed {
            request: r.request,
            lost: charge_points(&r.lost_charge_point_ids)?,
        },
        down_item::Item::Grant(g) => Input::Grant {
            id: command(&g.command_id)?,
            nonce: Nonce(g.nonce),
            write_before: Micros(g.write_before_us),
        },
        down_item::Item::IntentRefused(r) => Input::IntentRefused {
            id: command(&r.command_id)?,
            nonce: Nonce(r.nonce),
        },
        down_item::Item::NonWriteConfirmed(c) => Input::NonWriteConfirmed {
            id: command(&c.command_id)?,
            nonce: Nonce(c.nonce),
        },
        down_item::Item::AnswerConfirmed(c) => Input::AnswerConfirmed {
            id: command(&c.command_id)?,
            charge_point: charge_point_if_any(&c.charge_point_id)?,
        },
        down_item::Item::Failed(f) => Input::Failed(failed(f)?),
        down_item::Item::Placement(_) | down_item::Item::Lease(_) | down_item::Item::LeaseRefused(_) => {
            return Ok(None);
        }
    };
    Ok(Some(input))
}

/// The charger that an item about a command names, if it names one: its input then goes nowhere else.
#[must_use]
pub fn charge_point_of(item: &down_item::Item) -> Option<ChargePointId> {
    let text = match item {
        down_item::Item::Grant(g) => &g.charge_point_id,
        down_item::Item::IntentRefused(r) => &r.charge_point_id,
        down_item::Item::NonWriteConfirmed(c) => &c.charge_point_id,
        down_item::Item::AnswerConfirmed(c) => &c.charge_point_id,
        _ => return None,
    };
    ChargePointId::parse(text).ok()
}

/// What could not be applied. The number of a request may also be that of a lease, which its sender knows.
pub fn failed(f: &link::Failed) -> Result<Failed, WireError> {
    Ok(match f.what.as_ref().ok_or(WireError::Missing("what"))? {
        link::failed::What::Request(request) => Failed::Renewal(*request),
        link::failed::What::ChargePointId(id) => Failed::Register(charge_point(id)?),
        link::failed::What::CommandId(id) => Failed::Command(command(id)?),
    })
}

fn charge_point(text: &str) -> Result<ChargePointId, WireError> {
    id("charge_point_id", ChargePointId::parse(text))
}

/// None where the router could not read whom an item is about.
fn charge_point_if_any(text: &str) -> Result<Option<ChargePointId>, WireError> {
    (!text.is_empty()).then(|| charge_point(text)).transpose()
}

fn charge_points(texts: &[String]) -> Result<Vec<ChargePointId>, WireError> {
    texts.iter().map(|text| charge_point(text)).collect()
}

fn command(text: &str) -> Result<CommandId, WireError> {
    id("command_id", CommandId::parse(text))
}

#[cfg(test)]
mod tests {
    use domain::ids::Slot;

    use super::*;

    #[test]
    fn a_grant_reaches_the_machine_with_its_nonce_and_its_end() {
        let id = CommandId::new(1, [1; 10], Slot(4));
        let grant = link::Grant {
            command_id: id.to_string(),
            nonce: 7,
            write_before_us: 99,
            charge_point_id: "CP-1".to_owned(),
        };
        let expected = Input::Grant {
            id,
            nonce: Nonce(7),
            write_before: Micros(99),
        };
        let grant = down_item::Item::Grant(grant);
        assert_eq!(input(&grant), Ok(Some(expected)));
        assert_eq!(charge_point_of(&grant), ChargePointId::parse("CP-1").ok());
    }

    #[test]
    fn a_confirmed_answer_names_its_charger_where_the_router_could_read_it() {
        let id = CommandId::new(1, [1; 10], Slot(4));
        let read = |charge_point_id: &str| {
            input(&down_item::Item::AnswerConfirmed(link::AnswerConfirmed {
                command_id: id.to_string(),
                charge_point_id: charge_point_id.to_owned(),
            }))
        };
        for (name, charge_point) in [("CP-1", ChargePointId::parse("CP-1").ok()), ("", None)] {
            assert_eq!(read(name), Ok(Some(Input::AnswerConfirmed { id, charge_point })));
        }
        assert!(read(&"no charger ".repeat(100)).is_err());
    }

    #[test]
    fn a_failure_names_what_is_to_be_repeated() {
        let what = Some(link::failed::What::ChargePointId("CP-1".into()));
        let expected = Failed::Register(ChargePointId::parse("CP-1").unwrap());
        assert_eq!(failed(&link::Failed { what }), Ok(expected));
        assert_eq!(
            failed(&link::Failed { what: None }),
            Err(WireError::Missing("what"))
        );
    }

    #[test]
    fn the_lease_is_not_the_machines_business() {
        assert_eq!(input(&down_item::Item::Lease(link::Lease::default())), Ok(None));
    }
}
