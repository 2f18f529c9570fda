//! Somebody asks this program to end: Ctrl-C, or SIGTERM of a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The exit status of a program that is ended in the middle. *Source*: POSIX shells, 128 and the number of SIGINT.
const AT_ONCE: i32 = 130;

/// Whether somebody asked for the end. The first time, the run ends in order; the second time, the program ends at once, which harms nothing but leaves the
/// Lease to expire.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    is_set: Arc<AtomicBool>,
    told: Arc<Notify>,
}

impl Interrupt {
    /// Listens from now on, in the runtime that is running.
    pub(super) fn new() -> Self {
        let this = Self { is_set: Arc::default(), told: Arc::default() };
        let listener = this.clone();
        tokio::spawn(async move {
            loop {
                asked().await;
                if listener.is_set.swap(true, Ordering::Relaxed) {
                    std::process::exit(AT_ONCE);
                }
                listener.told.notify_one();
            }
        });
        this
    }

    /// As after one signal.
    #[cfg(test)]
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }

    /// Somebody asked.
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Waits until somebody asks.
    pub(super) async fn wait(&self) {
        if !self.is_set() {
            self.told.notified().await;
        }
    }
}

/// Waits for one signal. A machine that has none never ends the program this way.
#[cfg(unix)]
async fn asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return interrupted().await };
    tokio::select! {
        _ = term.recv() => {}
        () = interrupted() => {}
    }
}

/// The same.
#[cfg(not(unix))]
async fn asked() {
    interrupted().await;
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
