//! A signal asks this program to end: Ctrl-C, or SIGTERM of a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The exit status of a program that is ended in the middle. *Source*: POSIX shells, 128 and the number of SIGINT.
const AT_ONCE: i32 = 130;

/// Whether the end was asked for. The first time, the run ends in order; the second time, the program ends at once, which harms nothing but leaves the
/// Lease to expire.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    is_set: Arc<AtomicBool>,
    notify: Arc<Notify>,
}

impl Interrupt {
    /// Listens from now on, in the runtime that is running.
    pub(super) fn new() -> Self {
        let this = Self { is_set: Arc::default(), notify: Arc::default() };
        let listener = this.clone();
        tokio::spawn(async move {
            loop {
                wait_for_signal().await;
                if listener.is_set.swap(true, Ordering::Relaxed) {
                    std::process::exit(AT_ONCE);
                }
                listener.notify.notify_one();
            }
        });
        this
    }

    /// As after one signal.
    #[cfg(test)]
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }

    /// A person asked.
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Waits for a request.
    pub(super) async fn wait(&self) {
        if !self.is_set() {
            self.notify.notified().await;
        }
    }
}

/// Waits for one signal. A machine that has none never ends the program this way.
#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return wait_for_interrupt().await };
    tokio::select! {
        _ = term.recv() => {}
        () = wait_for_interrupt() => {}
    }
}

/// The same.
#[cfg(not(unix))]
async fn wait_for_signal() {
    wait_for_interrupt().await;
}

async fn wait_for_interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
