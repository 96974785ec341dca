//! The owner of a service's long-lived tasks and threads: named, awaited at shutdown, never lost silently.
//!
//! A task that panics or returns an error brings the whole service down, since nobody else would notice the
//! work it no longer does. Leaves out short tasks per request or per connection; their servers own those.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinError},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Why a service came down by one of its tasks.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TaskFailure {
    /// The task panicked.
    #[error("task {task} panicked: {message}")]
    Panicked {
        /// The task's name.
        task: String,
        /// The panic's message.
        message: String,
    },
    /// The task returned an error.
    #[error("task {task} failed: {message}")]
    Failed {
        /// The task's name.
        task: String,
        /// The error with its sources.
        message: String,
    },
    /// A task that runs until shutdown ended before.
    #[error("task {task} ended before the shutdown")]
    EndedEarly {
        /// The task's name.
        task: String,
    },
    /// Tasks were still running at the end of the drain and were cut off.
    #[error("tasks did not end within the drain: {tasks}")]
    Late {
        /// The names, separated by commas.
        tasks: String,
    },
}

/// What a task may return: nothing, or a result.
pub trait TaskOutput: Send + 'static {
    /// The error as text, if it is one.
    fn error(self) -> Option<String>;
}

impl TaskOutput for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl TaskOutput for anyhow::Result<()> {
    fn error(self) -> Option<String> {
        self.err().map(|error| format!("{error:#}"))
    }
}

/// The tasks of a service. Clones are handles of the same set.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    token: CancellationToken,
    tracker: TaskTracker,
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<u64, (Cow<'static, str>, Option<AbortHandle>)>,
    failure: Option<TaskFailure>,
}

impl Tasks {
    /// An empty set; a failing task cancels `token`.
    pub fn new(token: CancellationToken) -> Self {
        let (tracker, next, state) = (TaskTracker::new(), AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Shared {
            token,
            tracker,
            next,
            state,
        }))
    }

    /// The token that a failing task cancels and that tells the tasks to end.
    pub fn token(&self) -> &CancellationToken {
        &self.0.token
    }

    /// Spawns a task that may end when its work is done.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, task: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput,
    {
        self.start(name.into(), false, task);
    }

    /// Spawns a task that must run until shutdown; its earlier end is a failure too.
    pub fn spawn_essential<F>(&self, name: impl Into<Cow<'static, str>>, task: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput,
    {
        self.start(name.into(), true, task);
    }

    /// Starts an operating system thread and owns it like a task. A thread cannot be cut off: one that ignores
    /// the token is reported as late and ends with the process.
    pub fn spawn_thread<T, B>(&self, name: impl Into<Cow<'static, str>>, body: B) -> std::io::Result<()>
    where
        T: TaskOutput,
        B: FnOnce() -> T + Send + 'static,
    {
        let name = name.into();
        let (done, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_string())
            .spawn(move || {
                // Nobody listens only if the runtime is gone, and then nobody is left to report to.
                let _ = done.send(body().error());
            })?;
        let (id, shared) = (self.register(name.clone()), Arc::clone(&self.0));
        self.0.tracker.spawn(async move {
            let failure = match ended.await {
                Ok(error) => error.map(|message| TaskFailure::Failed {
                    task: name.to_string(),
                    message,
                }),
                // The sender fell with the unwinding thread, so joining it does not block.
                Err(_) => thread.join().err().map(|panic| panicked(&name, panic.as_ref())),
            };
            shared.ended(id, failure);
        });
        Ok(())
    }

    /// The first failure, if there was one.
    pub fn failure(&self) -> Option<TaskFailure> {
        self.0.lock().failure.clone()
    }

    /// Awaits all tasks, for at most `drain`; those still running are cut off. Returns the first failure. The
    /// caller has cancelled the token.
    pub async fn join(&self, drain: Duration) -> Result<(), TaskFailure> {
        self.0.tracker.close();
        if tokio::time::timeout(drain, self.0.tracker.wait()).await.is_err() {
            self.0.cut_off();
        }
        self.failure().map_or(Ok(()), Err)
    }

    /// Spawns the task, and beside it a watcher that sees how it ends.
    fn start<F>(&self, name: Cow<'static, str>, essential: bool, task: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput,
    {
        let (id, shared) = (self.register(name.clone()), Arc::clone(&self.0));
        let task = tokio::spawn(task);
        if let Some((_, abort)) = self.0.lock().running.get_mut(&id) {
            *abort = Some(task.abort_handle());
        }
        self.0.tracker.spawn(async move {
            let outcome = task.await.map(TaskOutput::error);
            let early = essential && !shared.token.is_cancelled();
            shared.ended(id, failure_of(&name, outcome, early));
        });
    }

    fn register(&self, name: Cow<'static, str>) -> u64 {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.lock().running.insert(id, (name, None));
        id
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the task off the list; a failure is logged, kept if it is the first, and ends the service.
    fn ended(&self, id: u64, failure: Option<TaskFailure>) {
        let mut state = self.lock();
        state.running.remove(&id);
        if let Some(failure) = failure {
            tracing::error!("{failure}; the service shuts down");
            state.failure.get_or_insert(failure);
            self.token.cancel();
        }
    }

    /// Aborts what still runs and keeps the names as a failure.
    fn cut_off(&self) {
        let mut state = self.lock();
        let names: Vec<_> = state.running.values().map(|(name, _)| name.to_string()).collect();
        state
            .running
            .values()
            .filter_map(|(_, abort)| abort.as_ref())
            .for_each(AbortHandle::abort);
        if !names.is_empty() {
            let failure = TaskFailure::Late {
                tasks: names.join(", "),
            };
            tracing::error!("{failure}");
            state.failure.get_or_insert(failure);
        }
    }
}

/// What the end of a task means. An abort is our own doing in `cut_off`, so it is no failure of the task.
fn failure_of(name: &str, outcome: Result<Option<String>, JoinError>, early: bool) -> Option<TaskFailure> {
    let task = name.to_owned();
    match outcome {
        Ok(Some(message)) => Some(TaskFailure::Failed { task, message }),
        Ok(None) => early.then_some(TaskFailure::EndedEarly { task }),
        Err(error) => Some(panicked(name, error.try_into_panic().ok()?.as_ref())),
    }
}

/// A panic's payload as text; `panic!` makes a `&str` or a `String`.
fn panicked(name: &str, panic: &(dyn std::any::Any + Send)) -> TaskFailure {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
    TaskFailure::Panicked {
        task: name.to_owned(),
        message: message.unwrap_or_else(|| "without a message".into()),
    }
}

#[cfg(test)]
mod tests;
