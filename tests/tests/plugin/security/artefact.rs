//! The release programs as files: how they are linked, what is in them, and that the sources keep to it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use lab::{
    host::{command::run, deadline::until},
    runtime::caller::Plugin,
    standin::stub::PATIENCE,
};

use crate::trials;

trials![
    programs_need_no_loader_and_no_library,
    programs_are_position_independent,
    programs_have_no_page_to_write_and_execute,
    relocated_pointers_are_read_only_once_the_shim_runs,
    programs_gain_no_privilege,
    programs_have_no_hook_for_faults,
    no_code_is_unsafe,
];

fn programs() -> Result<[PathBuf; 2]> {
    Ok([lab::build::dist::crossfade()?, lab::build::dist::bootstrap()?])
}

// Source: man 5 elf; the numbers are those of <elf.h>.
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const DT_NEEDED: u64 = 1;
const DT_RPATH: u64 = 15;
const DT_TEXTREL: u64 = 22;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;

struct Segment {
    kind: u32,
    flags: u32,
    offset: usize,
    bytes: usize,
    address: u64,
    memory: u64,
}

/// A 64-bit little-endian ELF file: both of the architectures that are built for.
struct Elf {
    file: Vec<u8>,
    kind: u16,
    segments: Vec<Segment>,
}

impl Elf {
    fn read(path: &Path) -> Result<Self> {
        let file = fs::read(path).with_context(|| path.display().to_string())?;
        ensure!(file.starts_with(b"\x7fELF\x02\x01"), "{} is no 64-bit little-endian ELF", path.display());
        let mut elf = Self { kind: 0, segments: Vec::new(), file };
        elf.kind = u16::from_le_bytes(elf.part(16)?);
        let start = usize::try_from(elf.long(32)?)?;
        let size = usize::from(u16::from_le_bytes(elf.part(54)?));
        let count = usize::from(u16::from_le_bytes(elf.part(56)?));
        for at in (0..count).map(|index| start + index * size) {
            elf.segments.push(Segment {
                kind: u32::from_le_bytes(elf.part(at)?),
                flags: u32::from_le_bytes(elf.part(at + 4)?),
                offset: usize::try_from(elf.long(at + 8)?)?,
                bytes: usize::try_from(elf.long(at + 32)?)?,
                address: elf.long(at + 16)?,
                memory: elf.long(at + 40)?,
            });
        }
        Ok(elf)
    }

    fn part<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let part = self.file.get(at..at + N).context("an ELF file ends early")?;
        Ok(part.try_into()?)
    }

    fn long(&self, at: usize) -> Result<u64> {
        Ok(u64::from_le_bytes(self.part(at)?))
    }

    fn segments_of(&self, kind: u32) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.kind == kind)
    }

    /// The dynamic section's tags and values.
    fn dynamic(&self) -> Result<Vec<(u64, u64)>> {
        let segment = self
            .segments_of(PT_DYNAMIC)
            .next()
            .context("a static PIE relocates itself by its dynamic section")?;
        (0..segment.bytes / 16)
            .map(|index| {
                let at = segment.offset + index * 16;
                Ok((self.long(at)?, self.long(at + 8)?))
            })
            .collect()
    }
}

/// S20: nothing in the runtime's environment or file system becomes a part of the process.
fn programs_need_no_loader_and_no_library() -> Result<()> {
    for path in programs()? {
        let elf = Elf::read(&path)?;
        ensure!(elf.segments_of(PT_INTERP).count() == 0, "{} has an interpreter", path.display());
        for (tag, _) in elf.dynamic()? {
            ensure!(
                ![DT_NEEDED, DT_RPATH, DT_RUNPATH].contains(&tag),
                "{} has dynamic tag {tag}",
                path.display()
            );
        }
    }
    Ok(())
}

/// S20, S21: an attacker does not know beforehand where a thing lies in memory.
fn programs_are_position_independent() -> Result<()> {
    for path in programs()? {
        let elf = Elf::read(&path)?;
        ensure!(elf.kind == ET_DYN, "{} is not position-independent", path.display());
        let dynamic = elf.dynamic()?;
        let flags = dynamic.iter().find(|(tag, _)| *tag == DT_FLAGS_1).map_or(0, |(_, value)| *value);
        ensure!(flags & DF_1_PIE != 0, "{} is no PIE: flags {flags:x}", path.display());
        ensure!(dynamic.iter().all(|(tag, _)| *tag != DT_TEXTREL), "{} relocates its code", path.display());
    }
    Ok(())
}

/// S21: an overflow finds no place to put code, and no table of pointers to write over once the program has started.
fn programs_have_no_page_to_write_and_execute() -> Result<()> {
    for path in programs()? {
        let elf = Elf::read(&path)?;
        ensure!(elf.segments_of(PT_LOAD).count() >= 2, "{}", path.display());
        for segment in elf.segments_of(PT_LOAD) {
            ensure!(segment.flags & (PF_X | PF_W) != PF_X | PF_W, "{} writes its code", path.display());
        }
        let stack = elf.segments_of(PT_GNU_STACK).next().context("without it the stack is executable")?;
        ensure!(stack.flags & PF_X == 0, "{} executes its stack", path.display());
        ensure!(
            elf.segments_of(PT_GNU_RELRO).count() == 1,
            "{} leaves its pointers writable",
            path.display()
        );
    }
    Ok(())
}

