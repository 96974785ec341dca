//! The exit status of the program, and the text of `--help` that explains it. Leaves out what leads to which status:
//! that is in `failure`.

use std::process::ExitCode;

/// How a command line ended, for shells and scripts. The numbers are part of the interface and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// It was done.
    Ok = 0,
    /// The command that was waited for ended without an answer: failed, expired or cancelled.
    Unanswered = 1,
    /// The command line, the environment or the config file is wrong.
    Usage = 2,
    /// The command or the charge point is not known.
    NotFound = 3,
    /// The router refused a field of the request.
    InvalidArgument = 4,
    /// No router could be reached, or none is able to serve; whether the call had an effect is unknown.
    Unavailable = 5,
    /// The present state does not allow it, for example an idempotency key used for something else.
    Conflict = 6,
    /// A queue or a budget is full.
    ResourceExhausted = 7,
    /// No answer within `--timeout`; whether the call had an effect is unknown.
    TimedOut = 8,
    /// The command that was waited for was answered with a CALLERROR.
    ChargerError = 9,
    /// The router does not let this caller do it.
    Denied = 10,
    /// Anything else: an internal error of the router, or an output that cannot be written.
    Unexpected = 70,
}

/// Explains the statuses at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit status:
   0  done; with --wait or watch: the charger answered with a result
   1  with --wait or watch: the command failed, expired or was cancelled
   2  wrong command line, payload, environment or config file
   3  not known: the command, the charge point or the dead letter
   4  invalid argument; each refused field is named
   5  no router available; if one may have heard a send, repeat that with its idempotency key
   6  conflict: idempotency key used for another command, the command has already ended, a dead letter cannot be
      replayed (of many: some could not)
   7  resource exhausted: a queue or a budget is full
   8  no answer within --timeout; like 5
   9  with --wait or watch: the charger answered with a CALLERROR
  10  not permitted
  70  anything unexpected

Config file (--config, or holdfast/gatewayctl.toml under $XDG_CONFIG_HOME or ~/.config):
  router  = [\"router-1:7000\", \"router-2:7000\"]
  timeout = \"10s\"
  retries = 5
  output  = \"table\"
Flags win over the environment (GATEWAYCTL_ROUTER, several addresses separated by commas; GATEWAYCTL_TIMEOUT,
GATEWAYCTL_RETRIES, GATEWAYCTL_OUTPUT), the environment wins over the file.";

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        ExitCode::from(status as u8)
    }
}
