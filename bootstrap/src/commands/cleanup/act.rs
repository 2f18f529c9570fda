//! The removals of the kernel's objects, carried out one at a time.

use std::io;

use nix::mount::{MntFlags, umount2};

use super::kernel::{ipset, legacy, link, nft, route, rule};
use crate::change::ChangeHandler;
use crate::change::outcome::Outcome;
use convergence::change::kernel::KernelObject;
use convergence::change::{Act, Change};
use convergence::failure::Failure;
use types::command::exit::Exit;

/// The means of `cleanup`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CleanupHandler;

impl ChangeHandler for CleanupHandler {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        let Act::Kernel(object) = &change.act else { return None };
        let failed = |why: io::Error| {
            Failure::new(Exit::Failed, format!("{} {}: {why}", change.act.word(), change.target))
                .with_place(&change.target)
        };
        Some(remove(object).map(|()| Outcome::Done).map_err(failed))
    }
}

/// An object that is gone by then counts as removed.
fn remove(object: &KernelObject) -> io::Result<()> {
    match object {
        KernelObject::Link { index, name } => link::remove(*index, name),
        KernelObject::LinkDown { index, name, addresses } => link::set_down(*index, name, addresses),
        KernelObject::Route { body } => route::remove(body),
        KernelObject::Rule { body } => rule::remove(body),
        KernelObject::LocalRule { family } => rule::add_local(*family),
        KernelObject::NftRule { chain, handle } => {
            nft::remove_rule(chain.family, &chain.table, &chain.name, *handle)
        }
        KernelObject::NftFlush(chain) => nft::flush_chain(chain.family, &chain.table, &chain.name),
        KernelObject::NftChain(chain) => nft::remove_chain(chain.family, &chain.table, &chain.name),
        KernelObject::NftTable { family, name, handle } => nft::remove_table(*family, name, *handle),
        KernelObject::Legacy { program, table, arguments } => legacy::change(program, table, arguments),
        KernelObject::IpSet { name } => ipset::remove(name),
        KernelObject::Mount(point) => umount2(point, MntFlags::UMOUNT_NOFOLLOW).map_err(io::Error::from),
    }
}
