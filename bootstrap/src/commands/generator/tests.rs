//! Units that are continued, and units that are not.

use super::*;
use crate::systemd::continuation::check;
use convergence::node::paths::DISABLED;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().expect("scratch"));
        files.iter().for_each(|(path, text)| tree.write(path, text));
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("below")).expect("directory");
        fs::write(path, text).expect("file");
    }

    fn root(&self) -> Root {
        Root::new(self.0.path())
    }

    fn generate(&self) -> Vec<String> {
        let GeneratorPlan { files, troubles, .. } = plan(&self.root());
        let dir = self.0.path().join("run/systemd/generator");
        files.iter().for_each(|file| file.write(&dir).expect("written"));
        troubles
    }
}

const UNIT: &str = "usr/lib/systemd/system/kubelet.service";
const OURS: &str = "run/systemd/generator/kubelet.service.d/zz-crossfade.conf";

fn kubelet(line: &str) -> Tree {
    Tree::new(&[(UNIT, &format!("[Service]\n{line}\n"))])
}

#[test]
fn the_command_is_repeated_verbatim_with_our_variable_behind_it() {
    for line in [
        "/usr/bin/kubelet",
        "/usr/bin/kubelet $A ${B} '--c=%n d' \\x41 $$",
        "-@/opt/kubelet-1.30 kubelet --a",
        "/hyperkube kubelet",
    ] {
        let tree = kubelet(&format!("ExecStart={line}"));
        assert_eq!(tree.generate(), [""; 0], "{line}");
        let text = fs::read_to_string(tree.0.path().join(OURS)).expect(line);
        assert!(
            text.ends_with(&format!("[Service]\nExecStart=\nExecStart={line} $CROSSFADE_KUBELET_ARGS\n")),
            "{text}"
        );
        assert_eq!(check(&tree.root(), &Node::default(), "kubelet.service"), Ok(()));
        // With Crossfade's own drop-in in place, the generator does not extend the command a second time.
        assert_eq!(tree.generate(), [""; 0]);
        assert_eq!(fs::read_to_string(tree.0.path().join(OURS)).expect(line), text);
    }
}

#[test]
fn a_command_that_cannot_be_continued_stays_and_is_named() {
    for (line, words) in [
        ("ExecStart=:/usr/bin/kubelet $A", "prefix `:`"),
        ("ExecStart=/usr/bin/kubelet ; /usr/bin/true", "found 2"),
        ("ExecStart=", "found 0"),
        ("ExecStart=/usr/bin/kubelet 'a", "not closed"),
        ("ExecStart=/usr/bin/kubelet -- a", "`--`"),
        ("ExecStart=/bin/sh -c 'exec kubelet $A'", "/bin/sh is not known as kubelet"),
        ("ExecStart=/usr/local/bin/kubelet-wrapper", "is a script"),
        ("ExecStart=/usr/bin/kubelet ${CROSSFADE_KUBELET_ARGS}", "one word"),
    ] {
        let tree = kubelet(line);
        tree.write("usr/local/bin/kubelet-wrapper", "#!/bin/sh\n");
        let troubles = tree.generate();
        assert!(troubles.len() == 1 && troubles[0].contains(words), "{line}: {troubles:?}");
        assert!(troubles[0].contains("kubelet.service"), "{troubles:?}");
        assert!(!tree.0.path().join("run").exists(), "{line}");
        assert!(
            check(&tree.root(), &Node::default(), "kubelet.service")
                .is_err_and(|why| why.what.contains(words)),
            "{line}"
        );
    }
    let tree = kubelet("ExecStart=/usr/bin/kubelet");
    tree.write(
        "etc/systemd/system/kubelet.service.d/zzz.conf",
        "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --late\n",
    );
    assert!(tree.generate()[0].contains("zzz.conf is read after"));
}

