//! Options of `report` and `evidence`.

use std::path::PathBuf;

use clap::Args;

/// Which run, and what is known of it beside what the cluster keeps.
#[derive(Debug, Args)]
pub struct RunSource {
    /// The run. Without it, the one that the cluster has, or had last.
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// A journal that a holder has kept on its machine, ~/.local/state/crossfade/RUN.jsonl, for lines that the cluster lacks. Repeat it for several.
    #[arg(long, value_name = "FILE")]
    pub journal: Vec<PathBuf>,
    /// What a probe or a gate measured, as JSON. Repeat it for several. Without it, lost probes are not measured.
    #[arg(long, value_name = "FILE")]
    pub measured: Vec<PathBuf>,
}

/// Options of `report`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: one page to show and to keep\n  \
                   kubectl crossfade report --out report.html",
    after_help = "With --snapshot, the run is read from files: kubectl -n crossfade get configmaps -o json > run.json"
)]
pub struct Report {
    /// Which run.
    #[command(flatten)]
    pub source: RunSource,
    /// A file to write: .html is one page that needs nothing else, .md and .json are as -o markdown and -o json. Repeat it for several.
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}

/// Options of `evidence`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: an archive for people who do not see the cluster\n  \
                   kubectl crossfade evidence --config crossfade.yaml --redact --out evidence.tar.gz",
    after_help = "What cannot be had is in errors.json of the archive. sha256sum --check SHA256SUMS verifies the others."
)]
pub struct Evidence {
    /// Which run.
    #[command(flatten)]
    pub source: RunSource,
    /// The archive to write, tar in gzip.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The file that policies backup wrote; its digest is kept, and no policy.
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
    /// Write pseudonyms instead of names, the same for a name everywhere, and no text that people or other programs wrote. Addresses stay, and the settings
    /// are left out.
    #[arg(long)]
    pub redact: bool,
}
