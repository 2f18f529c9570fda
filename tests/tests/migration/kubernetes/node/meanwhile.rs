//! Changes while `sweep` looks for annotations of sandboxes that are gone: the runtime's sandboxes, the records, the Pods, the API server.

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use anyhow::{Result, ensure};
use lab::kubernetes::{MERGE, PORT};
use serde_json::{Value, json};

use crate::lists::Lists;
use crate::node::annotations::{ADDRESS, ADDRESSES, AnnotatedNode, ID, PODS, about, annotated, target};

lab::trials![
    a_sandbox_that_is_younger_than_the_list_keeps_its_annotations,
    an_inventory_entry_that_is_younger_than_the_list_keeps_its_annotations,
    a_record_that_is_damaged_meanwhile_keeps_them_all,
    a_runtime_that_lists_nothing_any_more_is_not_believed,
    a_pod_that_has_changed_meanwhile_is_left_alone,
    a_server_that_goes_away_meanwhile_is_a_note,
];

/// The sandbox is made after the pass has asked the runtime, and does not come through Crossfade.
fn a_sandbox_that_is_younger_than_the_list_keeps_its_annotations() -> Result<()> {
    let node = AnnotatedNode::new("younger")?;
    node.pod("younger-stale", "gone")?;
    node.pod("younger-new", "young")?;
    let lists = Lists::start(|turn| if turn == 0 { vec!["old"] } else { vec!["young"] })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes == [(target("younger-stale"), "done".into())], "{changes:?} {notes:?}");
    node.stands("younger-new", "young")?;
    node.mended("younger-stale")?;
    // What only the first list has may live as well.
    node.pod("younger-old", "old")?;
    let lists = Lists::start(|turn| if turn == 0 { vec!["old", "young"] } else { vec!["young"] })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes.is_empty(), "{changes:?} {notes:?}");
    node.stands("younger-old", "old")
}

fn an_inventory_entry_that_is_younger_than_the_list_keeps_its_annotations() -> Result<()> {
    let node = AnnotatedNode::new("entered")?;
    node.pod("entered-new", "entered")?;
    node.pod("entered-stale", "gone")?;
    let place = node.tree.path("var/lib/crossfade/inventory.json");
    let text = json!({ "version": 1, "attachments": [
        { "containerID": "entered", "ifname": "eth0", "network": "old" }] });
    node.inventory(&[])?;
    let lists = Lists::start(move |turn| {
        if turn == 1 {
            fs::write(&place, text.to_string()).expect("the inventory");
        }
        vec!["other"]
    })?;
    // The runtime is asked before the records.
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes == [(target("entered-stale"), "done".into())], "{changes:?} {notes:?}");
    node.stands("entered-new", "entered")
}

fn a_record_that_is_damaged_meanwhile_keeps_them_all() -> Result<()> {
    let node = AnnotatedNode::new("tearing")?;
    node.pod("tearing-stale", "gone")?;
    let place = node.tree.path("var/lib/crossfade/attachments/0/x@eth0");
    node.damaged()?;
    fs::remove_file(&place)?;
    let lists = Lists::start(move |turn| {
        if turn == 1 {
            fs::write(&place, "torn").expect("a record");
        }
        vec!["other"]
    })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes.is_empty() && about(&notes)[0].contains("a record is damaged"), "{changes:?} {notes:?}");
    node.stands("tearing-stale", "gone")
}

fn a_runtime_that_lists_nothing_any_more_is_not_believed() -> Result<()> {
    let node = AnnotatedNode::new("emptied")?;
    node.pod("emptied-stale", "gone")?;
    let lists = Lists::start(|turn| if turn == 0 { vec!["other"] } else { Vec::new() })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes.is_empty() && about(&notes)[0].contains("lists no sandbox"), "{changes:?} {notes:?}");
    node.stands("emptied-stale", "gone")?;
    // One that has none, and says so twice, is believed.
    let lists = Lists::start(|_| Vec::new())?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes == [(target("emptied-stale"), "done".into())], "{changes:?} {notes:?}");
    node.mended("emptied-stale")
}

