//! The page in a browser: on a phone and on a desk, light and dark, and printed. A page around it, which the test writes, has it in frames and measures them.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::kept::{KeptRun, in_dir};
use crate::run::stderr;

/// A browser. In CI it must be there: `tests/setup browser` installs it.
fn browser() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let name = names.into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    if name.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no browser: tests/setup browser");
        eprintln!("not run: no browser; tests/setup browser installs one");
    }
    name
}

fn browse(program: &str, dir: &Path, words: &[&str], page: &str) -> Output {
    let mut command = Command::new(program);
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    // In namespaces of its own the browser could not start here as root; it opens pages of this test alone.
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--allow-file-access-from-files",
    ]);
    let output = command
        .arg(profile)
        .args(words)
        .arg(format!("file://{}", dir.join(page).display()))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

/// Frames of both widths in both schemes. In each: how far the page is wider than the frame, what it has loaded, its scripts, and the worst contrast of text.
const FRAMES: &str = r#"<!doctype html><meta charset="utf-8"><body><pre id="result"></pre><script>
const results = [];
const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const color = text => (text.match(/[\d.]+/g) || []).map(Number);
function measure(frame, width, scheme) {
  const page = frame.contentDocument, view = frame.contentWindow;
  const back = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = color(view.getComputedStyle(e).backgroundColor);
      if (c.length && (c.length === 3 || c[3] === 1)) return c;
    }
    return [255, 255, 255];
  };
  let worst = 99, of = "";
  for (const element of page.querySelectorAll("body *")) {
    if (![...element.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || element.closest("svg")) continue;
    const [a, b] = [luminance(color(view.getComputedStyle(element).color)), luminance(back(element))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < worst) { worst = contrast; of = element.tagName; }
  }
  results.push({
    width, scheme, over: page.documentElement.scrollWidth - page.documentElement.clientWidth, inner: view.innerWidth,
    loaded: view.performance.getEntriesByType("resource").length, scripts: page.scripts.length, images: page.images.length,
    worst, of, back: view.getComputedStyle(page.body).backgroundColor, text: page.body.innerText.length,
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches, bars: page.querySelectorAll("svg rect").length,
    drawn: Math.min(...[...page.querySelectorAll(".track svg")].map(svg => svg.getBoundingClientRect().width)),
    hostile: page.body.innerText.includes("<img src="),
  });
}
onload = () => {
  for (const frame of document.querySelectorAll("iframe")) measure(frame, +frame.dataset.width, frame.dataset.scheme);
  document.getElementById("result").textContent = JSON.stringify(results);
};
</script>
FRAMES</body>"#;

#[test]
fn the_page_is_read_on_a_phone_and_on_a_desk_in_both_schemes_and_loads_nothing() {
    let Some(program) = browser() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("no waiting");
    let port = listener.local_addr().expect("an address").port();
    let hostile = format!(
        "<img src=http://127.0.0.1:{port}/x onerror=alert(1)></title></style><script src=http://127.0.0.1:{port}/y></script>{}",
        "w".repeat(300)
    );
    let kept = KeptRun::new(&hostile);
    let output = kept.call(&["report", "--out", "page.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let frame = |(width, scheme): (u32, &str)| {
        format!(
            r#"<iframe src="page.html" data-width="{width}" data-scheme="{scheme}" style="width:{width}px;height:800px;border:0;color-scheme:{scheme}"></iframe>"#
        )
    };
    let frames: String = [(375, "light"), (375, "dark"), (1280, "light"), (1280, "dark")].map(frame).concat();
    in_dir(kept.dir.path(), "frames.html", &FRAMES.replace("FRAMES", &frames));
    let output = browse(program, kept.dir.path(), &["--dump-dom", "--window-size=1400,900"], "frames.html");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = dom
        .split("<pre id=\"result\">")
        .nth(1)
        .and_then(|rest| rest.split("</pre>").next())
        .expect("a result");
    let result = result.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let results: Vec<Value> = serde_json::from_str(&result).unwrap_or_else(|e| panic!("{e}: {result}"));
    assert_eq!(results.len(), 4, "{result}");
    for seen in &results {
        assert_eq!(seen["inner"], seen["width"], "the frame is the viewport: {seen}");
        assert_eq!(seen["dark"], seen["scheme"] == "dark", "{seen}");
        assert_eq!(seen["over"], 0, "it scrolls to the side: {seen}");
        assert_eq!(
            (&seen["loaded"], &seen["scripts"], &seen["images"]),
            (&0.into(), &0.into(), &0.into()),
            "{seen}"
        );
        assert!(seen["worst"].as_f64().is_some_and(|worst| worst >= 4.5), "WCAG 2.2, 1.4.3: {seen}");
        assert!(seen["text"].as_u64().is_some_and(|length| length > 2_000), "{seen}");
        assert!(seen["bars"].as_u64().is_some_and(|bars| bars > 48 * 5), "{seen}");
        assert!(seen["drawn"].as_f64().is_some_and(|width| width > 300.0), "{seen}");
        assert_eq!(seen["hostile"], true, "a name is text: {seen}");
    }
    assert_ne!(results[0]["back"], results[1]["back"], "both schemes are the same");
    let connection = listener.accept().map_err(|e| e.kind());
    assert!(matches!(connection, Err(ErrorKind::WouldBlock)), "{connection:?}");
}

#[test]
fn the_page_prints() {
    let Some(program) = browser() else { return };
    let kept = KeptRun::new("edge-1");
    assert_eq!(kept.call(&["report", "--out", "page.html"]).status.code(), Some(0));
    let pdf = kept.dir.path().join("page.pdf");
    let print = format!("--print-to-pdf={}", pdf.display());
    browse(program, kept.dir.path(), &[&print, "--no-pdf-header-footer"], "page.html");
    let bytes = std::fs::read(pdf).expect("a document");
    assert!(bytes.starts_with(b"%PDF-"));
    let is_page = |at: &[u8]| at.starts_with(b"/Type /Page\n") || at.starts_with(b"/Type /Page ");
    let pages = (0..bytes.len()).filter(|at| is_page(&bytes[*at..])).count();
    assert!((2..=12).contains(&pages), "{pages} pages");
}
