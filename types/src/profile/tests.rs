//! Consistency of the built-in profiles.

use std::collections::BTreeSet;

use super::*;

fn all() -> &'static [Profile] {
    Profiles::built_in().all()
}

fn find(name: &str) -> Option<&'static Profile> {
    Profiles::built_in().find(name)
}

#[test]
fn every_file_is_a_profile_and_every_fact_has_a_source() {
    let dir = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/profiles")).expect("profiles");
    let files: BTreeSet<_> =
        dir.map(|file| file.expect("file").file_name().to_string_lossy().into_owned()).collect();
    let named: BTreeSet<_> = all().iter().map(|profile| format!("{}.json", profile.name)).collect();
    assert_eq!(files, named);
    for profile in all() {
        let name = &profile.name;
        let mut facts =
            vec!["conf", "types", "probes", "evidence", "proof", "secondary", "join", "networkUnavailable"];
        facts.extend(profile.packets.as_ref().map(|_| "packets"));
        facts.extend(profile.startup_taint.as_ref().map(|_| "startupTaint"));
        facts.extend(profile.migration.as_ref().map(|_| "migration"));
        facts.extend(profile.exclusive.as_ref().map(|_| "exclusive"));
        facts.extend(profile.conf_setting.as_ref().map(|_| "confSetting"));
        facts.extend(profile.state.first().map(|_| "state"));
        facts.extend(profile.parts.first().map(|_| "parts"));
        facts.extend(profile.pod_annotations.as_ref().map(|_| "podAnnotations"));
        facts.extend(profile.leaves.iter().flat_map(Leaves::lists));
        let sources: BTreeSet<_> = profile.sources.keys().map(String::as_str).collect();
        assert_eq!(sources, facts.into_iter().collect(), "{name}");
        assert!(profile.sources.values().all(|source| !source.trim().is_empty()), "{name}");
        assert!(!profile.conf.is_empty(), "{name}");
        assert!(!profile.network_unavailable.left_true || profile.network_unavailable.written, "{name}");
    }
    assert!(find(GENERIC).is_none());
}

#[test]
fn the_evidence_of_a_profile_is_what_its_probes_can_give() {
    let is_volatile = |path: &PathBuf| ["/run", "/var/run"].iter().any(|dir| path.starts_with(dir));
    for profile in all() {
        let own = profile.probes.iter().any(|probe| match probe {
            Probe::Unix { .. } => true,
            Probe::File { file } => is_volatile(file),
            _ => false,
        });
        let output = match (own, profile.probes.is_empty()) {
            (true, _) => Evidence::Own,
            (false, false) => Evidence::Watch,
            (false, true) => Evidence::None,
        };
        assert_eq!(profile.evidence, output, "{}", profile.name);
    }
    let names_with = |evidence: Evidence| -> Vec<&str> {
        all()
            .iter()
            .filter(|profile| profile.evidence == evidence)
            .map(|profile| profile.name.as_str())
            .collect()
    };
    assert_eq!(names_with(Evidence::Own), ["antrea", "cilium", "flannel", "ovn-kubernetes"]);
    assert_eq!(names_with(Evidence::Watch), ["aws-vpc", "calico", "canal", "kube-router", "weave"]);
    assert_eq!(names_with(Evidence::None), ["azure", "kindnet", "multus"]);
}

/// An agent listens on ::1 alone where its node has IPv6 alone.
#[test]
fn every_probe_over_the_loopback_interface_is_asked_in_both_families() {
    for profile in all() {
        let places: Vec<String> = profile
            .probes
            .iter()
            .flat_map(|probe| match probe {
                Probe::Http { http: target, .. } | Probe::Https { https: target } => vec![target.clone()],
                Probe::Grpc { grpc } => {
                    grpc.iter().filter(|place| !place.starts_with('/')).cloned().collect()
                }
                Probe::Unix { .. } | Probe::File { .. } => Vec::new(),
            })
            .collect();
        let addresses: Vec<_> = places
            .iter()
            .flat_map(|place| crate::policy::split_target(place).expect("a valid target").0)
            .collect();
        let in_family = |v6: bool| addresses.iter().filter(move |address| address.is_ipv6() == v6).count();
        assert_eq!(in_family(false), in_family(true), "{}: {addresses:?}", profile.name);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{}", profile.name);
    }
}

#[test]
fn a_conf_and_a_plugin_belong_to_one_cni_only() {
    for names in [|profile: &'static Profile| &profile.conf, |profile: &'static Profile| &profile.types] {
        let mut seen = BTreeSet::new();
        for profile in all() {
            assert!(names(profile).iter().all(|name| seen.insert(name)), "{} claims another's", profile.name);
        }
    }
    for (types, name) in [
        (&["calico", "portmap"][..], Some("calico")),
        (&["flannel", "portmap"], Some("flannel")),
        (&["bridge", "portmap"], None),
        (&["ptp"], None),
        (&["multus-shim"], Some("multus")),
        (&[], None),
    ] {
        assert_eq!(
            Profiles::built_in().detect(types).map(|profile| profile.name.as_str()),
            name,
            "{types:?}"
        );
    }
    let by_conf = |file| Profiles::built_in().find_by_conf(file);
    assert_eq!(by_conf("10-canal.conflist").map(|profile| profile.name.as_str()), Some("canal"));
    assert!(by_conf("10-x.conflist").is_none());
}

