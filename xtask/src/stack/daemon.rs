//! The process behind `stack up`: it owns the stack, keeps the state file and takes requests to restart.
//!
//! `up` launches it and passes its progress on. Until `up` lets go (the line "detach"), the closing of the
//! pipe between them ends the stack, so an interrupted `up` leaves nothing. Left out: restarts nobody asked for;
//! who kills a process of a stack wants to see what happens without it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;

use super::running::{Stack, StackSpec};
use super::state::{self, ProcessIdentity, State};
use super::{Binaries, SuperviseArgs};
use crate::interrupt::Interrupt;
use crate::progress::{complain, print, say};
use crate::supervise::guarded::self_command;

/// What the daemon prints when the stack is ready.
const READY: &str = "ready";

/// What `up` writes when the daemon shall live on without it.
const DETACH: &str = "detach\n";

/// The socket for requests, in the stack's scratch folder.
const SOCKET: &str = "control.sock";

/// Starts the daemon and returns once the stack is ready, or with an error once the daemon has ended.
///
/// When the user interrupts, the daemon is given the time to clean up.
pub(super) async fn launch(spec: &StackSpec, binaries: &Binaries, interrupt: &Interrupt) -> Result<()> {
    let mut daemon = spawn(spec, binaries)?;
    let mut stdin = daemon
        .stdin
        .take()
        .context("the supervisor has no standard input")?;
    let stdout = daemon
        .stdout
        .take()
        .context("the supervisor has no standard output")?;
    let stderr = daemon
        .stderr
        .take()
        .context("the supervisor has no standard error")?;
    let relay = tokio::spawn(relay(BufReader::new(stderr)));
    let mut line = String::new();
    let mut stdout = BufReader::new(stdout);
    tokio::select! {
        read = stdout.read_line(&mut line) => read.map(drop)?,
        () = interrupt.requested() => drop(stdin.shutdown().await),
    }
    if line.trim() != READY {
        drop(stdin);
        let status = daemon.wait().await?;
        relay.await?;
        interrupt.check()?;
        bail!("the stack did not start ({status})");
    }
    // What the daemon said last may still be on its way.
    let _still_open = tokio::time::timeout(Duration::from_millis(100), relay).await;
    stdin
        .write_all(DETACH.as_bytes())
        .await
        .context("letting the supervisor go")
}

/// The daemon's life.
pub(super) async fn supervise(args: &SuperviseArgs, interrupt: &Interrupt) -> Result<u8> {
    // A session of its own: the terminal's Ctrl-C and hang-up are for `up`, not for the stack.
    nix::unistd::setsid().context("leaving the terminal's session")?;
    let spec: StackSpec = serde_json::from_str(&args.spec).context("reading the specification")?;
    let name = spec.name.clone();
    let files = [state::path_of(&name)?];
    let start = Stack::start(spec, Binaries::in_folder(args.binaries.clone()), &files);
    let mut stdin = BufReader::new(tokio::io::stdin());
    let mut stack = tokio::select! {
        started = start => started?,
        () = closed(&mut stdin) => bail!("`stack up` ended before the stack was ready"),
        () = interrupt.requested() => bail!("interrupted before the stack was ready"),
    };
    let socket = UnixListener::bind(socket_in(stack.supervisor().scratch().path()))
        .context("listening for requests")?;
    write_state(&name, &mut stack)?;
    print(READY);
    let mut line = String::new();
    let detached = stdin.read_line(&mut line).await.is_ok() && line == DETACH;
    let served = if detached {
        serve(&name, &mut stack, &socket, interrupt).await
    } else {
        Ok(())
    };
    stack.stop().await;
    served.map(|()| 0)
}

/// Asks a stack's daemon to restart a process; returns its answer.
pub(super) async fn ask_restart(state: &State, process: &str) -> Result<String> {
    let path = socket_in(&state.scratch);
    let mut stream = UnixStream::connect(&path)
        .await
        .context("reaching the stack's supervisor")?;
    stream
        .write_all(format!("restart {process}\n").as_bytes())
        .await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    match answer.trim().strip_prefix("ok ") {
        Some(text) => Ok(text.to_owned()),
        None => bail!("{}", answer.trim().trim_start_matches("error ")),
    }
}

/// Starts the process, with pipes to and from it.
fn spawn(spec: &StackSpec, binaries: &Binaries) -> Result<Child> {
    let mut command = self_command("stack");
    command
        .arg("supervise")
        .arg("--spec")
        .arg(serde_json::to_string(spec)?);
    command.arg("--binaries").arg(binaries.folder());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().context("starting the stack's supervisor")
}

/// Keeps the state file true until somebody ends the stack.
async fn serve(name: &str, stack: &mut Stack, socket: &UnixListener, interrupt: &Interrupt) -> Result<()> {
    loop {
        tokio::select! {
            () = interrupt.requested() => return Ok(()),
            exit = stack.unexpected_exit() => {
                complain(format!("{} ended by itself: {}\n{}", exit.name, exit.status, exit.tail));
            }
            request = socket.accept() => {
                if let Ok((stream, _)) = request {
                    answer(stack, stream).await;
                }
            }
        }
        write_state(name, stack)?;
    }
}

/// Reads one request and answers it; a client that goes away in between is its own concern.
async fn answer(stack: &mut Stack, stream: UnixStream) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let _client_gone = BufReader::new(reader).read_line(&mut line).await;
    let outcome = match line.trim().split_once(' ') {
        Some(("restart", process)) => stack
            .restart(process)
            .await
            .map(|()| format!("{process} is ready")),
        _ => Err(anyhow::anyhow!("not a request: {:?}", line.trim())),
    };
    let text = match outcome {
        Ok(text) => format!("ok {text}\n"),
        Err(error) => format!("error {}\n", format!("{error:#}").replace('\n', " | ")),
    };
    let _client_gone = writer.write_all(text.as_bytes()).await;
}

fn write_state(name: &str, stack: &mut Stack) -> Result<()> {
    let view = stack.view();
    let scratch = stack.supervisor().scratch().path().to_path_buf();
    State {
        name: name.to_owned(),
        supervisor: ProcessIdentity::own(),
        scratch,
        view,
    }
    .write()
}

fn socket_in(scratch: &Path) -> PathBuf {
    scratch.join(SOCKET)
}

/// Resolves when the pipe closes; anything else on it is ignored at this stage.
async fn closed(stdin: &mut (impl AsyncBufReadExt + Unpin)) {
    let mut line = String::new();
    while stdin.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        line.clear();
    }
}

async fn relay(mut stderr: impl AsyncBufReadExt + Unpin) {
    let mut line = String::new();
    while stderr.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        // The daemon's lines bear the mark already.
        let text = line.trim_end();
        match text.strip_prefix("· ") {
            Some(text) => say(text),
            None => complain(text.trim_start_matches("✗ ")),
        }
        line.clear();
    }
}
