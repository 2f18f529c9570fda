//! The driver's port to the cluster of a history: each wish for a look or an act is put down, and the history answers it in its own time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use migration::drive::{self, Cluster, EndReason, Observation, Outcome};
use migration::plan::Plan;
use migration::roll::run::Run;
use migration::roll::step::Act;
use migration::roll::wait::Wait;

/// What goes between a driver and its cluster.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// The driver waits for a look.
    pub(crate) is_looking: bool,
    pub(crate) observation: Option<Result<Observation, EndReason>>,
    /// Calls that are to be made, by number.
    pub(crate) calls: Vec<(u64, Act)>,
    /// What became of calls.
    pub(crate) outcomes: BTreeMap<u64, Outcome>,
    /// How many calls there were.
    pub(crate) number: u64,
    /// Who waits for something of it.
    wakers: Vec<Waker>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) last_wish: u64,
}

impl Mail {
    /// The waiting task looks into the mail again when the driver is polled next.
    pub(crate) fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// The cluster as the driver reaches it.
pub(crate) struct Port(pub(super) Rc<RefCell<Mail>>);

/// Waits until something is in the mail.
struct MailFuture<F>(Rc<RefCell<Mail>>, F);

impl<T, F: FnMut(&mut Mail) -> Option<T> + Unpin> Future for MailFuture<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mail = Rc::clone(&self.0);
        let mut mail = mail.borrow_mut();
        let result = (self.1)(&mut mail);
        if result.is_none() {
            mail.wakers.push(context.waker().clone());
        }
        result.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Cluster for Port {
    async fn look(&mut self, run: &Run, _: &Plan) -> Result<Observation, EndReason> {
        {
            let mut mail = self.0.borrow_mut();
            (mail.is_looking, mail.last_wish) = (true, run.wish);
        }
        MailFuture(Rc::clone(&self.0), |mail: &mut Mail| mail.observation.take()).await
    }

    fn act(&self, act: &Act) -> impl Future<Output = Outcome> + 'static {
        let (mail, act) = (Rc::clone(&self.0), act.clone());
        async move {
            let number = {
                let mut mail = mail.borrow_mut();
                mail.number += 1;
                let number = mail.number;
                mail.calls.push((number, act));
                number
            };
            MailFuture(mail, move |mail: &mut Mail| mail.outcomes.remove(&number)).await
        }
    }

    /// No time passes while a simulated driver decides.
    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }

    async fn note(&mut self, _: &drive::Event) {}
}