#[test]
fn what_the_issue_needs_is_in_them() {
    for (name, proof) in [
        ("calico", Proof::Probe),
        ("ovn-kubernetes", Proof::Probe),
        ("aws-vpc", Proof::Probe),
        ("cilium", Proof::Packet),
        ("flannel", Proof::Packet),
        ("antrea", Proof::Packet),
    ] {
        assert_eq!(find(name).map(|profile| profile.proof), Some(proof), "{name}");
    }
    let limited: Vec<_> =
        all().iter().filter_map(|profile| Some((profile.name.as_str(), profile.packets.clone()?))).collect();
    assert_eq!(limited, [("cilium", vec![PacketPath::NodeToPod])]);
    assert!(all().iter().all(|profile| profile.packets.is_none() || profile.proof == Proof::Packet));
    let bearing = |secondary: Secondary| -> Vec<&str> {
        all()
            .iter()
            .filter(|profile| profile.secondary == secondary)
            .map(|profile| profile.name.as_str())
            .collect()
    };
    assert_eq!(bearing(Secondary::Works), ["cilium", "flannel"]);
    assert_eq!(bearing(Secondary::HostRoute), ["calico"]);
    let exclusive: Vec<_> = all()
        .iter()
        .filter(|profile| profile.exclusive.is_some())
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(exclusive, ["cilium"]);
    let startup = find("cilium").and_then(|profile| profile.startup_taint.clone()).expect("taint");
    assert_eq!(startup.to_string(), "node.cilium.io/agent-not-ready:NoExecute");
    let migrations: Vec<_> = all()
        .iter()
        .filter_map(|profile| Some((profile.name.as_str(), profile.migration.as_ref()?)))
        .collect();
    let [("cilium", migration)] = migrations.as_slice() else {
        panic!("{migrations:?}");
    };
    let (key, value) = &migration.label;
    assert_eq!(format!("{key}={value}"), "io.cilium.migration/cilium-default=true");
    let taint = migration.taint.as_ref().expect("taint");
    assert_eq!(taint.to_string(), "node.cilium.io/agent-not-ready:NoSchedule");
    let for_watch: Vec<_> = all()
        .iter()
        .filter(|profile| profile.probes.iter().any(Probe::is_for_watch))
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(for_watch, ["antrea", "aws-vpc"]);
}

#[test]
fn what_a_built_in_profile_leaves_is_its_own_cni_s_alone() {
    for profile in all() {
        let text = serde_json::to_vec(profile).expect("JSON");
        assert_eq!(&Profile::parse(&profile.name, &text).expect(&profile.name), profile);
        assert!(profile.parts.iter().all(|part| find(part).is_some()), "{}", profile.name);
    }
    let full: Vec<_> = all()
        .iter()
        .filter(|profile| profile.leaves.is_some())
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(full, ["antrea", "aws-vpc", "calico", "cilium", "flannel"]);
}

/// What two CNIs leave under one name would be removed for the wrong one.
#[test]
fn no_two_built_in_profiles_leave_the_same() {
    let names = |leaves: &Leaves| -> BTreeSet<String> {
        let links = leaves.links.iter().map(|link| format!("link {}", link.name));
        let chains = leaves.chains.iter().map(|chain| format!("chain {}", chain.name));
        let sets = leaves.ipsets.iter().map(|set| format!("set {set}"));
        let paths =
            leaves.directories.iter().chain(&leaves.files).map(|path| format!("path {}", path.display()));
        let programs = leaves.programs.iter().map(|program| format!("program {program}"));
        links.chain(chains).chain(sets).chain(paths).chain(programs).collect()
    };
    let all: Vec<_> =
        all().iter().filter_map(|profile| Some((&profile.name, names(profile.leaves.as_ref()?)))).collect();
    for (index, (profile, its)) in all.iter().enumerate() {
        for (other, others) in &all[index + 1..] {
            assert_eq!(
                its.intersection(others).collect::<Vec<_>>(),
                Vec::<&String>::new(),
                "{profile} {other}"
            );
        }
    }
}

/// Canal's are those of its part Calico.
#[test]
fn a_profile_names_the_annotations_of_pods_that_its_plugin_leaves() {
    let named: Vec<_> = all()
        .iter()
        .filter_map(|profile| Some((profile.name.as_str(), profile.pod_annotations.as_ref()?)))
        .collect();
    let [("calico", annotations)] = named.as_slice() else {
        panic!("{named:?}");
    };
    assert_eq!(
        annotations.keys().collect::<Vec<_>>(),
        ["cni.projectcalico.org/containerID", "cni.projectcalico.org/podIP", "cni.projectcalico.org/podIPs"]
    );
    let text = serde_json::to_string(find("calico").expect("calico")).expect("JSON");
    let why = Profile::parse(
        "calico",
        text.replace("cni.projectcalico.org/podIPs", "kubernetes.io/config.mirror").as_bytes(),
    );
    assert!(why.expect_err("kubelet's").contains("annotation of others"), "what is kubelet's");
}

#[test]
fn a_profile_of_another_name_and_a_key_that_is_none_are_refused() {
    let text = serde_json::to_string(find("flannel").expect("flannel")).expect("JSON");
    let why = Profile::parse("calico", text.as_bytes()).expect_err("another name");
    assert!(why.contains("calico") && why.contains("flannel"), "{why}");
    let why = Profile::parse(
        "flannel",
        text.replace("\"ipsets\"", "\"ipset\"").replace("\"agents\"", "\"agent\"").as_bytes(),
    );
    assert!(why.expect_err("a key").contains("agent"), "an unknown key is named");
    let why = Profile::parse("flannel", text.replace("FLANNEL-FWD", "KUBE-FORWARD").as_bytes());
    assert!(why.expect_err("kube-proxy's").contains("chains of others"), "what is kube-proxy's");
}
