//! Files of a node: confs, policy, inventory, records.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Inputs, Text, list, object, one_of, value, version, with};

pub(super) fn conf() -> Text {
    let capability =
        (one_of(&["portMappings", "PortMappings", "mac", "bandwidth"]), one_of(&["true", "false", "3"]));
    let capabilities = vec(capability, 0..4).prop_map(|all| {
        let all: Vec<_> = all.into_iter().map(|(key, on)| format!("\"{key}\":{on}")).collect();
        format!("{{{}}}", all.join(","))
    });
    let plugin = with(vec![
        ("type", one_of(&["\"bridge\"", "\"calico\"", "\"../x\"", "\"\""])),
        ("capabilities", capabilities.boxed()),
        ("prevResult", value()),
        ("ipam", value()),
    ]);
    let single = with(vec![
        ("cniVersion", version()),
        ("name", one_of(&["\"n\"", "\"a b\""])),
        ("type", one_of(&["\"t\"", "\"a/b\""])),
    ]);
    let many = with(vec![
        ("cniVersion", version()),
        ("cniVersions", list(version(), 0..3)),
        ("name", one_of(&["\"n\"", "\"old.net-1\""])),
        ("disableCheck", one_of(&["true", "\"TRUE\"", "\"no\"", "false"])),
        ("plugins", list(plugin, 0..3)),
    ]);
    prop_oneof![1 => single, 4 => many].boxed()
}

pub(super) fn runtime_config() -> Text {
    let key = one_of(&[
        "portMappings",
        "PORTMAPPINGS",
        "ip\u{17f}",
        "ips",
        "mac",
        "Mac",
        "aliases",
        "deviceID",
        "bandwidth",
        "x",
    ]);
    object(key, value())
}

pub(super) fn confdir() -> Text {
    let name = prop_oneof![
        one_of(&[
            "01-crossfade.conflist",
            "00-multus.conf",
            "05-cilium.conflist",
            "10-calico.conflist",
            "10-calico.conflist.cilium_bak"
        ]),
        one_of(&[
            ".conf",
            ".conflist",
            ".json",
            ".x.conf",
            "conf",
            "x.",
            "x.conf.bak",
            "Z.json",
            "a.CONF",
            "net/",
            "x.conf/",
            ".tmp-1-2"
        ]),
        "[!-.0-z]{1,4}(\\.(conf|conflist|json|cilium_bak))?",
    ];
    let content = prop_oneof![
        conf(),
        Just(String::new()),
        Just("{".to_owned()),
        Just("{\"type\":\"multus\",\"clusterNetwork\":\"n\"}".to_owned())
    ];
    let lines = vec((name, content.prop_map(|text| text.replace(['\n', '\r'], " "))), 0..8);
    lines
        .prop_map(|lines| lines.iter().map(|(name, content)| format!("{name}\t{content}\n")).collect())
        .boxed()
}

pub(super) fn inventory() -> Text {
    let entry = with(vec![
        ("containerID", one_of(&["\"c1\"", "\"../c\"", "\"a/b\"", "\"\""])),
        ("ifname", one_of(&["\"eth0\"", "\"..\"", "\"a/b\""])),
        ("network", one_of(&["\"old\"", "\"new\"", "\"x\""])),
        ("conf", value()),
        ("taken", Just("{\"bootID\":\"b\",\"boottimeMs\":1,\"wallSecs\":2}".to_owned()).boxed()),
    ]);
    // Unknown keys are refused, so most have none.
    let plain = one_of(&[
        "{\"containerID\":\"c1\",\"ifname\":\"eth0\",\"network\":\"old\",\"conf\":{\"mtu\":1.50},\"cniArgs\":\"A=B\"}",
    ]);
    let entries = list(prop_oneof![1 => entry, 3 => plain].boxed(), 0..4);
    (one_of(&["1", "1", "1", "2"]), entries)
        .prop_map(|(version, entries)| format!("{{\"version\":{version},\"attachments\":{entries}}}"))
        .boxed()
}

