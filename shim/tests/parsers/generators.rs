//! Inputs: valid more often than not, with the oddities that matter, and ways to break them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Bytes that some check takes.
pub(crate) type Inputs = BoxedStrategy<Vec<u8>>;

/// Structured inputs of the check of that name.
pub(crate) fn of(name: &str) -> Inputs {
    let text = match name {
        "call" => call(),
        "conf" => prop_oneof![conf(), runtime_config()].boxed(),
        "confdir" => confdir(),
        "error" => error(),
        "inventory" => inventory(),
        "json" => object(keys(), value()).boxed(),
        "policy" => policy(),
        "record" => return record(),
        "result" => result(),
        // Throws of the dice are structured by themselves.
        "history" => return vec(any::<u8>(), 0..200).boxed(),
        other => panic!("no inputs for {other}"),
    };
    text.prop_map(String::into_bytes).boxed()
}

/// An input with bytes changed, removed, doubled or put in, cut off, or joined to itself.
pub(crate) fn broken(inputs: impl Strategy<Value = Vec<u8>> + 'static) -> Inputs {
    let at = any::<prop::sample::Index>;
    let edits = vec((at(), at(), 0..7_u8, select(b"\"\\{}[]:,=; \n\t\0/.~@-+0aAsS\xff\xc5".to_vec())), 1..4);
    (inputs, edits)
        .prop_map(|(mut bytes, edits)| {
            for (one, other, what, byte) in edits {
                if bytes.is_empty() {
                    bytes.push(byte);
                }
                let (one, other) = (one.index(bytes.len()), other.index(bytes.len()));
                let (from, to) = (one.min(other), one.max(other));
                match what {
                    0 => bytes[one] = byte,
                    1 => bytes.insert(one, byte),
                    2 => drop(bytes.remove(one)),
                    3 => bytes.truncate(one),
                    4 => drop(bytes.drain(from..to)),
                    5 => bytes[one] ^= 1 << (byte & 7),
                    _ => {
                        let part = bytes[from..to.min(from + 200)].to_vec();
                        bytes.splice(one..one, part);
                    }
                }
            }
            bytes
        })
        .boxed()
}

type Text = BoxedStrategy<String>;

fn one_of(texts: &[&str]) -> Text {
    select(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).boxed()
}

/// Keys that mean something, in spellings that Go takes for the same and in some that it does not.
fn keys() -> Text {
    let known = one_of(&[
        "name",
        "cniVersion",
        "type",
        "plugins",
        "prevResult",
        "runtimeConfig",
        "ips",
        "attach",
        "capabilities",
        "a",
        "dns",
        "stateDir",
        "both",
        "networks",
        "version",
        "interfaces",
    ]);
    let spelled = (known, any::<u32>()).prop_map(|(key, how)| {
        let spelled = key.char_indices().map(|(at, c)| match (c, how >> (at % 32) & 1) {
            ('s', 1) if how & 1 == 1 => '\u{17f}',
            ('k', 1) => '\u{212a}',
            (c, 1) => c.to_ascii_uppercase(),
            (c, _) => c,
        });
        spelled.collect::<String>()
    });
    prop_oneof![3 => one_of(&["name", "type", "cniVersion", "prevResult"]), 4 => spelled, 1 => ".{0,6}"]
        .boxed()
}

fn string(text: &str) -> String {
    serde_json::to_string(text).expect("text")
}

/// Any JSON value, with numbers that lose their spelling where somebody reads them as numbers.
fn value() -> Text {
    let leaf = prop_oneof![
        one_of(&[
            "null",
            "true",
            "false",
            "1.50",
            "1e3",
            "-0",
            "12345678901234567890123",
            "0.1",
            "\"1.0.0\"",
            "\"bridge\"",
            "[]",
            "{}"
        ]),
        ".{0,8}".prop_map(|text| string(&text)),
        one_of(&["\"\\u0061\"", "\"a\\u0000b\"", "\"\\ud83d\\ude00\"", "\"/x\""]),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|all| format!("[ {} ]", all.join(" ,"))),
            object(keys(), inner),
        ]
    })
    .boxed()
}

fn object(keys: Text, values: Text) -> Text {
    let blanks = one_of(&["", " ", "\n  ", "\t", "\r\n"]);
    vec((keys, values, blanks), 0..6)
        .prop_map(|pairs| {
            let pairs: Vec<_> = pairs
                .into_iter()
                .map(|(key, value, blank)| format!("{blank}{}{blank}:{blank}{value}{blank}", string(&key)))
                .collect();
            format!("{{{}}}", pairs.join(","))
        })
        .boxed()
}

/// An object that has these pairs, each nearly always, with strange ones among them.
fn with(pairs: Vec<(&'static str, Text)>) -> Text {
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(key, value)| {
            prop::option::weighted(0.9, value).prop_map(move |value| Some(format!("\"{key}\":{}", value?)))
        })
        .collect();
    let strange = vec((keys(), value()), 0..2);
    (pairs, strange, any::<bool>())
        .prop_map(|(pairs, strange, first)| {
            let mut all: Vec<String> = pairs.into_iter().flatten().collect();
            let strange = strange.into_iter().map(|(key, value)| format!("{}:{value}", string(&key)));
            let at = if first { 0 } else { all.len() };
            all.splice(at..at, strange);
            format!("{{{}}}", all.join(","))
        })
        .boxed()
}

fn list(of: Text, count: std::ops::Range<usize>) -> Text {
    vec(of, count).prop_map(|all| format!("[{}]", all.join(","))).boxed()
}

fn version() -> Text {
    one_of(&[
        "\"0.3.0\"",
        "\"0.3.1\"",
        "\"0.4.0\"",
        "\"1.0.0\"",
        "\"1.1.0\"",
        "\"0.2.0\"",
        "\"\"",
        "\"not found\"",
    ])
}

