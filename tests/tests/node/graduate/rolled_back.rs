//! The new network does not work without Crossfade: its conf comes back, and every pod's DEL still reaches its plugin.

use anyhow::{Result, bail, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::OURS;
use lab::standin::stub::{Gate, Reply, Stub};
use serde_json::json;

use crate::node::{Node, problems};

/// The chain of the new network answers every ADD of a scratch namespace with an error; those of pods pass.
pub(crate) fn where_the_first_add_fails_crossfade_s_conf_comes_back() -> Result<()> {
    let node = Node::new()?;
    let pod = node.run("pod")?;
    let spy = Stub::answering(Reply::fail(999, "no address left", ""));
    node.stubs.write("spy", &spy.on_pod("later", "ADD", vec![Reply::pass()]))?;
    let before = node.files()?;
    let output = node.graduate(&["--apply"], 3)?;
    ensure!(problems(&output).contains("a pod could not be attached without Crossfade"), "{output:#}");
    ensure!(problems(&output).contains("01-crossfade.conflist is back"), "{output:#}");
    let mut after = node.files()?;
    after.retain(|name, _| !name.contains("/set-aside/graduate"));
    ensure!(after == before, "{:?} {output:#}", after.keys().collect::<Vec<_>>());
    ensure!(!node.outside("/run/crossfade/leaving").exists(), "watch may not repair the conf any more");
    node.expect_loaded("crossfade")?;
    // As if nothing had been.
    let later = node.run("later")?;
    ensure!(node.attachments()? == (2, 0), "{:?}", node.attachments()?);
    node.end(&later)?;
    node.stubs.write("spy", &Stub::answering(Reply::pass()))?;
    node.graduate(&["--apply"], 0)?;
    node.expect_gone()?;
    node.expect_direct_del(&pod)?;
    ensure!(node.leases()? == (0, 0) && node.cached()?.is_empty(), "{:?}", node.cached()?);
    Ok(())
}

/// containerd sends no CHECK, and the attachment that shows whether the network works has one: a pod is attached, and then the conf comes back.
pub(crate) fn a_pod_that_came_before_the_conf_was_back_is_crossfade_s() -> Result<()> {
    let node = Node::new()?;
    let pod = node.run("pod")?;
    let gate = Gate::closed(&node.node().dir().join("gate"))?;
    let check = Reply::fail(999, "not as it was", "").behind(&gate);
    node.stubs.write("spy", &Stub::answering(Reply::pass()).on("CHECK", check))?;
    let (output, late) = std::thread::scope(|scope| -> Result<_> {
        let graduate = scope.spawn(|| node.graduate(&["--apply"], 3));
        let late = node
            .log
            .wait_for("spy CHECK eth0", 1)
            .and_then(|_| {
                until("the conf's removal", LIMIT, || Ok((!node.outside(OURS).exists()).then_some(())))
            })
            .and_then(|()| node.run("late"));
        gate.open()?;
        let Ok(output) = graduate.join() else { bail!("graduate panicked") };
        Ok((output?, late?))
    })?;
    ensure!(problems(&output).contains("lists the 1 pods that came meanwhile"), "{output:#}");
    node.expect_loaded("crossfade")?;
    ensure!(node.attachments()? == (1, 1), "{:?}", node.attachments()?);
    node.stubs.write("spy", &Stub::answering(Reply::pass()))?;
    // Its DEL comes to Crossfade, which knows whose it is.
    node.log.clear()?;
    node.end(&late)?;
    let del = node.log.calls()?.into_iter().find(|call| call.verb() == "DEL");
    ensure!(del.is_some_and(|call| call.var("CNI_CONTAINERID") == late), "{:?}", node.log.briefs()?);
    ensure!(node.leases()? == (0, 1) && node.attachments()? == (1, 0), "{:?}", node.leases()?);
    node.graduate(&["--apply"], 0)?;
    node.expect_direct_del(&pod)?;
    ensure!(
        node.leases()? == (0, 0) && node.cached()?.is_empty(),
        "{:?} {:?}",
        node.leases()?,
        json!(node.cached()?)
    );
    Ok(())
}
