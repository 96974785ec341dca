//! The work of one link: items being handled side by side, and the answers that wait for the edge to take them.
//!
//! Handling and sending go on independently: an edge that takes no answers stops only the reading of its further
//! items, never the work that was begun, which may hold what others wait for.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use domain::ids::Incarnation;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use wire::gateway::link::v1::{DownItem, LinkResponse};

use super::Outbound;
use super::items::Answer;

/// Items of one link that are being handled and not patient, and answers that wait; meanwhile no more are read.
const AT_A_TIME: usize = 4_096;
/// Patient ones, which wait half a second for their turn and longer under load: they have places of their own, since
/// what is not read stands behind them, whatever its haste.
const PATIENT: usize = 4 * AT_A_TIME;
/// Answers of one message.
const MOST: usize = 512;

/// The edge is gone: nobody takes answers any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// An item that was handled, and whether it was patient.
type Done = (Answer, bool);

/// Work and answers.
#[derive(Default)]
pub(super) struct Desk {
    working: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// The patient ones among them.
    patient: usize,
    answers: VecDeque<Answer>,
    /// The life that the edge lives as far as this link knows; 0 for none.
    incarnation: Incarnation,
}

impl Desk {
    /// An empty desk for an edge that lives this life.
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            ..Self::default()
        }
    }

    /// Begins to handle an item.
    pub(super) fn begin(&mut self, patient: bool, work: impl Future<Output = Answer> + Send + 'static) {
        self.patient += usize::from(patient);
        self.working.push(Box::pin(async move { (work.await, patient) }));
    }

    /// Whether further items may be read.
    pub(super) fn has_room(&self) -> bool {
        let hasty = self.working.len() - self.patient;
        hasty + self.answers.len() < AT_A_TIME && self.patient < PATIENT
    }

    /// Does what can be done next: takes what was handled, or sends answers. Waits for ever where there is neither.
    /// Cancel safe.
    pub(super) async fn turn(&mut self, down: &mpsc::Sender<Outbound>) -> Result<(), Gone> {
        tokio::select! {
            Some(done) = self.working.next() => {
                self.take(done);
                self.gather();
                Ok(())
            }
            permit = down.reserve(), if !self.answers.is_empty() => {
                permit.map_err(|_| Gone)?.send(Ok(self.message()));
                Ok(())
            }
            else => std::future::pending().await,
        }
    }

    /// Finishes what was begun and is not patient; returns the edge's life as it is known then, which nothing patient
    /// changes.
    pub(super) async fn finish_hasty(&mut self) -> Incarnation {
        while self.working.len() > self.patient
            && let Some(done) = self.working.next().await
        {
            self.take(done);
        }
        self.incarnation
    }

    /// Finishes everything, so that no claim is lost.
    pub(super) async fn finish(mut self) {
        while let Some(done) = self.working.next().await {
            self.take(done);
        }
    }

    /// Takes what is done already, as far as one message holds.
    fn gather(&mut self) {
        while self.answers.len() < MOST {
            match self.working.next().now_or_never().flatten() {
                Some(done) => self.take(done),
                None => return,
            }
        }
    }

    fn take(&mut self, (answer, patient): Done) {
        self.patient -= usize::from(patient);
        self.incarnation = answer.incarnation.unwrap_or(self.incarnation);
        if !answer.items.is_empty() {
            self.answers.push_back(answer);
        }
    }

    /// The next message. Its time is that of the latest answer: each was read after its request was sent and before
    /// this message arrives, which is all that the edge's interval needs.
    fn message(&mut self) -> LinkResponse {
        let some = self.answers.len().min(MOST);
        let (mut items, mut redis_now_us) = (Vec::with_capacity(some), 0);
        for answer in self.answers.drain(..some) {
            redis_now_us = redis_now_us.max(answer.redis_now.0);
            items.extend(answer.items.into_iter().map(|item| DownItem { item: Some(item) }));
        }
        LinkResponse { items, redis_now_us }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::Micros;
    use wire::gateway::link::v1::{AnswerConfirmed, down_item};

    use super::*;

    fn confirmed(n: u64) -> Answer {
        let item = down_item::Item::AnswerConfirmed(AnswerConfirmed {
            command_id: n.to_string(),
            charge_point_id: String::new(),
        });
        Answer {
            items: vec![item],
            redis_now: Micros(n),
            incarnation: Some(Incarnation(n)),
        }
    }

    #[tokio::test]
    async fn an_edge_that_takes_no_answers_does_not_stop_the_work_that_was_begun() {
        let (down, mut edge) = mpsc::channel(1);
        down.try_send(Ok(LinkResponse::default())).unwrap();
        let mut desk = Desk::new(Incarnation(0));
        desk.begin(false, async { confirmed(1) });
        desk.turn(&down).now_or_never().unwrap().unwrap();
        // An answer waits, and the edge takes none. Work that others wait for goes on all the same.
        let (told, done) = tokio::sync::oneshot::channel();
        desk.begin(false, async move {
            tokio::task::yield_now().await;
            told.send(()).unwrap();
            confirmed(2)
        });
        tokio::select! {
            _ = async { loop { desk.turn(&down).await.unwrap(); } } => {}
            worked = done => worked.unwrap(),
        }
        // Both answers leave in one message once there is room, with the time of the later one.
        desk.turn(&down).now_or_never();
        assert_eq!(desk.answers.len(), 2);
        edge.recv().await.unwrap().unwrap();
        desk.turn(&down).now_or_never().unwrap().unwrap();
        let message = edge.recv().await.unwrap().unwrap();
        assert_eq!((message.items.len(), message.redis_now_us), (2, 2));
        assert_eq!(desk.finish_hasty().await, Incarnation(2));
    }

    #[tokio::test]
    async fn answers_that_wait_count_against_the_bound_and_an_edge_that_is_gone_ends_the_link() {
        let (down, edge) = mpsc::channel(1);
        down.try_send(Ok(LinkResponse::default())).unwrap();
        let mut desk = Desk::new(Incarnation(0));
        for n in 0..AT_A_TIME {
            assert!(desk.has_room());
            desk.begin(false, async move { confirmed(n as u64) });
        }
        assert!(!desk.has_room());
        while desk.answers.len() < AT_A_TIME {
            desk.turn(&down).now_or_never().unwrap().unwrap();
        }
        assert!(!desk.has_room());
        assert!(desk.turn(&down).now_or_never().is_none());
        drop(edge);
        assert_eq!(desk.turn(&down).await, Err(Gone));
    }

    #[tokio::test]
    async fn patient_items_leave_room_for_the_others_up_to_a_bound_of_their_own() {
        let (down, mut edge) = mpsc::channel(1);
        let mut desk = Desk::new(Incarnation(0));
        let (turn, its_turn) = tokio::sync::watch::channel(false);
        for n in 0..PATIENT {
            assert!(desk.has_room(), "after {n} items");
            let mut waits = its_turn.clone();
            desk.begin(true, async move {
                waits.wait_for(|come| *come).await.unwrap();
                Answer::default()
            });
            if n == AT_A_TIME {
                desk.begin(false, async { confirmed(1) });
            }
        }
        assert!(!desk.has_room());
        // What is not patient is answered meanwhile.
        while edge.try_recv().is_err() {
            desk.turn(&down).await.unwrap();
        }
        desk.begin(false, async { confirmed(2) });
        assert_eq!(desk.finish_hasty().await, Incarnation(2));
        turn.send_replace(true);
        while !desk.has_room() {
            desk.turn(&down).await.unwrap();
        }
        desk.finish().await;
    }

    #[tokio::test]
    async fn an_idle_desk_waits() {
        let (down, _edge) = mpsc::channel(1);
        assert!(Desk::new(Incarnation(0)).turn(&down).now_or_never().is_none());
    }
}
