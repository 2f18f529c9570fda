//! Records of every format ever written, and of a later one: the shim under test deletes what they owe, nothing else.
//!
//! The files (shim/tests/records) are state directories that the programs of their time left behind; none is ever changed. What a
//! record owes is worked out here from its lines, whole or cut off at the end of any one, in the boot it was begun in and in the next.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{case::Case, trials, trouble::mounts::another_boot};

trials![
    every_record_is_deleted_as_it_owes_wherever_it_is_cut,
    a_failed_del_of_a_kept_record_is_retried,
    a_kept_record_is_seen_by_gc,
    a_kept_record_refuses_a_second_add,
    an_event_of_a_later_program_outlives_a_failed_del,
    what_is_written_today_has_the_shape_of_the_files,
];

/// Where the newest shape lies.
const TODAY: &str = "format-1";

/// A record as its file says it, read without any of the shim's code.
#[derive(Debug)]
struct Record {
    /// Its place below the state directory.
    place: PathBuf,
    /// What precedes the first slash: the format.
    format: String,
    bytes: Vec<u8>,
}

/// What a DEL has to do.
#[derive(Debug, PartialEq, Eq)]
enum OwedCalls {
    /// These calls, in this order.
    Calls(Vec<String>),
    /// It cannot be read: every network of the policy is asked.
    Everybody,
}

impl Record {
    fn all() -> Result<Vec<Self>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shim/tests/records");
        let mut files = Vec::new();
        let mut dirs = vec![root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
                let path = entry?.path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_none_or(|extension| extension != "lines") {
                    let below = path.strip_prefix(&root)?;
                    let format = below.iter().next().context("a format")?;
                    files.push(Self {
                        place: below.strip_prefix(format)?.to_owned(),
                        format: format.to_string_lossy().into_owned(),
                        bytes: fs::read(&path)?,
                    });
                }
            }
        }
        files.sort_by(|first, other| (&first.format, &first.place).cmp(&(&other.format, &other.place)));
        ensure!(files.len() >= 13, "expected every record there is, found {}", files.len());
        Ok(files)
    }

    fn named(format: &str, id: &str) -> Result<Self> {
        let file = format!("{id}@eth0");
        Self::all()?
            .into_iter()
            .find(|record| record.format == format && record.place.ends_with(&file))
            .with_context(|| format!("no record of {id} in {format}"))
    }

    /// Its first lines.
    fn cut(&self, lines: usize) -> Vec<u8> {
        self.bytes.split_inclusive(|byte| *byte == b'\n').take(lines).collect::<Vec<_>>().concat()
    }

    fn lines(&self) -> usize {
        self.bytes.split_inclusive(|byte| *byte == b'\n').count()
    }

    /// The id it is looked up by; long ones are hashed in the file's name, but not within.
    fn id(&self) -> Result<String> {
        let name = self.place.file_name().context("a name")?.to_string_lossy().into_owned();
        let id = name.strip_suffix("@eth0").context("eth0")?.to_owned();
        if id.starts_with('~') {
            let intent = json_of(&self.cut(1)).context("the intent of a hashed id")?;
            return Ok(intent["containerID"].as_str().context("an id")?.to_owned());
        }
        Ok(id)
    }
}

/// The JSON behind the sum; none where the line is torn.
fn json_of(line: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    serde_json::from_str(text.split_once(' ')?.1).ok()
}

