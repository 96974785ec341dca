//! A router of the tests' own: answers from a script, remembers what it was asked. Leaves out any real behaviour.

mod dead_letters;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use gatewayctl::{Environment, ExitStatus, Io};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use wire::gateway::command::v1::command_service_server::{CommandService, CommandServiceServer};
use wire::gateway::command::v1::dead_letter_service_server::DeadLetterServiceServer;
use wire::gateway::command::v1::{
    CancelCommandRequest, CancelCommandResponse, Command, CommandState, GetCommandRequest,
    GetCommandResponse, ListCommandsRequest, ListCommandsResponse, SendCommandRequest, SendCommandResponse,
    WatchCommandRequest, WatchCommandResponse,
};
use wire::gateway::registry::v1::registry_service_server::{RegistryService, RegistryServiceServer};
use wire::gateway::registry::v1::{
    GetConnectionRequest, GetConnectionResponse, ListConnectionsRequest, ListConnectionsResponse,
};

pub(crate) use dead_letters::DeadLetters;

/// What the router will say to one kind of call, each once.
pub(crate) type Answers<T> = VecDeque<Result<T, Status>>;

/// What the router will answer, each answer once, and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) send: Answers<SendCommandResponse>,
    pub(crate) get: Answers<Command>,
    pub(crate) cancel: Answers<Command>,
    pub(crate) watch: VecDeque<Vec<Result<Command, Status>>>,
    pub(crate) list: VecDeque<ListCommandsResponse>,
    pub(crate) connection: Answers<GetConnectionResponse>,
    pub(crate) connections: VecDeque<ListConnectionsResponse>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) sent: Vec<SendCommandRequest>,
    pub(crate) listed: Vec<ListCommandsRequest>,
    pub(crate) connections_listed: Vec<ListConnectionsRequest>,
}

/// A scripted router on a port of its own.
pub(crate) struct FakeRouter {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl FakeRouter {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script));
        let service = Service(script.clone());
        let (stop, stopped) = oneshot::channel();
        let server = Server::builder()
            .add_service(CommandServiceServer::new(service.clone()))
            .add_service(DeadLetterServiceServer::new(service.clone()))
            .add_service(RegistryServiceServer::new(service))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _ = stopped.await;
            });
        Self {
            address,
            script,
            stop: Some(stop),
            task: tokio::spawn(server),
        }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub(crate) async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.task.await.unwrap().unwrap();
    }
}

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The moment at which every run of these tests happens.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)
}

/// Runs the program against these routers with `args` behind its name.
pub(crate) async fn run(routers: &[SocketAddr], args: &[&str], stdin: &str) -> Outcome {
    let flags = routers
        .iter()
        .flat_map(|router| ["--router".to_owned(), router.to_string()]);
    let line = std::iter::once("gatewayctl".to_owned())
        .chain(flags)
        .chain(args.iter().map(|arg| (*arg).to_owned()));
    let environment = Environment {
        variables: BTreeMap::new(),
        now: now(),
    };
    let (mut stdout, mut stderr, mut stdin) = (Vec::new(), Vec::new(), stdin.as_bytes());
    let io = Io {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let status = gatewayctl::run(line.map(OsString::from), &environment, io).await;
    Outcome {
        status,
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A command in a state, as a router would report it.
pub(crate) fn command(state: CommandState, revision: u64) -> Command {
    Command {
        command_id: "c-1".to_owned(),
        charge_point_id: "CP-1".to_owned(),
        action: "Reset".to_owned(),
        state: state.into(),
        revision,
        ..Command::default()
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[derive(Clone)]
struct Service(Arc<Mutex<Script>>);

impl Service {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

/// The next answer; a call that the script does not foresee is an error of the test, and shows as one.
fn next<T>(queue: &mut VecDeque<T>) -> Result<T, Status> {
    queue
        .pop_front()
        .ok_or_else(|| Status::new(Code::Internal, "the script has no answer left"))
}

#[tonic::async_trait]
impl CommandService for Service {
    async fn send_command(
        &self,
        request: Request<SendCommandRequest>,
    ) -> Result<Response<SendCommandResponse>, Status> {
        let mut script = self.script();
        script.sent.push(request.into_inner());
        next(&mut script.send)?.map(Response::new)
    }

    async fn get_command(
        &self,
        _: Request<GetCommandRequest>,
    ) -> Result<Response<GetCommandResponse>, Status> {
        let command = next(&mut self.script().get)??;
        Ok(Response::new(GetCommandResponse {
            command: Some(command),
        }))
    }

    async fn list_commands(
        &self,
        request: Request<ListCommandsRequest>,
    ) -> Result<Response<ListCommandsResponse>, Status> {
        let mut script = self.script();
        script.listed.push(request.into_inner());
        next(&mut script.list).map(Response::new)
    }

    type WatchCommandStream = tokio_stream::Iter<std::vec::IntoIter<Result<WatchCommandResponse, Status>>>;

    async fn watch_command(
        &self,
        _: Request<WatchCommandRequest>,
    ) -> Result<Response<Self::WatchCommandStream>, Status> {
        let changes = next(&mut self.script().watch)?;
        let changes: Vec<_> = changes
            .into_iter()
            .map(|change| {
                change.map(|command| WatchCommandResponse {
                    command: Some(command),
                })
            })
            .collect();
        Ok(Response::new(tokio_stream::iter(changes)))
    }

    async fn cancel_command(
        &self,
        _: Request<CancelCommandRequest>,
    ) -> Result<Response<CancelCommandResponse>, Status> {
        let command = next(&mut self.script().cancel)??;
        Ok(Response::new(CancelCommandResponse {
            command: Some(command),
        }))
    }
}

#[tonic::async_trait]
impl RegistryService for Service {
    async fn get_connection(
        &self,
        _: Request<GetConnectionRequest>,
    ) -> Result<Response<GetConnectionResponse>, Status> {
        next(&mut self.script().connection)?.map(Response::new)
    }

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<ListConnectionsResponse>, Status> {
        let mut script = self.script();
        script.connections_listed.push(request.into_inner());
        next(&mut script.connections).map(Response::new)
    }
}
