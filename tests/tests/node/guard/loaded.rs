//! The conf that the runtime has loaded, which counts and not the one in the directory; and the place where it looks for our plugin.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::BIN_DIR;
use lab::scene::{NODE_JSON, end};

use crate::guarded::GuardScene;

/// containerd 1.6 keeps what it had: our conf is in place, and pods pass us until it is written anew.
pub(crate) fn a_conf_that_was_moved_away_and_back_is_loaded_again() -> Result<()> {
    let scene = GuardScene::shared()?;
    // The conf as watch writes it, and no watch that repairs it meanwhile.
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let whole = fs::read(scene.ours())?;
    end(watch)?;
    scene.away_and_back()?;
    ensure!(!scene.loaded()?.contains(&"crossfade".to_owned()), "this containerd heeds a file that comes");
    let text = scene.run_expecting(&["status"], 3)?;
    ensure!(text.contains("the runtime does not use it"), "{text}");
    ensure!(text.contains("installed     no"), "{text}");
    let watch = scene.watch()?;
    scene.expect_loaded("crossfade")?;
    let status = scene.expect_reason("NetworkReady")?;
    ensure!(status["conf"]["state"] == "in place", "{status:#}");
    let log = fs::read_to_string(watch.log())?;
    ensure!(log.contains("event=ConfReloaded") && log.contains("written anew"), "{log}");
    scene.expect_whole(&whole)?;
    scene.expect_pods()?;
    end(watch)
}

/// `install` says that the runtime uses our conf only where it does.
pub(crate) fn install_loads_what_lies_in_place_and_is_not_loaded() -> Result<()> {
    let scene = GuardScene::shared()?;
    scene.package()?;
    let install = || scene.run_expecting(&["install"], 0);
    install()?;
    scene.expect_loaded("crossfade")?;
    let again = install()?;
    ensure!(!again.contains("confirm"), "{again}");
    scene.away_and_back()?;
    ensure!(!scene.loaded()?.contains(&"crossfade".to_owned()), "this containerd heeds a file that comes");
    let text = install()?;
    ensure!(text.contains("the runtime has not loaded it") && text.contains("confirm"), "{text}");
    ensure!(scene.loaded()? == ["crossfade"], "{:?}", scene.loaded()?);
    scene.expect_pods()
}

/// Removed, replaced, or open to others: the package's plugin is put back, and the node is not ready meanwhile.
pub(crate) fn a_plugin_that_is_gone_or_another_is_put_back() -> Result<()> {
    let scene = GuardScene::shared()?;
    let packaged = scene.package()?;
    let plugin = scene.outside(BIN_DIR).join("crossfade");
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let harms: [fn(&Path) -> Result<()>; 3] = [
        |plugin| Ok(fs::remove_file(plugin)?),
        |plugin| {
            fs::remove_file(plugin)?;
            Ok(fs::write(plugin, "#!/bin/sh\nexit 1\n")?)
        },
        |plugin| Ok(fs::set_permissions(plugin, fs::Permissions::from_mode(0o666))?),
    ];
    for harm in harms {
        harm(&plugin)?;
        until("the package's plugin", LIMIT, || {
            let mode = plugin.metadata().map(|meta| meta.permissions().mode() & 0o7777);
            let right =
                mode.is_ok_and(|mode| mode == 0o755) && fs::read(&plugin).is_ok_and(|is| is == packaged);
            Ok(right.then_some(()))
        })?;
        scene.expect_reason("NetworkReady")?;
        scene.expect_pods()?;
    }
    let log = fs::read_to_string(watch.log())?;
    ensure!(log.contains("event=PluginMissing"), "{log}");
    end(watch)
}

/// k3s has another directory of plugins with every release, and restarts its containerd with it.
pub(crate) fn a_runtime_with_other_directories_after_an_upgrade_gets_our_plugin() -> Result<()> {
    const NEXT: &str = "/var/lib/rancher/k3s/data/next/bin";
    let mut scene = GuardScene::shared()?;
    let packaged = scene.package()?;
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let next = scene.outside(NEXT);
    fs::create_dir_all(&next)?;
    for entry in fs::read_dir(scene.outside(BIN_DIR))? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_owned();
        if name != "crossfade" {
            fs::copy(&path, next.join(name))?;
        }
    }
    let config = fs::read_to_string(scene.containerd.config())?;
    let changed = scene.containerd.config().with_file_name("next.toml");
    fs::write(&changed, config.replace(BIN_DIR, NEXT))?;
    scene.containerd.start_with(&changed);
    scene.containerd.restart()?;
    until("our plugin in the new directory", LIMIT, || {
        Ok(fs::read(next.join("crossfade")).is_ok_and(|is| is == packaged).then_some(()))
    })?;
    scene.expect_reason("NetworkReady")?;
    scene.expect_pods()?;
    end(watch)
}

/// Two runtimes' sockets are here and no setting says which one kubelet talks to: the node is not ready, and the report says what to name.
pub(crate) fn a_runtime_that_no_setting_names_is_no_readiness() -> Result<()> {
    let scene = GuardScene::shared()?;
    let settings = fs::read_to_string(scene.outside(NODE_JSON))?;
    let mut unnamed: serde_json::Value = serde_json::from_str(&settings)?;
    unnamed["runtime"].as_object_mut().context("runtime")?.remove("endpoint");
    scene.node().write(NODE_JSON, unnamed.to_string())?;
    // The unit that some suites' package of containerd brings along would name its socket.
    scene.node().run(&["mkdir", "-p", "/run/k3s/containerd", "/etc/systemd/system"])?;
    scene.node().run(&["ln", "-s", "/dev/null", "/etc/systemd/system/containerd.service"])?;
    let socket = scene.containerd.socket();
    let socket = socket.to_str().context("a path in UTF-8")?;
    scene.node().run(&["ln", "-s", socket, "/run/k3s/containerd/containerd.sock"])?;
    let watch = scene.watch()?;
    let status = scene.expect_reason("RuntimeUnknown")?;
    let findings =
        status["message"].as_str().unwrap_or_default().to_owned() + &status["findings"].to_string();
    ensure!(findings.contains("runtime.endpoint"), "{status:#}");
    scene.node().write(NODE_JSON, settings)?;
    scene.expect_reason("NetworkReady")?;
    end(watch)
}
