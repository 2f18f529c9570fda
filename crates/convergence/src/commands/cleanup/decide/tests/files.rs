//! Mounts, pins, confs, leases, directories and programs.

use crate::commands::cleanup::decide::tests::*;
use crate::commands::cleanup::facts::{DirectoryFact, LeaseFact, PinFact};

#[test]
fn mounts_go_before_their_directories_and_programs_go_last() {
    let mut facts = node("cilium");
    let mount = PathBuf::from("/run/cilium/cgroupv2");
    facts.files.mounts = vec![mount.clone()];
    facts.files.directories = vec![DirectoryFact { path: "/run/cilium".into(), mounts: vec![mount] }];
    facts.files.pins = vec![PinFact { path: "/sys/fs/bpf/cilium".into(), is_dir: true }];
    facts.files.files = vec!["/etc/sysctl.d/99-zzz-override_cilium.conf".into()];
    facts.files.programs = vec!["/opt/cni/bin/cilium-cni".into()];
    facts.files.shown = vec!["/sys/fs/bpf/cilium".into()];
    assert_eq!(
        outcomes(&facts),
        [
            "umount mount /run/cilium/cgroupv2",
            "remove /sys/fs/bpf/cilium",
            "move /etc/sysctl.d/99-zzz-override_cilium.conf",
            "remove /run/cilium",
            "remove /opt/cni/bin/cilium-cni",
        ]
    );
    assert_eq!(decide(&facts).reboot.len(), 1);
    facts.files.directories[0].mounts.push("/run/cilium/mounted".into());
    assert!(!outcomes(&facts).contains(&"remove /run/cilium".to_owned()));
    assert!(
        list_retained(&facts)[0].contains("/run/cilium/mounted is mounted"),
        "{:?}",
        list_retained(&facts)
    );
}

#[test]
fn a_conf_is_moved_whole_and_an_undo_says_how_it_comes_back() {
    let mut facts = node("calico");
    let mut own = conf("/etc/cni/net.d/10-calico.conflist", "k8s-pod-network", &["calico", "portmap"], &[]);
    own.is_own = true;
    facts.confs = vec![own, conf("/etc/cni/net.d/05-cilium.conflist", "cilium", &["cilium-cni"], &[])];
    let decision = decide(&facts);
    let [removal] = decision.removals.as_slice() else { panic!("{decision:?}") };
    assert_eq!(removal.change.act.word(), "move");
    assert_eq!(
        removal.undo,
        "mv /var/lib/crossfade/cleanup/it/etc/cni/net.d/10-calico.conflist /etc/cni/net.d/10-calico.conflist"
    );
}

#[test]
fn leases_go_unless_another_network_has_their_name() {
    let mut facts = node("flannel");
    facts.files.leases = vec![LeaseFact {
        path: "/var/lib/cni/networks/cbr0".into(),
        network: "cbr0".into(),
        count: 2,
        container_ids: vec!["a".into(), "b".into()],
        live: Vec::new(),
    }];
    assert_eq!(outcomes(&facts), ["remove /var/lib/cni/networks/cbr0"]);
    facts.confs = vec![conf("/etc/cni/net.d/20-mine.conflist", "cbr0", &["ptp"], &[])];
    assert_eq!((outcomes(&facts).len(), list_retained(&facts).len()), (0, 1));
}

#[test]
fn a_program_stays_while_a_conf_or_a_record_names_it() {
    let mut facts = node("flannel");
    facts.files.programs = vec!["/opt/cni/bin/flannel".into()];
    assert_eq!(outcomes(&facts), ["remove /opt/cni/bin/flannel"]);
    facts.claims.programs = vec!["flannel".into()];
    assert!(list_retained(&facts)[0].contains("a record names it"));
    facts.claims.programs.clear();
    facts.confs = vec![conf("/etc/cni/net.d/05-cilium.conflist", "cilium", &["flannel", "cilium-cni"], &[])];
    assert!(
        list_retained(&facts)[0].contains("05-cilium.conflist names it"),
        "Cilium may chain onto Flannel's plugin"
    );
    assert_eq!(outcomes(&facts), Vec::<String>::new());
}

#[test]
fn what_another_cni_in_use_keeps_its_state_in_stays() {
    let mut facts = node("calico");
    facts.files.directories = vec![DirectoryFact { path: "/var/lib/calico".into(), mounts: Vec::new() }];
    let mut other = beside("cilium");
    other.leaves[0].directories = vec!["/var/lib/calico".into()];
    facts.in_use = vec![other];
    assert_eq!((outcomes(&facts).len(), list_retained(&facts).len()), (0, 1));
}
