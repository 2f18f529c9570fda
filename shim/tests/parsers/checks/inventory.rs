//! The inventory, and the ledger's lines: what is read can be written and read again, and a line stays one line.

use shim::node::inventory::Inventory;
use shim::node::ledger::Line;
use shim::node::store::Key;
use types::json::raw::to_raw;

/// Checks any bytes as an inventory and as a ledger line.
pub fn check(data: &[u8]) {
    if let Ok(inventory) = Inventory::parse(data) {
        assert_eq!(inventory.version, 1);
        let written = to_raw(&inventory);
        let again = Inventory::parse(written.get().as_bytes()).expect("what we write");
        assert_eq!(to_raw(&again).get(), written.get());
        for entry in &inventory.attachments {
            let listed = inventory.find(&entry.key()).expect("its own entry");
            assert_eq!((&listed.container_id, &listed.ifname), (&entry.container_id, &entry.ifname));
            for raw in [&entry.conf, &entry.prev_result, &entry.runtime_config].into_iter().flatten() {
                assert!(std::str::from_utf8(data).expect("text").contains(raw.get()), "not as it was: {raw}");
            }
            let other = Key::new(format!("{}x", entry.container_id), &entry.ifname);
            assert_ne!(other.file_name(), entry.key().file_name());
        }
    }
    ledger(data);
}

fn ledger(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let line = Line {
        version: 1,
        wall_secs: data.len() as u64,
        container_id: text.clone(),
        ifname: "eth0".into(),
        network: text.clone(),
        addresses: vec!["10.1.0.5/32".parse().expect("an address")],
        reason: text.clone(),
        removed: vec![text.clone()],
        leftovers: vec![],
        unknown: Vec::new(),
    };
    let written = to_raw(&line);
    assert!(!written.get().contains(['\n', '\r']), "one line: {written}");
    let again: Line = serde_json::from_str(written.get()).expect("what we write");
    assert_eq!((&again.reason, &again.removed[0], again.wall_secs), (&text, &text, line.wall_secs));
}
