//! How the driver reaches the cluster of a history: each wish for a look or an act is put down, and the history answers it in its own time. Pure.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::drive::{self, Cluster, Outcome, Seen};
use crate::plan::Plan;
use crate::roll::act::Act;
use crate::roll::run::Run;
use crate::roll::wait::Wait;

/// What goes between a driver and its cluster.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) asked: Option<Asked>,
    pub(super) seen: Option<Result<Seen, String>>,
    pub(super) outcome: Option<Outcome>,
    pub(super) waits: Vec<Wait>,
    pub(super) taken: u64,
}

#[derive(Debug)]
pub(super) enum Asked {
    Look,
    Act(Act),
}

/// The cluster as the driver reaches it.
pub(super) struct Port(pub(super) Rc<RefCell<Mail>>);

/// Waits until something is in the mail.
struct Arrives<'a, T>(&'a Port, fn(&mut Mail) -> Option<T>);

impl<T> Future for Arrives<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        (self.1)(&mut self.0.0.borrow_mut()).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Cluster for Port {
    async fn look(&mut self, run: &Run, _: &Plan) -> Result<Seen, String> {
        {
            let mut mail = self.0.borrow_mut();
            (mail.asked, mail.taken) = (Some(Asked::Look), run.wish);
        }
        Arrives(self, |mail| mail.seen.take()).await
    }

    async fn act(&mut self, act: &Act) -> Outcome {
        self.0.borrow_mut().asked = Some(Asked::Act(act.clone()));
        Arrives(self, |mail| mail.outcome.take()).await
    }

    async fn note(&mut self, _: &drive::Event) {}
}
