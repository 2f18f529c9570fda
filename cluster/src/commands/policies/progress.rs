//! Progress lines while policies are read and written.

use crate::live::PolicyEvent;
use crate::print::Progress;

/// Says what happens.
pub(super) fn show(progress: &Progress, event: &PolicyEvent<'_>) {
    match event {
        PolicyEvent::Listed(what, objects) => progress.passing(&format!("{what}: {objects}")),
        PolicyEvent::Again(what, why) => progress.event(&format!("{what}: again, since {why}")),
        PolicyEvent::Tried(id) => progress.passing(&format!("tried {id}")),
        PolicyEvent::Wrote(id) => progress.event(&format!("wrote {id}")),
    }
}
