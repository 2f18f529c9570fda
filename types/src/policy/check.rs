//! The rules of a policy that are about more than one key.

use super::{Attach, Policy, SecondaryFailure, Side};

impl Policy {
    /// Refuses a policy whose keys do not fit each other.
    ///
    /// # Errors
    /// One line that names the key, what was expected and, where there is one, the remedy.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.networks().next().is_none() {
            return Err("networks: expected \"old\", \"new\" or both, found neither".into());
        }
        self.need_attach(self.attach, || "attach".into())?;
        for (index, rule) in self.rules.iter().enumerate() {
            self.need_attach(rule.attach, || format!("rules[{index}].attach"))?;
        }
        for attach in self.pod_annotation.iter().flat_map(|annotation| &annotation.allow) {
            self.need_attach(*attach, || "podAnnotation.allow".into())?;
        }
        let named = [
            (self.both.primary, "both.primary"),
            (self.both.default_route, "both.defaultRoute"),
            (self.unrecorded, "unrecorded"),
        ];
        for (side, key) in named {
            side.map_or(Ok(()), |side| self.need(side, || key.into()))?;
        }
        for (index, retired) in self.retired.iter().enumerate() {
            let (network, key) = (retired.network, || format!("retired[{index}].network"));
            self.need(network, key)?;
            if self.retired[..index].iter().any(|earlier| earlier.network == network) {
                return Err(format!("{}: {network} is retired twice; expected it once", key()));
            }
        }
        let both = &self.both;
        if both.secondary_failure == SecondaryFailure::Tolerate && both.primary() != both.default_route() {
            return Err(format!(
                "both.secondaryFailure: tolerate requires the primary to own the default route; set defaultRoute to {}",
                both.primary()
            ));
        }
        self.refuse_second(|network| network.secondary)
    }

    fn need_attach(&self, attach: Attach, key: impl Fn() -> String) -> Result<(), String> {
        match attach {
            Attach::One(side) => self.need(side, key),
            Attach::Both => Side::BOTH.into_iter().try_for_each(|side| self.need(side, &key)),
        }
    }

    fn need(&self, side: Side, key: impl Fn() -> String) -> Result<(), String> {
        if self.network(side).is_some() {
            return Ok(());
        }
        Err(format!(
            "{}: names the network {side}, which networks.{side} does not describe; add it there or name {}",
            key(),
            side.other()
        ))
    }
}
