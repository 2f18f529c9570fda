//! Sandboxes that the runtime runs and that its result cache does not know: decisions.
//!
//! The cache says which network a pod is on, and with which conf. If the cache was wiped, or is kept elsewhere (cri-dockerd), a pod from
//! before the installation would get no DEL and its address would leak. So a person has to say which network the pod is on.

use shim::host::boot::Moment;
use shim::node::inventory::Entry;
use shim::node::store::Key;
use types::command::problem::Problem;
use types::policy::Side;
use types::text::list::join_first;
use types::text::names::is_name;

use crate::runtime::Sandbox;

/// The interface that every CRI runtime gives a pod first.
const IFNAME: &str = "eth0";
/// How many sandboxes the refusal names.
const NAMED: usize = 5;

/// What the command line says about the sandboxes.
#[derive(Debug, Clone, Copy)]
pub struct UncachedChoice<'a> {
    /// The network of all sandboxes that are not ignored.
    pub network: Option<Side>,
    /// Ids of sandboxes that get no entry.
    pub ignored: &'a [String],
}

/// The entries of those that are said to be on a network.
///
/// # Errors
/// Their network is not known; with the next step.
pub fn take(sandboxes: &[Sandbox], choice: UncachedChoice<'_>, now: &Moment) -> Result<Vec<Entry>, Problem> {
    let unlisted = sandboxes.iter().filter(|sandbox| !choice.ignored.contains(&sandbox.id));
    // CNI allows no such container id, so no ADD can have attached the sandbox.
    let unlisted: Vec<&Sandbox> = unlisted.filter(|sandbox| is_name(&sandbox.id)).collect();
    match choice.network {
        _ if unlisted.is_empty() => Ok(Vec::new()),
        Some(side) => Ok(unlisted.into_iter().map(|sandbox| entry(sandbox, side, now)).collect()),
        None => Err(refusal(&unlisted)),
    }
}

fn entry(sandbox: &Sandbox, side: Side, now: &Moment) -> Entry {
    Entry {
        cni_args: Some(sandbox.cni_args()),
        listed_at: Some(now.clone()),
        ..Entry::new(Key::new(&sandbox.id, IFNAME), side.as_str())
    }
}

fn refusal(sandboxes: &[&Sandbox]) -> Problem {
    let describe = |sandbox: &&Sandbox| format!("{}/{} ({})", sandbox.namespace, sandbox.name, sandbox.id);
    let what = format!(
        "the runtime runs {} sandboxes on a pod network that its result cache does not know: {}. Without an entry their DEL would reach \
         no plugin",
        sandboxes.len(),
        join_first(sandboxes.iter().map(describe), NAMED)
    );
    Problem::new(what).with_place("--cache-dir").fix(
        "name the cache with --cache-dir where it is kept elsewhere (cri-dockerd: /var/lib/cni/cache), list them as attached to a network \
         with --uncached old or --uncached new, or leave one out with --ignore-sandbox ID",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cache::made_by_cri;

    fn sandbox(id: &str) -> Sandbox {
        Sandbox {
            id: id.into(),
            namespace: "ns".into(),
            name: format!("pod-{id}"),
            uid: "u".into(),
            ..Sandbox::default()
        }
    }

    fn now() -> Moment {
        Moment { boot_id: "b".into(), boottime_ms: 1, wall_secs: 1 }
    }

    #[test]
    fn no_sandbox_is_left_out_in_silence() {
        let all: Vec<Sandbox> = (0..7).map(|n| sandbox(&format!("c{n}"))).collect();
        let why = take(&all, UncachedChoice { network: None, ignored: &[] }, &now()).expect_err("silence");
        for words in
            ["runs 7 sandboxes", "ns/pod-c0 (c0)", "2 more", "--uncached", "--ignore-sandbox", "--cache-dir"]
        {
            assert!(why.to_string().contains(words), "{words}: {why}");
        }
        let ignored: Vec<String> = all.iter().map(|sandbox| sandbox.id.clone()).collect();
        assert!(
            take(&all, UncachedChoice { network: None, ignored: &ignored }, &now()).expect("said").is_empty()
        );
        let why = take(&all, UncachedChoice { network: None, ignored: &ignored[1..] }, &now())
            .expect_err("one is left");
        assert!(why.what.contains("runs 1 sandboxes") && why.what.contains("(c0)"), "{why}");
    }

    #[test]
    fn what_is_said_to_be_on_a_network_is_listed_with_what_a_del_needs() {
        let taken = take(&[sandbox("c1")], UncachedChoice { network: Some(Side::New), ignored: &[] }, &now())
            .expect("said");
        let [entry] = taken.as_slice() else { panic!("{taken:?}") };
        assert_eq!((entry.key(), entry.network.as_str()), (Key::new("c1", "eth0"), "new"));
        assert!(made_by_cri(entry.cni_args.as_deref(), "c1") && entry.listed_at.is_some());
        assert!(entry.cni_args.as_deref().is_some_and(|args| args.contains("K8S_POD_NAME=pod-c1")));
    }
}
