//! `finish` against an API server that has no object.

use crate::flags::output_and_requests;
use crate::run::stderr;

/// Taking the Lease would be a write.
#[test]
fn a_migration_that_is_not_known_is_refused_before_anything_is_written() {
    for act in [&["--confirm", "0123456789ab"][..], &["--undo"]] {
        let (output, heads) = output_and_requests("finish", act);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{act:?}: {text}");
        assert!(
            text.contains("no run that says between which CNIs") && text.contains("--from CNI"),
            "{text}"
        );
        let is_run = |head: &String| head.starts_with("get ") && head.contains("/configmaps/crossfade-run ");
        assert!(heads.iter().any(is_run), "{act:?}: {heads:?}");
        assert!(heads.iter().all(|head| head.starts_with("get ")), "{act:?}: {heads:?}");
    }
}
