//! `graduate` on a node of CRI-O.

use std::fs;

use anyhow::{Result, bail, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::CONF_DIR;
use serde_json::{Value, json};

use crate::{CONFIG, Lab, PLUGINS};

/// A node whose pods are on the new network through us, and CRI-O is configured for the new network's name at its next start.
fn moved() -> Result<(Lab, [String; 2])> {
    let mut lab = Lab::new()?;
    // The plugins of a real network need the result of its ADD for a CHECK, and this one says so.
    let conf = |disabled: bool| json!({"cniVersion": "1.0.0", "name": "newnet", "disableCheck": disabled, "plugins": [{"type": "stub-new"}]});
    lab.node().write(format!("{CONF_DIR}/20-new.conflist"), conf(false).to_string())?;
    lab.start(true)?;
    lab.run_expecting(&["install"], 0)?;
    lab.run_expecting(&["policy", "set", "new", "--runtime"], 0)?;
    let pods = [lab.run("one")?, lab.run("two")?];
    ensure!(lab.records()? == 2, "{}", lab.records()?);
    let refused = lab.graduate(&["--apply"], 3)?;
    ensure!(
        refused.contains("cni_default_network = \\\"newnet\\\"") && refused.contains("do not restart"),
        "{refused}"
    );
    lab.configure("newnet")?;
    let refused = lab.graduate(&[], 3)?;
    ensure!(refused.contains("CHECK without a result") && refused.contains("disableCheck"), "{refused}");
    lab.node().write(format!("{CONF_DIR}/20-new.conflist"), conf(true).to_string())?;
    Ok((lab, pods))
}

impl Lab {
    /// What `graduate` answers, which ends so.
    fn graduate(&self, arguments: &[&str], status: i32) -> Result<String> {
        let endpoint = format!("unix://{}", self.socket.display());
        let line = [&["graduate", "--output=json", "--runtime-endpoint", &endpoint], arguments].concat();
        self.run_expecting(&line, status)
    }

    /// Writes CRI-O's configuration; a CRI-O that runs goes by what it was started with.
    fn configure(&self, name: &str) -> Result<()> {
        let config = format!(
            "[crio.api]\nlisten = '{}'\n[crio.network]\nnetwork_dir = '{CONF_DIR}/'\nplugin_dirs = ['{PLUGINS}']\ncni_default_network = '{name}'\n",
            self.socket.display()
        );
        self.node().write(CONFIG, config)
    }

    fn is_there(&self, path: &str) -> bool {
        self.node().outside(path).exists()
    }
}

/// CRI-O replays our conf: the plugin and the records stay until the last recorded sandbox is gone, and each DEL reaches its plugin through us.
pub(crate) fn graduate_waits_for_the_last_sandbox_that_crio_replays() -> Result<()> {
    let (mut lab, [one, two]) = moved()?;
    let ours = format!("{CONF_DIR}/01-crossfade.conflist");
    let text = lab.graduate(&["--apply"], 75)?;
    ensure!(text.contains("restart CRI-O now"), "{text}");
    ensure!(
        !lab.is_there(&ours) && !lab.is_there(&format!("{CONF_DIR}/10-old.conflist")),
        "confs of our name stay"
    );
    ensure!(lab.is_there("/run/crossfade/leaving"), "watch would write the conf again");
    // Nothing goes on before CRI-O was started anew.
    ensure!(lab.graduate(&["--apply"], 75)?.contains("restart CRI-O now"));
    lab.restart("newnet")?;
    let text = lab.graduate(&["--apply"], 75)?;
    ensure!(text.contains("2 sandboxes with Crossfade's conf"), "{text}");
    ensure!(
        lab.is_there(&format!("{PLUGINS}/crossfade")) && lab.records()? == 2,
        "the plugin and the records stay"
    );
    let settings: Value = serde_json::from_slice(&fs::read(lab.node().outside("/etc/crossfade/node.json"))?)?;
    ensure!(settings["confDir"] == "none", "{settings}");
    // A pod of now is none of ours; those of before are.
    lab.stubs.log().clear()?;
    let next = lab.run("next")?;
    ensure!(lab.records()? == 2, "a pod came through us");
    lab.cri.stop(&one)?;
    lab.cri.remove(&one)?;
    ensure!(lab.calls("DEL")? == ["stub-new DEL eth0"] && lab.records()? == 1, "{:?}", lab.calls("DEL")?);
    ensure!(lab.graduate(&["--apply"], 75)?.contains("1 sandboxes"));
    lab.cri.stop(&two)?;
    lab.cri.remove(&two)?;
    ensure!(lab.calls("DEL")?.len() == 2, "{:?}", lab.calls("DEL")?);
    let done = lab.graduate(&["--apply"], 0)?;
    ensure!(done.contains("\"stage\":\"graduated\""), "{done}");
    for gone in
        [format!("{PLUGINS}/crossfade"), "/var/lib/crossfade/name".into(), "/run/crossfade/leaving".into()]
    {
        ensure!(!lab.is_there(&gone), "{gone} is there");
    }
    lab.cri.stop(&next)?;
    lab.cri.remove(&next)?;
    ensure!(lab.calls("DEL")?.len() == 3, "{:?}", lab.calls("DEL")?);
    Ok(())
}

impl Lab {
    /// CRI-O as a caller of its library goes through a start: what it collects and checks is in the calls of the stubs.
    pub(crate) fn restart(&mut self, name: &str) -> Result<()> {
        let Some(crio) = self.crio.take() else { bail!("CRI-O does not run") };
        self.stubs.log().clear()?;
        crio.kill()?;
        let mut command = self.node().command(lab::build::dist::lab_bin("lab-crio")?);
        command.arg("--listen").arg(&self.socket).args(["--cni-config-dir", CONF_DIR]);
        command.args(["--cni-plugin-dir", PLUGINS, "--cni-default-network", name]);
        self.crio = Some(self.node().background("crio", &command)?);
        until("CRI-O's answer", LIMIT, || Ok(self.cri.network_ready().ok()))?;
        ensure!(self.calls("DEL")?.is_empty(), "a pod that lives was collected: {:?}", self.calls("DEL")?);
        Ok(())
    }
}
