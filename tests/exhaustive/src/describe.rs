//! Steps in words, for the path to a violation.

use domain::edge::{DispatchRef, Input, Item};
use domain::ids::{DispatchNumber, Version};

use crate::action::Action;
use crate::scale::{DISPATCH_BASE, VERSION_BASE};
use crate::state::{Message, State, command_of};

/// One step, with the time and, where it concerns a message, what that says.
pub(crate) fn describe(state: &State, action: Action) -> String {
    let words = match action {
        Action::Deliver(index)
        | Action::Delay(index)
        | Action::Duplicate(index)
        | Action::LoseReport(index) => {
            let said = state.net.get(usize::from(index)).map(|e| message(&e.message));
            format!("{action:?}: {}", said.unwrap_or_default())
        }
        Action::Write(edge) => {
            let mail = &state.edges[usize::from(edge)].mail;
            let written = mail
                .first()
                .map(|(socket, id)| format!("command {} on socket {}", command_of(*id), socket.0));
            format!("{action:?}: {}", written.unwrap_or_default())
        }
        other => format!("{other:?}"),
    };
    format!("tick {:>2}  {words}  [{}]", state.now, commands(state))
}

fn commands(state: &State) -> String {
    let one = |c: &domain::command::Command| {
        let p = &c.progress;
        format!(
            "{:?} {:?} {} by {}",
            c.request.class,
            p.status,
            p.attempts,
            dispatch(p.dispatch)
        )
    };
    let all: Vec<String> = state.store.slot.commands.values().map(one).collect();
    let route = state.store.slot.devices.values().next().map(|d| {
        let pod = d.pod.as_ref().map_or("-", |p| p.as_str());
        format!(
            "route {pod}{} {}",
            if d.connected { "" } else { " gone" },
            version(d.version)
        )
    });
    format!("{}; {}", all.join(", "), route.unwrap_or_default())
}

fn message(message: &Message) -> String {
    match message {
        Message::Up {
            edge, router, item, ..
        } => format!("edge {edge} to router {router}: {}", of_item(item)),
        Message::Down { edge, input } => format!("to edge {edge}: {}", of_input(input)),
        Message::Record { edge, input } => format!("record for edge {edge}: {}", of_input(input)),
        Message::Claim { router, claimed } => format!(
            "claim at router {router}: command {} by {}",
            command_of(claimed.command.request.id),
            dispatch(claimed.command.progress.dispatch)
        ),
        Message::Suspect { edge, .. } => format!("edge {edge} is suspect"),
        Message::SocketEnd { edge, socket } => format!("edge {edge} sees socket {} end", socket.0),
    }
}

fn of_item(item: &Item) -> String {
    match item {
        Item::Register {
            sequence,
            first_version,
            ..
        } => {
            format!("register {sequence}, first {}", version(*first_version))
        }
        Item::Unregister { version: v, .. } => format!("unregister {}", version(*v)),
        Item::RenewConnections { request, .. } => format!("renew {request}"),
        Item::Intent { dispatch, nonce } => format!("intent {} nonce {nonce}", reference(dispatch)),
        Item::NonWrite { dispatch, nonce } => format!("non-write {} nonce {nonce}", reference(dispatch)),
        Item::Written { dispatch } => format!("written {}", reference(dispatch)),
        Item::Refusal { dispatch, reason, .. } => format!("{reason:?} {}", reference(dispatch)),
        Item::Answer { id, .. } => format!("answer to command {}", command_of(*id)),
        Item::NoteDone { note, .. } => format!("done: {note}"),
    }
}

fn of_input(input: &Input) -> String {
    match input {
        Input::Registered {
            sequence, version: v, ..
        } => format!("registered {sequence} as {}", version(*v)),
        Input::RegisterRefused { sequence, .. } => format!("registration {sequence} refused"),
        Input::Record { incarnation, command } => format!(
            "life {incarnation}: command {} by {} for {}, attempt {}",
            command_of(command.id),
            dispatch(command.dispatch),
            version(command.version),
            command.attempt
        ),
        Input::Kick { version: v, .. } => format!("kick {}", version(*v)),
        Input::Cancel { id, .. } => format!("cancel command {}", command_of(*id)),
        Input::Grant { id, nonce, .. } => format!("grant of command {} nonce {nonce}", command_of(*id)),
        Input::IntentRefused { nonce, .. } => format!("intent {nonce} refused"),
        Input::NonWriteConfirmed { nonce, .. } => format!("non-write {nonce} confirmed"),
        Input::AnswerConfirmed { id, .. } => format!("answer to command {} confirmed", command_of(*id)),
        Input::ConnectionsRenewed { lost, .. } => format!("renewed, {} lost", lost.len()),
        other => format!("{other:?}"),
    }
}

fn reference(of: &DispatchRef) -> String {
    format!(
        "command {} by {} for {}",
        command_of(of.id),
        dispatch(of.dispatch),
        version(of.version)
    )
}

fn dispatch(number: DispatchNumber) -> String {
    if number.0 == 0 {
        "d-".to_owned()
    } else {
        format!("d{}", number.0.saturating_sub(DISPATCH_BASE))
    }
}

fn version(number: Version) -> String {
    if number.0 == 0 {
        "v-".to_owned()
    } else {
        format!("v{}", number.0.saturating_sub(VERSION_BASE))
    }
}
