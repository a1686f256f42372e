//! The rules, one function each.

use super::tree::Tree;

pub struct Rule {
    pub name: &'static str,
    pub check: fn(&Tree) -> Vec<String>,
    /// (path, text) each of which the rule must complain of; `+` in front adds to the file.
    pub planted: &'static [(&'static str, &'static str)],
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "cores are pure",
        check: cores_are_pure,
        planted: &[
            ("base/src/planted.rs", "//! Core: planted.\nasync fn driver() {}\n"),
            ("proxy/src/planted.rs", "//! Core: planted.\nuse base::io::Stream;\n"),
            ("ring/src/planted.rs", "//! Core: planted.\nfn now() { std::time::SystemTime::now(); }\n"),
        ],
    },
    Rule {
        name: "only the door names a runtime",
        check: runtime_behind_the_door,
        planted: &[
            ("objectd/src/planted.rs", "//! Planted.\nuse monoio::net::TcpStream;\n"),
            ("proxy/src/planted.rs", "//! Planted.\nuse std::net::TcpStream;\n"),
            ("objectd/src/planted.rs", "//! Planted.\nfn f() { std::fs::read(\"x\"); }\n"),
            ("base/src/http/planted.rs", "//! Planted.\nuse heed::Env;\n"),
        ],
    },
    Rule {
        name: "unsafe only behind the door",
        check: unsafe_behind_the_door,
        planted: &[
            ("proxy/src/planted.rs", "//! Planted.\nfn f() { unsafe { g() } }\n"),
            ("base/src/checksum/planted.rs", "//! Planted.\nfn f() { unsafe { g() } }\n"),
        ],
    },
    Rule {
        name: "every file opens with its story",
        check: module_docs,
        planted: &[("ring/src/planted.rs", "fn nothing_said() {}\n")],
    },
    Rule { name: "files keep a readable size", check: sizes, planted: &[("base/src/planted.rs", LONG_FILE)] },
    Rule {
        name: "documents name paths that exist",
        check: paths_in_documents,
        planted: &[("docs/planted.md", "See `proxy/src/no_such_file.rs`.\n")],
    },
    Rule {
        name: "formats are drawn alike in code and document",
        check: drawings_of_formats,
        planted: &[
            (
                "objectd/src/planted.rs",
                "//! Core: planted.\n//!\n//! ```text\n//! | other |\n//! ```\n//! docs/formats/volume.md\n",
            ),
            ("docs/formats/volume.md", "Nothing is drawn.\n"),
        ],
    },
    Rule {
        name: "crates depend downwards",
        check: crate_directions,
        planted: &[
            ("proxy/Cargo.toml", "+\nobjectd.workspace = true\n"),
            ("objectd/Cargo.toml", "+\nproxy.workspace = true\n"),
            ("ring/Cargo.toml", "+\nbase.workspace = true\n"),
            ("base/Cargo.toml", "+\nring.workspace = true\n"),
        ],
    },
    Rule {
        name: "documents name tests that exist",
        check: tests_in_documents,
        planted: &[("docs/planted.md", "Shown by `cve_1999_0001_no_such_test`.\n")],
    },
    Rule {
        name: "no drawer without a noun",
        check: no_drawers,
        planted: &[("base/src/utils.rs", "//! Planted.\n"), ("proxy/src/helpers/mod.rs", "//! Planted.\n")],
    },
];

/// 801 lines, made at compile time to keep this file short.
const LONG_FILE: &str = match std::str::from_utf8(&LONG_BYTES) {
    Ok(text) => text,
    Err(_) => panic!("ASCII"),
};
const LONG_BYTES: [u8; 801 * 4] = {
    let mut bytes = [b'/'; 801 * 4];
    let mut line = 0;
    while line < 801 {
        bytes[line * 4 + 2] = b'!';
        bytes[line * 4 + 3] = b'\n';
        line += 1;
    }
    bytes
};

/// The code of a file without comments, strings of documentation and its tests.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text.get(..end).unwrap_or(text).lines();
    lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Sources that ship: no tests, no tests' folders.
fn shipped(tree: &Tree) -> impl Iterator<Item = (&str, String)> {
    let crates = ["base/src/", "ring/src/", "proxy/src/", "objectd/src/"];
    crates
        .into_iter()
        .flat_map(|under| tree.sources(under))
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| (path, code(text)))
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("_tests.rs") || path.contains("/testing/")
}

fn cores_are_pure(tree: &Tree) -> Vec<String> {
    let banned = [
        "async fn",
        ".await",
        "io::spawn",
        "base::io",
        "crate::io",
        "SystemTime",
        "std::fs",
        "std::net::Tcp",
        "std::thread",
        "monoio",
    ];
    // A core may speak of key-value transactions: they are handed to it, and the simulator's are maps.
    let allowed = ["io::kv", "io::Instant", "std::io"];
    let mut complaints = Vec::new();
    for (path, text) in
        tree.all().filter(|(path, text)| path.ends_with(".rs") && text.starts_with("//! Core:") && !is_test(path))
    {
        for line in code(text).lines() {
            let line = allowed.iter().fold(line.to_owned(), |line, word| {
                line.replace(&format!("base::{word}"), "").replace(&format!("crate::{word}"), "")
            });
            complaints.extend(
                banned
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{path} is a core and says `{word}`")),
            );
        }
    }
    complaints
}