#[test]
fn who_writes_our_variable_is_left_alone() {
    let tree = kubelet("ExecStart=/bin/wrapper $CROSSFADE_KUBELET_ARGS --last");
    assert_eq!(tree.generate(), [""; 0]);
    assert!(!tree.0.path().join("run").exists());
    assert_eq!(check(&tree.root(), &Node::default(), "kubelet.service"), Ok(()));
}

#[test]
fn switched_off_or_without_units_nothing_is_written() {
    let tree = kubelet("ExecStart=/usr/bin/kubelet");
    tree.write(DISABLED, "");
    assert_eq!(plan(&tree.root()), GeneratorPlan::default());
    assert_eq!(plan(&Tree::new(&[]).root()), GeneratorPlan::default());
}

#[test]
fn the_runtime_s_command_too_and_units_of_other_names() {
    let tree = Tree::new(&[
        ("usr/lib/systemd/system/containerd.service", "[Service]\nExecStart=/usr/bin/containerd\n"),
        ("usr/lib/systemd/system/crio.service", "[Service]\nExecStart=/usr/bin/crio $CRIO_CONFIG_OPTIONS\n"),
        (UNIT, "[Service]\nExecStart=/usr/bin/kubelet\n"),
        ("usr/lib/systemd/system/own.service", "[Service]\nExecStart=/usr/bin/kubelet\n"),
        ("usr/lib/systemd/system/kubelet.service.d/50-crossfade.conf", "[Service]\n"),
    ]);
    let paths = |tree: &Tree| {
        plan(&tree.root()).files.into_iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        paths(&tree),
        [
            "kubelet.service.d/zz-crossfade.conf",
            "containerd.service.d/zz-crossfade.conf",
            "crio.service.d/zz-crossfade.conf"
        ]
    );
    tree.write(
        "etc/crossfade/node.json",
        r#"{"version":1,"kubelet":{"unit":"own.service"},"runtime":{"name":"cri-o"}}"#,
    );
    assert_eq!(
        paths(&tree),
        [
            "own.service.d/zz-crossfade.conf",
            "own.service.d/50-crossfade.conf",
            "crio.service.d/zz-crossfade.conf"
        ]
    );
    let text = plan(&tree.root()).files.remove(2).what;
    assert!(
        matches!(text, OutputContent::Text(text) if text.ends_with("/usr/bin/crio $CRIO_CONFIG_OPTIONS $CROSSFADE_RUNTIME_ARGS\n"))
    );
    tree.write("etc/crossfade/node.json", "broken");
    assert_eq!(paths(&tree).len(), 3, "the usual units");
}

#[test]
fn the_check_tells_a_missing_drop_in_from_a_stale_one() {
    let tree = kubelet("ExecStart=/usr/bin/kubelet");
    let output =
        || String::from(check(&tree.root(), &Node::default(), "kubelet.service").expect_err("not there"));
    assert!(output().contains("package"), "{}", output());
    tree.write("usr/lib/systemd/system-generators/crossfade-generator", "");
    assert!(output().contains("expected a link"), "{}", output());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tree.0.path().join("usr/lib/systemd/system-generators/crossfade-generator"), mode)
        .expect("mode");
    assert!(output().contains("daemon-reload"), "{}", output());
    tree.generate();
    assert_eq!(check(&tree.root(), &Node::default(), "kubelet.service"), Ok(()));
    tree.write("etc/systemd/system/kubelet.service.d/a.conf", "[Service]\nEnvironment=A=b\n");
    assert_eq!(
        check(&tree.root(), &Node::default(), "kubelet.service"),
        Ok(()),
        "the command is what it was"
    );
    tree.write(UNIT, "[Service]\nExecStart=/usr/bin/kubelet --new\n");
    assert!(output().contains("another command"), "{}", output());
    tree.generate();
    assert_eq!(check(&tree.root(), &Node::default(), "kubelet.service"), Ok(()));
    assert!(check(&tree.root(), &Node::default(), "other.service").is_err());
}