/// What `bytes` owe, by the rules of docs/architecture.md.
fn owed(bytes: &[u8], same_boot: bool) -> OwedCalls {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let intent = lines.next().and_then(json_of).filter(|intent| intent["legs"].is_array());
    let Some(intent) = intent else { return OwedCalls::Everybody };
    let mut started = BTreeSet::from([0]);
    let mut deleted = BTreeSet::new();
    let mut doubtful = !same_boot || intent["version"] != 1;
    for line in lines {
        let Some(event) = json_of(line) else {
            doubtful = true;
            continue;
        };
        let leg = |name: &str| event.get(name).and_then(|event| event["leg"].as_u64());
        if let Some(leg) = leg("started").or_else(|| leg("added")) {
            started.insert(leg);
        } else if let Some(leg) = leg("deleted") {
            deleted.insert(leg);
        } else if ["attached", "stopped", "delFailed"].iter().all(|known| event.get(known).is_none()) {
            doubtful = true;
        }
    }
    let legs = intent["legs"].as_array().into_iter().flatten().zip(0..);
    let mut calls: Vec<String> = legs
        .filter(|(_, at)| (doubtful || started.contains(at)) && !deleted.contains(at))
        .map(|(leg, _)| format!("{} DEL {}", text(&leg["conf"]["plugins"][0]["type"]), text(&leg["ifname"])))
        .collect();
    calls.reverse();
    OwedCalls::Calls(calls)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Puts a record where its program had it.
fn place(case: &Case, record: &Record, bytes: &[u8]) -> Result<()> {
    let path = case.path("state").join(&record.place);
    let dir = path.parent().context("a directory")?;
    fs::create_dir_all(dir)?;
    for dir in dir.ancestors().take_while(|dir| dir.starts_with(case.path("state"))) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
}

fn set_aside(case: &Case) -> usize {
    fs::read_dir(case.path("state/damaged")).map(Iterator::count).unwrap_or_default()
}

fn every_record_is_deleted_as_it_owes_wherever_it_is_cut() -> Result<()> {
    let case = Case::attach("old")?;
    let boot = another_boot(&case)?;
    let boot: Vec<&str> = boot.iter().map(String::as_str).collect();
    let (mut deleted, mut aside) = (0, 0);
    for record in Record::all()? {
        let id = record.id()?;
        for (lines, same_boot) in (0..=record.lines()).flat_map(|lines| [(lines, true), (lines, false)]) {
            let what = format!("{} {} cut to {lines} lines, same boot: {same_boot}", record.format, id);
            let bytes = record.cut(lines);
            place(&case, &record, &bytes)?;
            let call = case.call("DEL").env("CNI_CONTAINERID", &id);
            let call = if same_boot { call.wrapped(&boot) } else { call };
            call.run()?.silent().with_context(|| what.clone())?;
            let briefs = case.stubs.log().briefs()?;
            match owed(&bytes, same_boot) {
                OwedCalls::Calls(calls) => {
                    ensure!(briefs == calls, "{what}: {briefs:?}, owed were {calls:?}")
                }
                OwedCalls::Everybody => {
                    aside += 1;
                    let all = BTreeSet::from(["stub-old DEL eth0", "stub-new DEL eth0"]);
                    ensure!(
                        briefs.iter().map(String::as_str).collect::<BTreeSet<_>>() == all,
                        "{what}: {briefs:?}"
                    );
                }
            }
            for call in case.calls()? {
                ensure!(call.var("CNI_CONTAINERID") == id, "{what}: {}", call.var("CNI_CONTAINERID"));
            }
            ensure!(case.records()?.is_empty(), "{what}: the record is still there");
            deleted += 1;
            case.stubs.log().clear()?;
        }
    }
    ensure!(deleted >= 120 && aside >= 30, "{deleted} deleted, {aside} of them unreadable");
    ensure!(set_aside(&case) > 0, "what could not be read is kept");
    Ok(())
}

/// A record stays where it was begun, whatever program goes on with it.
fn a_failed_del_of_a_kept_record_is_retried() -> Result<()> {
    let record = Record::named(TODAY, "both")?;
    let case = Case::attach("old")?;
    place(&case, &record, &record.bytes)?;
    let busy = lab::standin::stub::Reply::fail(11, "busy", "");
    let old = crate::case::stub_old().on_calls("DEL", vec![busy, lab::standin::stub::Reply::silent()]);
    case.stubs.write("stub-old", &old)?;
    let del = case.call("DEL").env("CNI_CONTAINERID", "both");
    del.run()?.refused(11)?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    ensure!(case.records()? == [case.path("state").join(&record.place)], "{:?}", case.records()?);
    case.stubs.log().clear()?;
    del.run()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// The runtime lost the pod; GC has to find the record where its program had it.
fn a_kept_record_is_seen_by_gc() -> Result<()> {
    let mut case = Case::attach("old")?;
    case.shim["cniVersion"] = json!("1.1.0");
    let record = Record::named(TODAY, "both")?;
    place(&case, &record, &record.bytes)?;
    let listed = json!({"cni.dev/valid-attachments": [{"containerID": "both", "ifname": "eth0"}]});
    case.call_with("GC", &listed).run()?.silent()?;
    case.expect_calls(&[])?;
    case.expect_records(1)?;
    case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// Two records of one attachment would be one too many.
fn a_kept_record_refuses_a_second_add() -> Result<()> {
    let case = Case::attach("old")?;
    let record = Record::named(TODAY, "both")?;
    place(&case, &record, &record.bytes)?;
    case.call("ADD").env("CNI_CONTAINERID", "both").run()?.refused(102)?;
    case.expect_calls(&[])?;
    case.expect_records(1)
}

/// The program that comes back after a downgrade finds what it wrote.
fn an_event_of_a_later_program_outlives_a_failed_del() -> Result<()> {
    let record = Record::named("later", "later-event")?;
    let case = Case::attach("old")?;
    place(&case, &record, &record.bytes)?;
    case.stubs.write(
        "stub-new",
        &crate::case::stub_new().on("DEL", lab::standin::stub::Reply::fail(11, "busy", "")),
    )?;
    case.call("DEL").env("CNI_CONTAINERID", "later-event").run()?.refused(11)?;
    case.expect_calls(&["stub-new DEL net1"])?;
    let now = fs::read(case.path("state").join(&record.place))?;
    ensure!(now.starts_with(&record.bytes) && now.len() > record.bytes.len(), "only added to");
    Ok(())
}

/// Every key with the type of its value, in a list's elements too.
fn shape(value: &Value, at: &str, shapes: &mut BTreeSet<String>) {
    match value {
        // Foreign JSON, passed through as it is.
        _ if ["/conf", "/result", "/runtimeConfig"].iter().any(|end| at.ends_with(end)) => {
            shapes.insert(at.to_owned());
        }
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| shape(value, &format!("{at}/{key}"), shapes));
        }
        Value::Array(list) => list.iter().for_each(|value| shape(value, &format!("{at}[]"), shapes)),
        Value::Null => drop(shapes.insert(format!("{at}: null"))),
        Value::Bool(_) => drop(shapes.insert(format!("{at}: boolean"))),
        Value::Number(_) => drop(shapes.insert(format!("{at}: number"))),
        Value::String(_) => drop(shapes.insert(format!("{at}: string"))),
    }
}

fn shapes(bytes: &[u8]) -> Result<Vec<BTreeSet<String>>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| {
            let mut shapes = BTreeSet::new();
            shape(&json_of(line).context("a whole line")?, "", &mut shapes);
            ensure!(line.get(16) == Some(&b' '), "sixteen digits: {}", String::from_utf8_lossy(line));
            Ok(shapes)
        })
        .collect()
}

