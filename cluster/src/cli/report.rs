//! Options of `report`.

use std::path::PathBuf;

use clap::Args;

/// Options of `report`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: one page to show and to keep, and an archive for people who do not see the cluster\n  \
                   kubectl crossfade report --out report.html\n  \
                   kubectl crossfade report --config crossfade.yaml --redact --archive evidence.tar.gz",
    after_help = "With --snapshot, the run is read from files: kubectl -n crossfade get configmaps -o json > run.json"
)]
pub struct Report {
    /// The run. Without it, the one that the cluster has, or had last.
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// A journal that a holder has kept on its machine, ~/.local/state/crossfade/RUN.jsonl, for lines that the cluster lacks. Repeat it for several.
    #[arg(long, value_name = "FILE")]
    pub journal: Vec<PathBuf>,
    /// What a probe or a gate measured, as JSON. Repeat it for several. Without it, lost probes are those that the agents of the run's gates measured.
    #[arg(long, value_name = "FILE")]
    pub measured: Vec<PathBuf>,
    /// A file to write: .html is one page that needs nothing else, .md and .json are as -o markdown and -o json. Repeat it for several.
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
    /// An archive to write, tar in gzip: plan, run, journal, gates, measurements, the settings of --config and the report, with checksums.
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// The file that policies backup wrote, for the archive: its digest is kept, and no policy.
    #[arg(long, value_name = "FILE", requires = "archive")]
    pub backup: Option<PathBuf>,
    /// Write pseudonyms instead of names, the same for a name everywhere, and no text that people or other programs wrote. Addresses stay, and the archive
    /// has no settings.
    #[arg(long)]
    pub redact: bool,
}