/// A new ADD, a DEL of Calico's own, and a Pod that was made anew, each after the Pods were read.
fn a_pod_that_has_changed_meanwhile_is_left_alone() -> Result<()> {
    let node = AnnotatedNode::new("changing")?;
    for pod in ["added", "released", "again", "lost", "gone", "stale"] {
        node.pod(&format!("changing-{pod}"), "gone")?;
    }
    let admin = node.subject.server.admin()?;
    let kubelet = node.subject.server.kubelet(node.subject.node)?;
    let lists = Lists::start(move |turn| {
        if turn == 1 {
            // As Calico's plugin does with kubelet's rights, and as others may.
            let say = |pod: &str, key: &str, value: Value| {
                let body = json!({ "metadata": { "annotations": { key: value } } });
                let path = format!("{PODS}/changing-{pod}/status");
                kubelet.patch(&path, MERGE, &body).and_then(|answer| answer.object()).expect("a patch");
            };
            say("added", ID, json!("made"));
            say("released", ADDRESS, json!(""));
            say("lost", ADDRESSES, Value::Null);
            for pod in ["again", "gone"] {
                let path = format!("{PODS}/changing-{pod}");
                let uid =
                    admin.get(&path).and_then(|answer| answer.object()).expect("the Pod")["metadata"]["uid"]
                        .as_str()
                        .expect("a UID")
                        .to_owned();
                admin.delete_now(&path, &uid).and_then(|answer| answer.object()).expect("a deletion");
            }
            let again = annotated("changing", "changing-again", "gone");
            admin.create(PODS, &again).and_then(|answer| answer.object()).expect("the same name");
        }
        vec!["other"]
    })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    let outcome = |pod: &str| {
        let target = target(&format!("changing-{pod}"));
        changes.iter().find(|change| change.0 == target).map(|change| change.1.clone()).unwrap_or_default()
    };
    let outcomes = ["added", "released", "again", "lost", "gone", "stale"].map(outcome);
    ensure!(outcomes == ["busy", "busy", "busy", "busy", "busy", "done"], "{changes:?} {notes:?}");
    ensure!(about(&notes).is_empty(), "{notes:?}");
    node.stands("changing-added", "made")?;
    node.stands("changing-released", "gone")?;
    node.stands("changing-again", "gone")?;
    let lost = node.annotations("changing-lost")?;
    ensure!(lost[ID] == "gone" && lost[ADDRESS] == "10.1.0.7/32", "{lost}");
    node.mended("changing-stale")
}

/// The API server goes away after the Pods were read.
fn a_server_that_goes_away_meanwhile_is_a_note() -> Result<()> {
    let node = AnnotatedNode::new("deserted")?;
    node.pod("deserted-1", "gone")?;
    node.pod("deserted-2", "gone")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    node.server(&format!("https://{}", listener.local_addr()?))?;
    // The way to the API server, for one connection; its end is the end of both.
    let (opened, way) = channel();
    std::thread::spawn(move || -> Result<()> {
        let (near, _) = listener.accept()?;
        drop(listener);
        let far = TcpStream::connect(("127.0.0.1", PORT))?;
        for (mut from, mut to) in
            [(near.try_clone()?, far.try_clone()?), (far.try_clone()?, near.try_clone()?)]
        {
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
        opened.send([near, far])?;
        Ok(())
    });
    let way = Mutex::new(way);
    let lists = Lists::start(move |turn| {
        if turn == 1 {
            let ends = way.lock().expect("the way").recv().expect("a connection");
            ends.iter().for_each(|end| end.shutdown(Shutdown::Both).expect("its end"));
        }
        vec!["other"]
    })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    let busy = ["deserted-1", "deserted-2"].map(|pod| (target(pod), "busy".to_owned()));
    ensure!(changes == busy, "{changes:?}");
    let message = about(&notes);
    ensure!(message.len() == 1 && message[0].starts_with("2 of 2 stay: "), "{notes:?}");
    node.stands("deserted-1", "gone")?;
    node.stands("deserted-2", "gone")
}
