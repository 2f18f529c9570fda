//! Images and containers through a runtime's socket.

use anyhow::{Context, Result};
use k8s_cri::v1 as api;
use k8s_cri::v1::image_service_client::ImageServiceClient;

use super::Cri;

/// A container as the runtime knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// It runs.
    pub running: bool,
    /// How it ended, once it has.
    pub exit_code: Option<i32>,
    /// Its first process while it runs, as the node sees it.
    pub pid: Option<i32>,
}

/// What a program in a container said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit status.
    pub exit_code: i32,
    /// stdout, then stderr.
    pub text: String,
}

impl Cri {
    /// Whether the runtime has an image.
    ///
    /// # Errors
    /// The runtime's.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        let image = Some(api::ImageSpec { image: name.to_owned(), ..Default::default() });
        let mut client = ImageServiceClient::new(self.channel.clone());
        let answer = self.call(client.image_status(api::ImageStatusRequest { image, verbose: false }));
        Ok(answer.context("ImageStatus")?.image.is_some())
    }

    /// Runs a sandbox that is configured to the last bit, and returns its id.
    ///
    /// # Errors
    /// The runtime's.
    pub fn run_configured(&self, config: &api::PodSandboxConfig) -> Result<String> {
        let config = Some(config.clone());
        let request = api::RunPodSandboxRequest { config, runtime_handler: String::new() };
        let answer = self.call(self.client().run_pod_sandbox(request));
        Ok(answer.context("RunPodSandbox")?.pod_sandbox_id)
    }

    /// Makes a container in a sandbox, starts it and returns its id.
    ///
    /// # Errors
    /// The runtime's.
    pub fn start_container(
        &self,
        sandbox: &str,
        sandbox_config: &api::PodSandboxConfig,
        config: api::ContainerConfig,
    ) -> Result<String> {
        let request = api::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config.clone()),
        };
        let answer = self.call(self.client().create_container(request));
        let container_id = answer.context("CreateContainer")?.container_id;
        let request = api::StartContainerRequest { container_id: container_id.clone() };
        self.call(self.client().start_container(request)).context("StartContainer")?;
        Ok(container_id)
    }

    /// How a container is.
    ///
    /// # Errors
    /// The runtime's.
    pub fn container_state(&self, id: &str) -> Result<State> {
        let request = api::ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        let answer = self.call(self.client().container_status(request)).context("ContainerStatus")?;
        let status = answer.status.context("a status without a status")?;
        let running = status.state == i32::from(api::ContainerState::ContainerRunning);
        let exited = status.state == i32::from(api::ContainerState::ContainerExited);
        let info: Option<serde_json::Value> =
            answer.info.get("info").and_then(|text| serde_json::from_str(text).ok());
        let pid = info.and_then(|info| info["pid"].as_i64()).and_then(|pid| i32::try_from(pid).ok());
        Ok(State { running, exit_code: exited.then_some(status.exit_code), pid: pid.filter(|_| running) })
    }

    /// Runs a program in a container to its end.
    ///
    /// # Errors
    /// The runtime's.
    pub fn exec(&self, id: &str, command: &[String]) -> Result<ExecOutput> {
        let request =
            api::ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout: 60 };
        let answer = self.call(self.client().exec_sync(request)).context("ExecSync")?;
        let text = String::from_utf8_lossy(&[answer.stdout, answer.stderr].concat()).into_owned();
        Ok(ExecOutput { exit_code: answer.exit_code, text })
    }

    /// Asks a container to end, and kills it after so many seconds.
    ///
    /// # Errors
    /// The runtime's.
    pub fn stop_container(&self, id: &str, grace_secs: i64) -> Result<()> {
        let request = api::StopContainerRequest { container_id: id.to_owned(), timeout: grace_secs };
        self.call(self.client().stop_container(request)).context("StopContainer").map(drop)
    }
}