/// Keys that came later and that earlier programs pass over, each with its file. An older kernel may have no such value.
const LATER_KEYS: [(&str, &str); 1] = [("format-1-netns-cookie.lines", "/netnsCookie: number")];

/// A change of the written form keeps the old shape as a file, and names the new one here.
fn what_is_written_today_has_the_shape_of_the_files() -> Result<()> {
    let record = Record::named(TODAY, "both")?;
    let case = Case::attach("both")?;
    let output = json!({"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
    for (network, name, kind) in [("old", "oldnet", "stub-old"), ("new", "newnet", "stub-new")] {
        let capabilities = json!({"portMappings": network == "old"});
        let plugins = json!([{"type": kind, "capabilities": capabilities}]);
        case.write_conf(network, &json!({"cniVersion": "1.0.0", "name": name, "plugins": plugins}))?;
    }
    case.call_with("ADD", &output).env("CNI_CONTAINERID", "both").run()?.result()?;
    let written = case.path("state").join(&record.place);
    let bytes = fs::read(&written).with_context(|| format!("{} is not where it was", written.display()))?;
    let (mut today, kept) = (shapes(&bytes)?, shapes(&record.bytes)?);
    for (file, key) in LATER_KEYS {
        let path = lab::build::dist::workspace().join("shim/tests/records").join(file);
        let named = shapes(&fs::read(&path).with_context(|| format!("read {}", path.display()))?)?;
        ensure!(named.iter().any(|line| line.contains(key)), "{file} does not have {key}");
        today.iter_mut().for_each(|line| line.retain(|line_key| line_key != key));
    }
    ensure!(today == kept, "the format changed without a new file:\n{today:#?}\nthe file:\n{kept:#?}");
    Ok(())
}
