//! Features of Flannel, also as a part of Canal.
//!
//! *Source*: flannel-io/flannel: Documentation/backends.md (`wireguard`, `ipsec`).

use crate::check::Scene;
use crate::cni::calico::features::FEATURE_WIREGUARD;
use crate::cni::driver::Feature;
use crate::cni::flannel;
use crate::cni::support::Cni;

pub(super) const FEATURES: &[Feature] = &[Feature {
    rule: &FEATURE_WIREGUARD,
    find: |scene: &Scene<'_>| {
        let encrypting = flannel::read(scene.snapshot)
            .filter(|flannel| matches!(flannel.backend(), "wireguard" | "ipsec"))
            .filter(|_| !scene.to.driver().encrypts(scene.snapshot));
        let subject = |flannel: flannel::Settings| {
            let backend = format!("Backend.Type: {}", flannel.backend());
            flannel.source.detail(backend)
        };
        encrypting.map(subject).into_iter().collect()
    },
    what: Some("Flannel encrypts traffic between nodes, and the new CNI does not encrypt."),
    fixes: &[
        (
            Cni::Cilium,
            "Install Cilium with the Helm values encryption.enabled=true and encryption.type=wireguard. It uses UDP port 51871, Flannel 51820, so both can be on a node.",
        ),
        (
            Cni::Antrea,
            "Install Antrea with the Helm values trafficEncryptionMode=wireGuard and wireGuard.port=51830: its default port is Flannel's.",
        ),
        (
            Cni::Calico,
            "Let Calico encrypt before its first pod, on a port that is not Flannel's: kubectl patch felixconfigurations.crd.projectcalico.org default --type merge -p '{\"spec\":{\"wireguardEnabled\":true,\"wireguardListeningPort\":51830}}'",
        ),
    ],
}];
