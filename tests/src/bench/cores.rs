//! On which core a call begins.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The core on which the calls of a turn begin, by turns each of those that this process may use.
///
/// A disk with one queue interrupts one core, and whoever waits for it on another one is woken by that one. In a virtual machine this makes a durable
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
        for cores in [&self.this, &self.all] {
            sched_setaffinity(Pid::from_raw(0), cores).context("moving to another core")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_was_moved_may_use_all_cores_again() {
        let before = sched_getaffinity(Pid::from_raw(0)).expect("the cores of this thread");
        let cores = Core::all().expect("cores");
        for core in &cores {
            core.begin().expect("moved");
            assert_eq!(sched_getaffinity(Pid::from_raw(0)).expect("its cores"), before);
        }
        let each: usize = cores
            .iter()
            .map(|core| (0..CpuSet::count()).filter(|n| core.this.is_set(*n) == Ok(true)).count())
            .sum();
        assert_eq!(each, (0..CpuSet::count()).filter(|n| before.is_set(*n) == Ok(true)).count());
    }
}
