//! What ends a service: SIGTERM, SIGINT, the end of standard input.
//!
//! The first signal cancels a token, and everything drains; the second ends the process at once with code 130.
//! Leaves out the drain itself, whose order is written in `runner.rs`.

use std::{
    io::{self, ErrorKind, Read},
    process, thread,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal, as a shell reports an interrupted program.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Cancels `token` at the first SIGTERM or SIGINT and ends the process at the second. The task has no owner
/// to await it, on purpose: it must outlive the drain to see the second signal.
pub fn on_signals(token: CancellationToken) -> io::Result<()> {
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let name = next(&mut signals).await;
        tracing::info!("{name} received: shutting down; a second signal ends the process at once");
        token.cancel();
        let name = next(&mut signals).await;
        tracing::warn!("{name} received again: ending at once");
        process::exit(EXIT_INTERRUPTED);
    });
    Ok(())
}

/// Cancels `token` when standard input ends. For services whose supervisor holds the other end of the pipe:
/// it closes however the supervisor dies. A read cannot be interrupted, so the thread ends with the process.
pub fn on_stdin_close(token: CancellationToken) -> io::Result<()> {
    let body = move || {
        on_end_of(io::stdin(), &token);
    };
    thread::Builder::new()
        .name("stdin-watch".into())
        .spawn(body)
        .map(drop)
}

/// Reads to the end of `input`, then cancels `token`. What is read is of no interest.
fn on_end_of(mut input: impl Read, token: &CancellationToken) {
    let mut buffer = [0; 512];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // An input that cannot be read tells no more about the supervisor than one that is closed.
            Err(_) => break,
        }
    }
    tracing::info!("standard input closed: shutting down");
    token.cancel();
}

/// The name of the next signal of either kind.
async fn next(signals: &mut (Signal, Signal)) -> &'static str {
    tokio::select! {
        _ = signals.0.recv() => "SIGTERM",
        _ = signals.1.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_input_cancels_and_input_itself_does_not() {
        struct Input<'t>(u8, &'t CancellationToken);
        impl Read for Input<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                assert!(!self.1.is_cancelled());
                self.0 += 1;
                match self.0 {
                    1 => Err(ErrorKind::Interrupted.into()),
                    2 => Ok(buffer.len()),
                    _ => Ok(0),
                }
            }
        }
        let token = CancellationToken::new();
        on_end_of(Input(0, &token), &token);
        assert!(token.is_cancelled());
    }
}