fn call() -> Text {
    let variable = prop_oneof![
        one_of(&[
            "CNI_COMMAND=ADD",
            "CNI_COMMAND=DEL",
            "CNI_COMMAND=CHECK",
            "CNI_COMMAND=STATUS",
            "CNI_COMMAND=GC",
            "CNI_COMMAND="
        ]),
        one_of(&[
            "CNI_CONTAINERID=c1",
            "CNI_CONTAINERID=..",
            "CNI_CONTAINERID=a/b",
            "CNI_CONTAINERID=not found",
            "CNI_CONTAINERID=~x"
        ]),
        (190..4200_usize).prop_map(|length| format!("CNI_CONTAINERID={}", "a".repeat(length))),
        one_of(&[
            "CNI_IFNAME=eth0",
            "CNI_IFNAME=..",
            "CNI_IFNAME=a/b",
            "CNI_IFNAME=1234567890123456",
            "CNI_IFNAME=a@b",
            "CNI_NETNS=/n"
        ]),
        one_of(&["CNI_PATH=/opt/cni/bin", "CNI_NETNS=/run/netns/n1"]),
        vec(
            one_of(&[
                "IgnoreUnknown=1",
                "K8S_POD_NAME=p",
                "K8S_POD_NAME=q",
                "K8S_POD_NAMESPACE=n",
                "K8S_POD_NAME",
                "=",
                "",
                "a=b=c"
            ]),
            0..6
        )
        .prop_map(|pairs| format!("CNI_ARGS={}", pairs.join(";"))),
    ];
    let usual =
        Just("CNI_COMMAND=DEL\nCNI_CONTAINERID=c1\nCNI_IFNAME=eth0\nCNI_NETNS=/n\nCNI_PATH=/p".to_owned());
    let conf = with(vec![
        ("cniVersion", version()),
        ("name", one_of(&["\"n\"", "\"k8s-pod-network\"", "\"a/b\"", "\"not found\"", "3"])),
        ("type", one_of(&["\"crossfade\"", "\"x\"", "null"])),
        ("stateDir", one_of(&["\"/s\"", "\"rel\"", "null", "\"/../x\""])),
        ("policy", one_of(&["\"/p\"", "7"])),
        ("runtimeConfig", one_of(&["{}", "[]", "{\"portMappings\":[]}", "\"no such file or directory\""])),
    ]);
    (usual, vec(variable, 0..6), any::<bool>(), conf)
        .prop_map(|(usual, variables, usual_last, conf)| {
            let own = variables.join("\n");
            if usual_last { format!("{own}\n{usual}\n\n{conf}") } else { format!("{own}\n\n{conf}") }
        })
        .boxed()
}

fn conf() -> Text {
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
    let one = with(vec![
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
    prop_oneof![1 => one, 4 => many].boxed()
}

fn runtime_config() -> Text {
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

fn confdir() -> Text {
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

fn error() -> Text {
    let word = one_of(&[
        "not found",
        "Not Found",
        "NOT FOUND",
        "not",
        "found",
        " ",
        "  ",
        "\u{a0}",
        "no such file or directory",
        "no such",
        "\\u0020",
        "\n",
        "x",
        "; ",
    ]);
    let said = vec(word, 0..6).prop_map(|words| words.concat());
    let object = (said.clone(), said.clone(), one_of(&["0", "7", "999", "-1", "1.0"])).prop_map(
        |(msg, details, code)| {
            format!("{{\"code\":{code},\"msg\":{},\"details\":{}}}", string(&msg), string(&details))
        },
    );
    prop_oneof![said, object].boxed()
}

fn inventory() -> Text {
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

fn policy() -> Text {
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
fn record() -> Inputs {
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

fn result() -> Text {
    let address = one_of(&[
        "\"10.0.0.5/24\"",
        "\"10.1.0.5/32\"",
        "\"fd00::5/64\"",
        "\"::ffff:10.0.0.5/120\"",
        "\"10.0.0.5\"",
        "\"10.0.0.5/255.255.255.0\"",
        "\"10.0.0.5/+8\"",
        "\"010.0.0.5/8\"",
        "\"banana/8\"",
        "3",
    ]);
    let ip = with(vec![
        ("version", one_of(&["\"4\"", "\"6\"", "7"])),
        ("address", prop_oneof![3 => one_of(&["\"10.0.0.5/24\"", "\"fd00::5/64\""]), 1 => address].boxed()),
        ("interface", one_of(&["0", "1", "99", "-1"])),
        ("gateway", one_of(&["\"10.0.0.1\"", "\"not found\""])),
    ]);
    let interface = with(vec![
        ("name", one_of(&["\"eth0\"", "\"veth1\""])),
        ("mac", one_of(&["\"02:00:00:00:00:01\"", "null"])),
        ("sandbox", one_of(&["\"/n\"", "\"\""])),
        ("mtu", one_of(&["1450", "1.50"])),
        ("socketPath", one_of(&["\"/s\""])),
        ("pciID", one_of(&["\"x\""])),
    ]);
    let object = with(vec![
        ("cniVersion", version()),
        ("interfaces", list(interface, 0..3)),
        ("ips", list(ip, 0..3)),
        ("routes", value()),
        ("dns", one_of(&["{}", "{\"nameservers\":[\"1.1.1.1\"]}", "null"])),
    ]);
    let error =
        one_of(&["{\"code\":7,\"msg\":\"x not found\"}", "null", "", "{}", "[]", "{\"code\":0,\"ips\":[]}"]);
    (one_of(&["0", "1", "2", "3", "4"]), prop_oneof![8 => object, 1 => error])
        .prop_map(|(which, object)| which + &object)
        .boxed()
}
