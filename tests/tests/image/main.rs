//! An image that Packer makes of a Debian, and machines that boot from it.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use lab::image_build::Build;
use lab::preflight::{BOOT, CONTAINERD, Need, trial};
use libtest_mimic::Arguments;
use serde_json::json;

pub(crate) const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT];

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let trials = vec![trial("try", NEEDS, || {
        let built = Build::new(json!({}))?.run()?;
        eprintln!("{}", built.said);
        ensure!(built.status == 0);
        let mut machine = built.machine()?;
        let t = std::time::Instant::now();
        machine.boot_whole()?;
        eprintln!("{:?} {}", t.elapsed(), machine.run(&["systemctl", "list-units", "--failed"])?);
        eprintln!("{}", machine.journal()?.tail());
        Ok(())
    })];
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
