//! The binary `gatewayctl`: hands arguments, environment and standard streams to the library, and its status to the
//! shell. Leaves out everything else.

use std::process::ExitCode;

use gatewayctl::{Environment, Io, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let environment = Environment::from_process();
    let io = Io {
        stdin: &mut std::io::stdin().lock(),
        stdout: &mut std::io::stdout().lock(),
        stderr: &mut std::io::stderr().lock(),
    };
    run(std::env::args_os(), &environment, io).await.into()
}
