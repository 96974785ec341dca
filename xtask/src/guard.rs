//! The guard: a small process between xtask and one child, which outlives xtask just long enough to clean up.
//!
//! xtask holds the other end of the guard's standard input. When that end closes, also because xtask was
//! killed with SIGKILL, the guard closes the child's standard input, gives it a moment, kills the child's
//! process group and removes the paths it was told to own. The child in turn is killed by the kernel when
//! its guard dies (`PR_SET_PDEATHSIG`, which survives `exec`), so neither kill order leaves a process.
//! Left out: restarts, readiness, logs; those are the supervisor's.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getppid};

/// How the suffix of a file that holds a guarded process's id reads.
pub const PID_SUFFIX: &str = "pid";

/// How long a janitor (a guard without a command) waits for the processes of its folder to end.
const JANITOR_PATIENCE: Duration = Duration::from_secs(15);

/// `xtask guard`: see the module's text.
#[derive(Debug, clap::Args)]
pub struct GuardArgs {
    /// A file or folder to remove at the end; with no command, the guard only waits and removes.
    #[arg(long)]
    owns: Vec<PathBuf>,
    /// Where to write the child's process id, by an atomic rename.
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// How long the child may take to end by itself after its standard input closed.
    #[arg(long, default_value_t = 0)]
    grace_ms: u64,
    /// The command and its arguments.
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// `xtask guard-exec`: asks the kernel to be killed together with the guard, then becomes the command.
#[derive(Debug, clap::Args)]
pub struct GuardExecArgs {
    /// The guard's process id; another parent means that the guard has died already.
    #[arg(long)]
    guard: i32,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the guard to its end and returns the exit code: the child's own, or 128 plus its signal.
///
/// Must be called before any other thread exists, since it blocks signals for the whole process.
pub fn run(args: &GuardArgs) -> Result<u8> {
    set_process_name();
    let signals = block_signals().context("blocking signals")?;
    let (events, inbox) = mpsc::sync_channel(4);
    watch_stdin(events.clone());
    watch_signals(signals, events.clone());
    let code = if args.command.is_empty() {
        wait_for_end(&inbox);
        await_guarded_processes(&args.owns);
        0
    } else {
        guard_child(args, events, &inbox)?
    };
    for path in &args.owns {
        remove(path);
    }
    Ok(code)
}

/// Becomes the command; returns only if that failed.
pub fn exec(args: &GuardExecArgs) -> Result<u8> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("asking to die with the guard")?;
    if getppid() != Pid::from_raw(args.guard) {
        anyhow::bail!("the guard died before its child started");
    }
    // The guard's blocked signals are inherited; the command must see SIGTERM.
    SigSet::all().thread_unblock().context("unblocking signals")?;
    let (program, rest) = args.command.split_first().context("no command")?;
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("starting {}", program.to_string_lossy()))
}

/// Whether a process with this id exists and is not a zombie.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    if pid <= 0 || signal::kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
        return false;
    }
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state is the first field behind the parenthesised name, which itself may hold anything.
        Ok(stat) => !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => !Path::new("/proc/self/stat").exists(),
    }
}

/// What the guard waits for.
enum Event {
    /// The supervisor is gone or wants the child gone.
    End,
    /// The child has exited and is not reaped yet.
    Exited,
}

fn guard_child(args: &GuardArgs, events: SyncSender<Event>, inbox: &Receiver<Event>) -> Result<u8> {
    let mut child = spawn(&args.command)?;
    let pid = i32::try_from(child.id()).context("process id")?;
    watch_child(pid, events);
    if let Some(path) = &args.pid_file {
        write_pid(path, pid).with_context(|| format!("writing {}", path.display()))?;
    }
    if matches!(inbox.recv(), Ok(Event::End) | Err(_)) {
        drop(child.stdin.take());
        wait_for_exit(inbox, Duration::from_millis(args.grace_ms));
    }
    // The leader is still unreaped, so its group id cannot have been given to somebody else.
    let _already_gone = signal::killpg(Pid::from_raw(pid), Signal::SIGKILL);
    let status = child.wait().context("reaping the child")?;
    let signalled = status.signal().map(|number| 128 + number);
    Ok(u8::try_from(status.code().or(signalled).unwrap_or(1)).unwrap_or(1))
}

/// Starts the command in a process group of its own with a pipe as standard input.
fn spawn(command: &[OsString]) -> Result<Child> {
    let mut inner = self_command();
    inner
        .arg("guard-exec")
        .arg("--guard")
        .arg(std::process::id().to_string())
        .arg("--")
        .args(command);
    inner.stdin(Stdio::piped()).process_group(0);
    inner.spawn().context("starting the guarded child")
}

/// This same program again, also when its file was replaced by a newer build meanwhile.
fn self_command() -> Command {
    let running = Path::new("/proc/self/exe");
    let program = if running.exists() {
        Ok(running.to_path_buf())
    } else {
        std::env::current_exe()
    };
    Command::new(program.unwrap_or_else(|_| PathBuf::from("xtask")))
}

/// Shows as `holdfast-guard` in process listings: a kill by the name of xtask must not take the guards along.
fn set_process_name() {
    #[cfg(target_os = "linux")]
    let _only_cosmetic = nix::sys::prctl::set_name(c"holdfast-guard");
}

fn block_signals() -> Result<SigSet> {
    let mut set = SigSet::empty();
    for each in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        set.add(each);
    }
    set.thread_block()?;
    Ok(set)
}

fn watch_stdin(events: SyncSender<Event>) {
    thread::spawn(move || {
        let mut ignored = [0_u8; 64];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _guard_ended = events.send(Event::End);
    });
}

fn watch_signals(signals: SigSet, events: SyncSender<Event>) {
    thread::spawn(move || {
        if signals.wait().is_ok() {
            let _guard_ended = events.send(Event::End);
        }
    });
}

/// Reports the child's exit without reaping it.
fn watch_child(pid: i32, events: SyncSender<Event>) {
    thread::spawn(move || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(Pid::from_raw(pid)), flags) == Err(Errno::EINTR) {}
        let _guard_ended = events.send(Event::Exited);
    });
}

fn wait_for_end(inbox: &Receiver<Event>) {
    while let Ok(event) = inbox.recv() {
        if matches!(event, Event::End) {
            break;
        }
    }
}

fn wait_for_exit(inbox: &Receiver<Event>, patience: Duration) {
    let deadline = Instant::now() + patience;
    loop {
        match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Exited) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            Ok(Event::End) => {}
        }
    }
}

fn write_pid(path: &Path, pid: i32) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::File::create(&partial)?;
    writeln!(file, "{pid}")?;
    fs::rename(&partial, path)
}

/// Waits until no process of the owned folders' pid files is alive: one that still runs could write into
/// the folder while it is being removed.
fn await_guarded_processes(owned: &[PathBuf]) {
    let deadline = Instant::now() + JANITOR_PATIENCE;
    while Instant::now() < deadline && owned.iter().any(|folder| any_alive(folder)) {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a pid file directly in `folder` names a process that lives.
fn any_alive(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        path.extension().is_some_and(|extension| extension == PID_SUFFIX)
            && fs::read_to_string(&path).is_ok_and(|text| text.trim().parse().is_ok_and(is_alive))
    })
}

/// Removes a file or a folder with all it holds; a few tries, since a dying process may add a file meanwhile.
fn remove(path: &Path) {
    for _ in 0..50 {
        let outcome = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(_) => return,
        };
        if outcome.is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}
