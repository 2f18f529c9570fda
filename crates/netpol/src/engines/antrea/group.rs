//! Groups of Antrea: pods and addresses that have a name.

use serde::Deserialize;
use serde_json::Value;
use snapshot::model::Text;

use super::object::Peer;
use crate::engines::antrea::manifest::pods;
use crate::engines::kubernetes::{Block, LabelSelector};
use crate::engines::manifest::{self, BlockSpec, Manifest, Metadata};
use crate::expression::Expression;

/// A Group or a ClusterGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its namespace; none of a ClusterGroup.
    pub namespace: Option<Text>,
    pub name: Text,
    pub members: Members,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Pods for which a condition is true.
    Pods(Expression),
    /// Every endpoint with an address of these.
    Blocks(Vec<Block>),
    /// The members of other groups, by their names.
    Groups(Vec<Text>),
}

/// Reads a Group or a ClusterGroup.
///
/// # Errors
/// One line that names what is not as the API has it, or what an evaluator cannot know.
pub fn read_group(object: &Value) -> Result<Group, String> {
    let written: Manifest<Spec> = manifest::object(object)?;
    let Metadata { name, namespace, .. } = written.metadata;
    let members = written.spec.read(namespace.as_ref()).map_err(|why| format!("spec{why}"))?;
    Ok(Group { namespace, name, members })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    pod_selector: Option<LabelSelector>,
    #[serde(default)]
    namespace_selector: Option<LabelSelector>,
    /// One block: an alpha version has it.
    #[serde(default)]
    ip_block: Option<BlockSpec>,
    #[serde(default)]
    ip_blocks: Option<Vec<BlockSpec>>,
    #[serde(default)]
    child_groups: Option<Vec<Text>>,
    #[serde(default)]
    service_reference: Option<Value>,
    #[serde(default)]
    external_entity_selector: Option<Value>,
}

impl Spec {
    fn read(self, namespace: Option<&Text>) -> Result<Members, String> {
        if self.service_reference.is_some() {
            return Err(".serviceReference: the pods of a Service, which no evaluator reads".into());
        }
        if self.external_entity_selector.is_some() {
            return Err(".externalEntitySelector: endpoints that no evaluator reads".into());
        }
        let blocks: Vec<_> = self.ip_block.into_iter().chain(self.ip_blocks.into_iter().flatten()).collect();
        let children = self.child_groups.unwrap_or_default();
        let has_pods = self.pod_selector.is_some() || self.namespace_selector.is_some();
        match (has_pods, blocks.is_empty(), children.is_empty()) {
            (true, true, true) => {
                pods(self.pod_selector.as_ref(), self.namespace_selector.as_ref(), namespace)
                    .map(Members::Pods)
            }
            (false, false, true) => {
                let blocks = blocks.iter().map(BlockSpec::read).collect::<Result<_, _>>();
                blocks.map(Members::Blocks).map_err(|why| format!(".ipBlocks{why}"))
            }
            (false, true, false) => Ok(Members::Groups(children)),
            _ => Err(": expected selectors, ipBlocks or childGroups, and one of them alone".into()),
        }
    }
}

/// The members of a group, as ends of a rule.
///
/// # Errors
/// A group that is not there, or groups that are nested more than once.
pub(super) fn members(groups: &[Group], namespace: Option<&Text>, name: &Text) -> Result<Vec<Peer>, String> {
    let members_of = |name: &Text| {
        let group = groups.iter().find(|group| group.namespace.as_ref() == namespace && group.name == *name);
        group.ok_or_else(|| format!("there is no group {name:?}"))
    };
    let own = |group: &Group| match &group.members {
        Members::Pods(condition) => Some(vec![Peer::Pods(condition.clone())]),
        Members::Blocks(blocks) => Some(blocks.iter().cloned().map(Peer::Block).collect()),
        Members::Groups(_) => None,
    };
    let group = members_of(name)?;
    let Members::Groups(children) = &group.members else { return Ok(own(group).unwrap_or_default()) };
    let mut all = Vec::new();
    for child in children {
        // *Source*: Antrea, "ClusterGroup": one level of nesting.
        let child =
            own(members_of(child)?).ok_or_else(|| format!("group {child:?} of group {name:?} has groups"))?;
        all.extend(child);
    }
    Ok(all)
}