pub(super) fn policy() -> Text {
    let side = || one_of(&["\"old\"", "\"new\""]);
    let attach = || one_of(&["\"old\"", "\"new\"", "\"both\""]);
    let network = || {
        let ready = one_of(&[
            "{\"unix\":\"/s\"}",
            "{\"file\":\"/f\"}",
            "{\"http\":\"127.0.0.1:9879/healthz\",\"headers\":{\"brief\":\"true\"}}",
        ]);
        some(
            vec![
                ("conf", one_of(&["[\"/o.conflist\"]", "[\"/a\",\"/b\"]"])),
                ("profile", one_of(&["\"calico\"", "\"generic\""])),
                (
                    "cidrs",
                    one_of(&[
                        "[\"10.0.0.0/8\"]",
                        "[\"fd00::/16\",\"10.0.0.0/8\"]",
                        "[\"10.0.0.0/255.0.0.0\"]",
                        "[]",
                    ]),
                ),
                ("ready", list(ready, 0..3)),
            ],
            1,
        )
    };
    let rule = some(
        vec![
            ("attach", attach()),
            ("namespace", one_of(&["\"kube-*\"", "\"*\"", "\"\"", "\"a**b\""])),
            ("pod", one_of(&["\"x\"", "\"*-*\"", "\"c*s-*\""])),
        ],
        1,
    );
    let both = some(
        vec![
            ("primary", side()),
            ("defaultRoute", side()),
            ("secondaryIfname", one_of(&["\"net1\"", "\"eth0\"", "\"x\""])),
            ("secondaryFailure", one_of(&["\"fail\"", "\"tolerate\""])),
        ],
        0,
    );
    let seconds = || one_of(&["1", "50", "3600", "3601", "0"]);
    some(
        vec![
            ("version", Just("1".to_owned()).boxed()),
            ("attach", attach()),
            (
                "networks",
                (network(), network(), 0..4_u8)
                    .prop_map(|(old, new, which)| match which {
                        0 => format!("{{\"old\":{old}}}"),
                        1 => format!("{{ \"new\" :{new} }}"),
                        _ => format!("{{\"old\":{old},\"new\":{new}}}"),
                    })
                    .boxed(),
            ),
            ("both", both),
            ("rules", list(rule, 0..3)),
            (
                "podAnnotation",
                one_of(&[
                    "{\"key\":\"k\",\"allow\":[\"both\"]}",
                    "{\"key\":\"k\",\"allow\":[]}",
                    "{\"key\":\"k\",\"allow\":[\"new\",\"old\"]}",
                ]),
            ),
            ("unrecorded", side()),
            ("retired", one_of(&["[]", "[{\"network\":\"old\",\"forceAfterSeconds\":120}]"])),
            ("gc", one_of(&["{}", "{\"graceSeconds\":0,\"forward\":false}"])),
            (
                "deadlines",
                some(
                    vec![("addSeconds", seconds()), ("delSeconds", seconds()), ("statusMillis", seconds())],
                    0,
                ),
            ),
        ],
        3,
    )
}

/// An object of known keys alone: the first `needed` always, the others as often as not.
fn some(pairs: Vec<(&'static str, Text)>, needed: usize) -> Text {
    let pairs: Vec<_> = pairs
        .into_iter()
        .enumerate()
        .map(|(at, (key, value))| {
            let value = value.prop_map(move |value| format!("\"{key}\": {value}"));
            if at < needed {
                value.prop_map(Some).boxed()
            } else {
                prop::option::weighted(0.4, value).boxed()
            }
        })
        .collect();
    pairs
        .prop_map(|pairs| format!("{{{}}}", pairs.into_iter().flatten().collect::<Vec<_>>().join(", ")))
        .boxed()
}

/// Records of every format there was, their lines mixed.
pub(super) fn record() -> Inputs {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records");
    let (mut firsts, mut others) = (Vec::new(), Vec::new());
    let mut dirs = vec![root];
    while let Some(dir) = dirs.pop() {
        for path in std::fs::read_dir(dir).expect("list").map(|entry| entry.expect("entry").path()) {
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let bytes = std::fs::read(path).expect("read");
            let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec);
            firsts.extend(lines.next());
            others.extend(lines);
        }
    }
    firsts.sort();
    others.sort();
    (select(firsts), vec(select(others), 0..8))
        .prop_map(|(first, others)| [first, others.concat()].concat())
        .boxed()
}
