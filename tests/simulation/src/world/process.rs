//! Processes: they start, stand still, die and start again. What reaches one that stands still waits in its
//! sockets; what reaches one that is dead is lost.

use super::event::{EdgeEvent, Event, RouterEvent};
use super::{Node, World};
use crate::plan::{MS, Point, SECOND};

/// What routers and edges have in common.
#[derive(Debug)]
pub(crate) struct Process<E> {
    /// Grows with every start.
    pub(crate) life: u32,
    pub(crate) up: bool,
    pub(crate) paused_until: u64,
    /// What waits while it stands still.
    waiting: Vec<E>,
    /// Steps behind which it dies, and how often they are passed before.
    armed: Vec<(Point, u32, u64)>,
}

impl<E> Process<E> {
    pub(crate) fn new() -> Self {
        Self {
            life: 0,
            up: false,
            paused_until: 0,
            waiting: Vec::new(),
            armed: Vec::new(),
        }
    }

    /// A new life begins.
    pub(crate) fn rise(&mut self) {
        self.life += 1;
        self.up = true;
        self.paused_until = 0;
        self.waiting.clear();
    }

    /// The event, if the process can take it now.
    pub(crate) fn admit(&mut self, life: u32, now: u64, what: E) -> Option<E> {
        if !self.up || life != self.life {
            return None;
        }
        if self.paused_until > now {
            self.waiting.push(what);
            return None;
        }
        Some(what)
    }

    /// It will die behind a step.
    pub(crate) fn arm(&mut self, point: Point, nth: u32, down_us: u64) {
        self.armed.push((point, nth, down_us));
    }

    /// A step was passed: for how long the process is dead now, if it died.
    fn pass(&mut self, point: Point) -> Option<u64> {
        let at = self.armed.iter().position(|(armed, ..)| *armed == point)?;
        let (_, left, down_us) = self.armed.get_mut(at)?;
        *left = left.saturating_sub(1);
        let (dead, down_us) = (*left == 0, *down_us);
        if dead {
            self.armed.remove(at);
        }
        dead.then_some(down_us)
    }

    fn disarm(&mut self) {
        self.armed.clear();
    }
}

impl World {
    /// A router passes a step; true if it died there.
    pub(super) fn router_dies_at(&mut self, n: usize, point: Point) -> bool {
        let Some(down_us) = self.routers[n].process.pass(point) else {
            return false;
        };
        self.crash(Node::Router(n), down_us);
        true
    }

    /// An edge passes a step; true if it died there.
    pub(super) fn edge_dies_at(&mut self, n: usize, point: Point) -> bool {
        let Some(down_us) = self.edges[n].process.pass(point) else {
            return false;
        };
        self.crash(Node::Edge(n), down_us);
        true
    }

    /// A process dies, and starts again later.
    pub(super) fn crash(&mut self, node: Node, down_us: u64) {
        self.trace.line(self.schedule.now(), || format!("{node:?} dies"));
        match node {
            Node::Router(n) if self.routers[n].process.up => self.router_died(n),
            Node::Edge(n) if self.edges[n].process.up => self.edge_died(n),
            _ => return,
        }
        self.judge.died(node);
        self.schedule.after(down_us.max(10 * MS), Event::Start(node));
    }

    /// A process stands still.
    pub(super) fn pause(&mut self, node: Node, until: u64) {
        self.trace
            .line(self.schedule.now(), || format!("{node:?} stands still"));
        match node {
            Node::Router(n) if self.routers[n].process.up => self.routers[n].process.paused_until = until,
            Node::Edge(n) if self.edges[n].process.up => self.edges[n].process.paused_until = until,
            _ => return,
        }
        self.schedule.at(until, Event::Wake(node));
    }

    /// It goes on: what waits is handled, the things of different sockets in any order.
    pub(super) fn wake(&mut self, node: Node) {
        let now = self.schedule.now();
        let first = self.dice.chance(500);
        match node {
            Node::Router(n) => {
                let process = &mut self.routers[n].process;
                if process.paused_until > now {
                    return;
                }
                let (life, waiting) = (process.life, std::mem::take(&mut process.waiting));
                for what in ordered(waiting, RouterEvent::is_own, first) {
                    self.schedule.at(now, Event::Router { to: n, life, what });
                }
            }
            Node::Edge(n) => {
                let process = &mut self.edges[n].process;
                if process.paused_until > now {
                    return;
                }
                let (life, waiting) = (process.life, std::mem::take(&mut process.waiting));
                for what in ordered(waiting, EdgeEvent::is_own, first) {
                    self.schedule.at(now, Event::Edge { to: n, life, what });
                }
            }
            Node::Redis => self.redis_wakes(),
            Node::Kafka | Node::Clients => {}
        }
    }

    /// It starts anew.
    pub(super) fn start(&mut self, node: Node) {
        self.trace
            .line(self.schedule.now(), || format!("{node:?} starts"));
        match node {
            Node::Router(n) if !self.routers[n].process.up => self.start_router(n),
            // One that was superseded is not started beside its twin.
            Node::Edge(n) if !self.edges[n].process.up && !self.twin_is_up(n) => self.start_edge(n),
            Node::Redis => self.redis_starts(),
            _ => {}
        }
    }

    fn twin_is_up(&self, n: usize) -> bool {
        self.edges[(n + self.plan.edges) % self.edges.len()].process.up
    }

    /// A second process of an edge's pod is started, in the belief that the first one is gone.
    pub(super) fn start_twin(&mut self, n: usize) {
        let twin = n + self.plan.edges;
        if !self.edges[twin].process.up {
            self.trace
                .line(self.schedule.now(), || format!("edge {n} gets a twin"));
            self.start_edge(twin);
        }
    }

    /// Nothing stands still or is armed to die any more.
    pub(super) fn mend_processes(&mut self) {
        let now = self.schedule.now();
        for n in 0..self.routers.len() {
            self.routers[n].process.disarm();
            self.routers[n].process.paused_until = now;
            self.schedule.after(SECOND, Event::Start(Node::Router(n)));
            self.wake(Node::Router(n));
        }
        for n in 0..self.edges.len() {
            self.edges[n].process.disarm();
            self.edges[n].process.paused_until = now;
            if n < self.plan.edges {
                self.schedule.after(SECOND, Event::Start(Node::Edge(n)));
            }
            self.wake(Node::Edge(n));
        }
    }
}

/// What the process does of its own accord comes first or last; messages keep their order.
fn ordered<E>(waiting: Vec<E>, own: impl Fn(&E) -> bool, own_first: bool) -> Vec<E> {
    let (own, others): (Vec<E>, Vec<E>) = waiting.into_iter().partition(own);
    let (mut first, second) = if own_first { (own, others) } else { (others, own) };
    first.extend(second);
    first
}
