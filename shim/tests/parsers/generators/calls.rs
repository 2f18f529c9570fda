//! Calls of a runtime, and answers of delegates.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Text, list, one_of, string, value, version, with};

pub(super) fn call() -> Text {
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

pub(super) fn error() -> Text {
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
    let text = vec(word, 0..6).prop_map(|words| words.concat());
    let object = (text.clone(), text.clone(), one_of(&["0", "7", "999", "-1", "1.0"])).prop_map(
        |(msg, details, code)| {
            format!("{{\"code\":{code},\"msg\":{},\"details\":{}}}", string(&msg), string(&details))
        },
    );
    prop_oneof![text, object].boxed()
}

pub(super) fn result() -> Text {
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
