//! The call that holds the lock of an attachment, to explain why nothing happens. Nothing is locked, created or ended.

use std::fs::File;

use super::holder::Holder;
use crate::host::trust;
use crate::node::layout::Layout;
use crate::node::store::Key;

/// A call of the plugin that is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningCall {
    /// Its verb, `ADD` or `DEL`.
    pub verb: String,
    /// The plugin's process, if it lives, and the process groups of the delegates that it runs.
    pub pids: Vec<i32>,
}

/// The call that works on an attachment now, if there is one and its lock can be read.
#[must_use]
pub fn running_call(layout: &Layout, key: &Key) -> Option<RunningCall> {
    let path = layout.locks().join(key.file_name());
    let (file, _) = trust::open_regular(File::options().read(true), &path).ok()?;
    let holder = Holder::read(&file);
    let pids = holder.living_pids();
    (!pids.is_empty()).then(|| RunningCall { verb: holder.verb().to_owned(), pids })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_while_its_processes_live() {
        let dir = std::env::temp_dir().join(format!("crossfade-running-{}", std::process::id()));
        let layout = Layout { state_dir: dir.join("state"), run_dir: dir.join("run"), policy: None };
        let key = Key::new("c1", "eth0");
        assert_eq!(running_call(&layout, &key), None, "there is no lock");
        crate::host::file::create_private_dir(&layout.run_dir).expect("run");
        crate::host::file::create_private_dir(&layout.locks()).expect("locks");
        let own = crate::host::process::Process::current().expect("this process");
        let written = |start: u64| {
            let text =
                format!(r#"{{"holder":{{"pid":{},"start":{start}}},"verb":"ADD","groups":[]}}"#, own.pid);
            std::fs::write(layout.locks().join(key.file_name()), text).expect("lock");
            running_call(&layout, &key)
        };
        assert_eq!(written(own.start), Some(RunningCall { verb: "ADD".to_owned(), pids: vec![own.pid] }));
        // The pid is another process's by now.
        assert_eq!(written(own.start - 1), None);
        std::fs::remove_dir_all(dir).expect("clean up");
    }
}
