//! `roll`: carries a plan out, node by node.

pub(super) mod conduct;
pub(crate) mod permit;
pub(crate) mod stragglers;
pub(crate) mod wish;

use std::collections::BTreeSet;

use migration::roll::run::Bounds;
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use self::conduct::{RollReport, call_failure, conduct};
use super::source;
use super::status::describe;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::roll::Roll as RollArgs;
use crate::live::{self, Patience, Preview};
use crate::print::{Document, Report};

/// What a run would do next.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Previewed"))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RollPreview {
    /// The preview.
    #[serde(flatten)]
    pub preview: Preview,
    #[serde(skip)]
    next: String,
}

/// Either of both.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum Answer {
    /// Nothing was done.
    Preview(RollPreview),
    /// The run went on.
    Run(RollReport),
}

/// Runs the command.
///
/// # Errors
/// The settings, the plan or the run cannot be read, another holder has the run, or a request failed.
pub(crate) fn roll(global: &Global, args: &RollArgs) -> Result<Answer, Failure> {
    let config = source::settings(global)?;
    let settings = live::Settings::from_config(&config);
    let is_approved = args.plan.is_some() || args.resume;
    let bounds = Bounds {
        until: args.until.map(Into::into),
        only: args.only.iter().map(|node| node.as_str().into()).collect(),
        pool: args.pool.as_deref().map(Into::into),
    };
    let delete: BTreeSet<String> = args.delete_bare.iter().cloned().collect();
    let management = args.management(&global.access);
    if args.dry_run || !is_approved {
        let preview = live::preview(
            &global.access,
            settings,
            args.plan.as_ref(),
            &bounds,
            &delete,
            management.as_ref(),
        )
        .map_err(call_failure)?;
        let plan = &preview.status.plan;
        let next = match &args.plan {
            Some(_) => global.next_command(&format!("roll --plan {plan}")),
            None => global.next_command("roll --resume"),
        };
        return Ok(Answer::Preview(RollPreview { preview, next }));
    }
    let options = live::RunOptions {
        plan: live::saved_plan(&global.access, args.plan.as_ref()).map_err(call_failure)?,
        is_resumed: args.plan.is_none(),
        bounds,
        delete,
        patience: patience(args),
        unenforced: Vec::new(),
        management,
    };
    conduct(global, &config, options).map(Answer::Run)
}

/// What to do about the Lease of another holder. To go on with a run is to take it from a holder that is gone.
const fn patience(args: &RollArgs) -> Patience {
    if args.force_take_over {
        Patience::Force
    } else if args.take_over {
        Patience::UntilExpired
    } else if args.resume {
        Patience::IfExpired
    } else {
        Patience::None
    }
}

impl Report for Answer {
    fn document(&self) -> Document {
        match self {
            Self::Preview(RollPreview { preview, next }) => {
                let mut document = Document::new("Roll: nothing was done");
                describe(&mut document, &preview.status);
                document.heading("What would be done next");
                let acts: Vec<String> = preview.acts.iter().map(ToString::to_string).collect();
                if acts.is_empty() {
                    document.text("Nothing.");
                }
                document.list(acts, 40);
                document.text(format!("To do it: {next}"));
                document
            }
            Self::Run(rolled) => {
                let mut document = Document::new(format!("Roll: {}", rolled.outcome));
                rolled.describe(&mut document);
                document
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Preview(_) => Exit::Done,
            Self::Run(rolled) => rolled.exit,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Preview(_) => Vec::new(),
            Self::Run(rolled) => rolled.problems(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        roll: RollArgs,
    }

    /// Each row: the flags, and what is done about the Lease of another holder.
    #[test]
    fn a_resume_takes_an_expired_lease_and_nothing_else_does_without_being_asked() {
        for (flags, expected) in [
            (&["--plan", "4be1c0ffee12"][..], Patience::None),
            (&["--resume"], Patience::IfExpired),
            (&["--resume", "--take-over"], Patience::UntilExpired),
            (&["--plan", "4be1c0ffee12", "--take-over"], Patience::UntilExpired),
            (&["--resume", "--force-take-over"], Patience::Force),
        ] {
            let line = Line::try_parse_from([&["roll"], flags].concat()).expect("flags");
            assert_eq!(patience(&line.roll), expected, "{flags:?}");
        }
    }

    /// What the flags say of the API server and the credential is of the cluster that migrates.
    #[test]
    fn the_management_cluster_is_reached_by_its_context_alone() {
        let access = crate::cli::access::Access {
            kubeconfig: Some("/config".into()),
            context: Some("prod".into()),
            server: Some("https://10.0.0.1".into()),
            token: Some("secret".into()),
            ..Default::default()
        };
        let management = |flags: &[&str]| {
            let line = Line::try_parse_from([&["roll", "--resume"], flags].concat()).expect("flags");
            line.roll.management(&access)
        };
        assert!(management(&[]).is_none());
        for (flags, file) in [
            (&["--management-context", "fleet"][..], "/config"),
            (&["--management-context", "fleet", "--management-kubeconfig", "/other"], "/other"),
        ] {
            let other = management(flags).expect("a management cluster");
            assert_eq!(other.context.as_deref(), Some("fleet"));
            assert_eq!(other.kubeconfig.as_deref(), Some(std::path::Path::new(file)));
            assert!(other.server.is_none() && other.token.is_none(), "{other:?}");
        }
        let alone = ["roll", "--resume", "--management-kubeconfig", "/other"];
        assert!(Line::try_parse_from(alone).is_err(), "a file without a context");
    }
}
