//! Policies.

use super::clusters::{flannel, policy};
use super::{Edit, Row, Waiver, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "policies-lost",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: {}}")
        },
        Waiver,
    ),
    row(
        "policies-start",
        |w| {
            flannel(w);
            policy(w, "{}");
        },
        Edit("Delete those", |w| w.remove("networkpolicy", "p")),
    ),
    row("policies-unenforced", |w| policy(w, "{}"), Waiver),
];