fn runtime_behind_the_door(tree: &Tree) -> Vec<String> {
    let banned = [
        "monoio",
        "glommio",
        "io_uring",
        "heed::",
        "libc::",
        "std::fs::",
        "std::net::TcpStream",
        "std::net::TcpListener",
        "std::thread::",
    ];
    let mut complaints = Vec::new();
    for (path, text) in shipped(tree).filter(|(path, _)| !path.starts_with("base/src/io/")) {
        complaints
            .extend(banned.iter().filter(|word| text.contains(**word)).map(|word| format!("{path} says `{word}`")));
    }
    complaints
}

/// Cores that ask nobody outside, only the processor for what it may lack: docs/decisions/0016-wide-registers.md.
const UNSAFE_CORES: &[&str] = &["base/src/checksum/crc32c_folds.rs"];

fn unsafe_behind_the_door(tree: &Tree) -> Vec<String> {
    let bad = |text: &str| text.contains("unsafe {") || text.contains("unsafe fn") || text.contains("unsafe impl");
    let sources = tree.all().filter(|(path, _)| {
        let is_allowed = path.starts_with("base/src/io/") || UNSAFE_CORES.contains(path);
        path.ends_with(".rs") && !is_allowed && !path.starts_with("tools/tests/tidy")
    });
    sources.filter(|(_, text)| bad(&code(text))).map(|(path, _)| format!("{path} says `unsafe`")).collect()
}

fn module_docs(tree: &Tree) -> Vec<String> {
    let sources = tree.all().filter(|(path, _)| path.ends_with(".rs"));
    sources
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| format!("{path} does not start with `//! `"))
        .collect()
}

fn sizes(tree: &Tree) -> Vec<String> {
    let sources = tree.all().filter(|(path, _)| path.ends_with(".rs"));
    let long = sources.filter(|(_, text)| {
        text.lines().count() > 800 && !text.lines().take(20).any(|line| line.contains("one thing"))
    });
    long.map(|(path, text)| {
        format!("{path} has {} lines: split it, or say at the top why it is one thing", text.lines().count())
    })
    .collect()
}

fn paths_in_documents(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in tree.all().filter(|(path, _)| path.ends_with(".md")) {
        for word in text.split('`').skip(1).step_by(2) {
            let crates = ["base/", "ring/", "proxy/", "objectd/", "tools/", "bench/", "docs/", ".ci/"];
            let plain = !word.contains(|c: char| c.is_whitespace() || "*<>{}$…".contains(c));
            if plain && crates.iter().any(|start| word.starts_with(start)) && !tree.exists(word) {
                complaints.push(format!("{path} names `{word}`, which is not there"));
            }
        }
    }
    complaints
}

/// What a file's story draws and says to be in a document of `docs/formats/` is there, line by line.
fn drawings_of_formats(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in tree.all().filter(|(path, _)| path.ends_with(".rs") && !path.starts_with("tools/tests/tidy")) {
        let story: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let story = story.join("\n");
        let Some((_, rest)) = story.split_once("docs/formats/") else { continue };
        let name = rest.split_once(".md").map_or(rest, |(name, _)| name);
        let document = tree.files.get(&format!("docs/formats/{name}.md")).map(String::as_str).unwrap_or_default();
        let drawn: Vec<&str> = document.lines().map(str::trim).collect();
        let drawing = story.split("```").skip(1).step_by(2).flat_map(|block| block.lines().skip(1));
        complaints.extend(
            drawing
                .filter(|line| !drawn.contains(&line.trim()))
                .map(|line| format!("{path} draws `{}`, docs/formats/{name}.md does not", line.trim())),
        );
    }
    complaints
}

fn crate_directions(tree: &Tree) -> Vec<String> {
    let may_use: [(&str, &[&str]); 5] = [
        ("base", &[]),
        ("ring", &[]),
        ("proxy", &["base", "ring"]),
        ("objectd", &["base", "ring"]),
        ("bench", &["base"]),
    ];
    let ours = ["base", "ring", "proxy", "objectd", "tools", "bench"];
    let mut complaints = Vec::new();
    for (name, allowed) in may_use {
        let manifest = tree.files.get(&format!("{name}/Cargo.toml")).map(String::as_str).unwrap_or_default();
        for line in manifest.lines() {
            let used = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if ours.contains(&used) && !allowed.contains(&used) && line.contains("workspace") {
                complaints.push(format!("{name} depends on {used}"));
            }
        }
    }
    complaints
}

fn no_drawers(tree: &Tree) -> Vec<String> {
    let drawers = ["utils", "util", "helpers", "common", "misc"];
    let is_drawer = |path: &str| path.split('/').any(|part| drawers.contains(&part.trim_end_matches(".rs")));
    tree.all()
        .filter(|(path, _)| path.ends_with(".rs") && is_drawer(path))
        .map(|(path, _)| format!("{path}: name the noun"))
        .collect()
}

/// A mistake of the past that a document calls impossible has its test.
fn tests_in_documents(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in tree.all().filter(|(path, _)| path.starts_with("docs/")) {
        let named = text.split('`').filter(|word| word.starts_with("cve_"));
        for name in named {
            let function = format!("fn {name}()");
            if !tree.all().any(|(path, text)| path.ends_with(".rs") && text.contains(&function)) {
                complaints.push(format!("{path}: no test is called `{name}`"));
            }
        }
    }
    complaints
}