/// A variable that every program of glibc knows.
const GLIBC: &[u8] = b"GLIBC_TUNABLES";

/// S21: the header above is only a wish. Whether a static program follows it is up to its C library.
fn relocated_pointers_are_read_only_once_the_shim_runs() -> Result<()> {
    let shim = lab::build::dist::crossfade()?;
    if !fs::read(&shim)?.windows(GLIBC.len()).any(|bytes| bytes == GLIBC) {
        // musl leaves it to a dynamic loader, which a static program has not (docs/security.md, S21).
        return Ok(());
    }
    let elf = Elf::read(&shim)?;
    let marked = elf.segments_of(PT_GNU_RELRO).next().context("no table of pointers is marked")?;
    let running = Plugin::new(&shim).env("CNI_COMMAND", "STATUS").stdin_left_open().spawn()?;
    let mut seen = String::new();
    until("the shim to protect its pointers", PATIENCE, || {
        seen = fs::read_to_string(format!("/proc/{}/maps", running.pid()))?;
        let mappings: Vec<(u64, u64, &str)> = seen.lines().filter_map(mapping).collect();
        let shims = seen.lines().position(|line| line.ends_with("/crossfade"));
        let Some(&(base, ..)) = shims.and_then(|at| mappings.get(at)) else { return Ok(None) };
        let (from, to) = (base + marked.address, (base + marked.address + marked.memory) / 4096 * 4096);
        let within = mappings.iter().filter(|(begin, end, _)| *begin < to && *end > from);
        let rights: Vec<&str> = within.map(|(_, _, rights)| *rights).collect();
        Ok((!rights.is_empty() && rights.iter().all(|rights| *rights == "r--p")).then_some(()))
    })
    .with_context(|| seen)
}

/// Begin, end and rights of a line of `/proc/PID/maps` (man 5 `proc`).
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (begin, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(begin)?, address(end)?, rest.split(' ').next()?))
}

/// S24: neither set-uid nor capabilities of a file: a stranger who starts it stays one.
fn programs_gain_no_privilege() -> Result<()> {
    for path in programs()? {
        let mode = fs::metadata(&path)?.permissions().mode() & 0o7777;
        ensure!(mode & 0o6022 == 0, "{} has mode {mode:04o}", path.display());
    }
    // With whatever makes it special, and where that counts: the lab's other directories are mounted nosuid.
    let shim = Path::new("/opt/crossfade");
    run(Command::new("cp").arg("--preserve=all").arg(lab::build::dist::crossfade()?).arg(shim))?;
    let as_stranger = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"];
    let call = Plugin::new(shim).env("CNI_COMMAND", "STATUS").stdin_left_open().wrapped(&as_stranger);
    let running = call.spawn()?;
    let status = until("the shim to read its stdin", PATIENCE, || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid()))?;
        Ok(status.starts_with("Name:\tcrossfade\n").then_some(status))
    })?;
    for line in ["Uid:\t4321\t4321\t4321\t4321", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"] {
        ensure!(status.contains(line), "expected {line:?}: {status}");
    }
    Ok(())
}

/// What is text in a program, a line each: of machine code, three letters in a row say nothing.
fn texts(program: &[u8]) -> String {
    const LEAST: usize = 6;
    let runs = program.split(|byte| !(b' '..=b'~').contains(byte)).filter(|run| run.len() >= LEAST);
    runs.map(|run| String::from_utf8_lossy(run).into_owned() + "\n").collect()
}

/// S32: none of the names by which fault hooks are switched on, and in the shim no variable but the guard against ourselves.
fn programs_have_no_hook_for_faults() -> Result<()> {
    for path in programs()? {
        let text = texts(&fs::read(&path)?);
        for hook in
            ["FAILPOINT", "failpoint", "fail_point", "fp:", "CROSSFADE_FAULT", "CROSSFADE_TEST", "LAB_"]
        {
            ensure!(!text.contains(hook), "{} has {hook:?} in it", path.display());
        }
    }
    let bytes = fs::read(lab::build::dist::crossfade()?)?;
    let text = String::from_utf8_lossy(&bytes);
    let ours: Vec<&str> =
        text.match_indices("CROSSFADE_").filter_map(|(at, _)| text.get(at..at + 15)).collect();
    assert_eq!(ours, ["CROSSFADE_DEPTH"]);
    Ok(())
}

/// Files of a directory that end in `.rs`.
fn sources(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// S21: the lint denies it, an attribute would allow it again; so the word itself is looked for.
fn no_code_is_unsafe() -> Result<()> {
    let workspace = lab::build::dist::workspace();
    let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
    ensure!(manifest.contains("unsafe_code = \"deny\""), "the workspace's lint");
    let mut files = Vec::new();
    for member in ["types", "shim", "bootstrap"] {
        let own = fs::read_to_string(workspace.join(member).join("Cargo.toml"))?;
        ensure!(own.contains("[lints]\nworkspace = true"), "{member} has the workspace's lints");
        sources(&workspace.join(member), &mut files)?;
    }
    let with: Vec<PathBuf> = files
        .into_iter()
        .filter(|path| {
            fs::read_to_string(path).is_ok_and(|text| {
                text.lines()
                    .map(|line| line.split("//").next().unwrap_or_default())
                    .any(|code| code.contains("unsafe"))
            })
        })
        .collect();
    assert_eq!(with, Vec::<PathBuf>::new());
    Ok(())
}
