//! On which core a call begins.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The core on which the calls of a turn begin, by turns each of those that this process may use.
///
/// A disk with one queue interrupts one core, and a process that waits for it on another one is woken by that one. In a virtual machine this makes a durable
/// write longer by several wake-ups. The scheduler chooses the benchmark's core once and keeps it for a whole run, so two runs would differ by that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Core {
    this: CpuSet,
    all: CpuSet,
}

impl Core {
    /// The cores that this thread may use.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(super) fn all() -> Result<Vec<Core>> {
        let all = sched_getaffinity(Pid::from_raw(0)).context("the cores of this thread")?;
        let mut cores = Vec::new();
        for number in 0..CpuSet::count() {
            if all.is_set(number)? {
                let mut this = CpuSet::new();
                this.set(number)?;
                cores.push(Core { this, all });
            }
        }
        Ok(cores)
    }

    /// Moves this thread there. Neither it nor what it starts must stay there.
    ///
    /// # Errors
    /// The core is gone meanwhile.
    pub(super) fn begin(&self) -> Result<()> {
        keep_to(&self.this)?;
        keep_to(&self.all)
    }
}

/// Keeps this thread to these cores, which moves it if it is on another one.
fn keep_to(cores: &CpuSet) -> Result<()> {
    sched_setaffinity(Pid::from_raw(0), cores).context("moving to another core")
}

#[cfg(test)]
mod tests {
    use nix::sched::sched_getcpu;

    use super::*;

    fn numbers(cores: &CpuSet) -> Vec<usize> {
        (0..CpuSet::count()).filter(|number| cores.is_set(*number) == Ok(true)).collect()
    }

    #[test]
    fn each_core_has_its_turn_and_the_thread_is_not_kept_there() {
        let mine = || sched_getaffinity(Pid::from_raw(0)).expect("the cores of this thread");
        let before = mine();
        let cores = Core::all().expect("cores");
        let each: Vec<Vec<usize>> = cores.iter().map(|core| numbers(&core.this)).collect();
        assert_eq!(each, numbers(&before).into_iter().map(|number| vec![number]).collect::<Vec<_>>());
        for core in &cores {
            keep_to(&core.this).expect("moved");
            assert_eq!(vec![sched_getcpu().expect("a core")], numbers(&core.this));
            core.begin().expect("moved");
            assert_eq!(mine(), before);
        }
    }
}
