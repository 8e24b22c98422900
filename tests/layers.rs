//! The layers of the workspace: reads every manifest and fails on an arrow between crates that is not drawn in the house plan.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Crate, folder, what it may depend on, and what its tests may use besides.
const ALLOWED: &[(&str, &str, &[&str], &[&str])] = &[
    ("layout", "layout", &[], &[]),
    ("coloring", "coloring", &[], &[]),
    ("io", "io", &[], &[]),
    ("ir", "ir", &[], &[]),
    ("runtime", "runtime", &["layout", "coloring"], &[]),
    ("passes", "passes", &["ir"], &["testkit"]),
    ("codegen", "codegen", &["ir", "layout"], &["passes", "testkit"]),
    ("testkit", "testkit", &["ir"], &["passes", "codegen", "layout", "runtime"]),
    ("spadina", ".", &["ir", "passes", "codegen", "runtime", "io", "layout", "coloring"], &["testkit"]),
];

/// The crates of this workspace that a section of a manifest names.
fn arrows(manifest: &str, section: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let name = header.trim_start_matches('[').trim_end_matches(']');
            inside = name == section;
            // `[dependencies.spadina-ir]`
            let nested = name.strip_prefix(section).and_then(|rest| rest.strip_prefix(".spadina-"));
            found.extend(nested.map(str::to_owned));
        } else if inside && let Some(rest) = line.strip_prefix("spadina-") {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            found.insert(name);
        } else if inside && line.starts_with("spadina ") {
            found.insert("spadina".to_owned());
        }
    }
    found
}

fn manifest(folder: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("Cargo.toml");
    fs::read_to_string(path).unwrap()
}

#[test]
fn no_arrow_leaves_the_plan() {
    let mut wrong = Vec::new();
    for (name, folder, below, tests) in ALLOWED {
        let text = manifest(folder);
        let sections = [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];
        for (section, dev) in sections {
            for arrow in arrows(&text, section) {
                let legal = below.contains(&arrow.as_str()) || (dev && tests.contains(&arrow.as_str()));
                if !legal {
                    wrong.push(format!("{name} -> {arrow} ({section})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that are not in the plan: {wrong:?}");
}

#[test]
fn every_member_of_the_workspace_has_a_floor() {
    let text = manifest(".");
    let line = text.lines().find(|line| line.starts_with("members")).unwrap();
    let members: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    for member in members {
        assert!(ALLOWED.iter().any(|(_, folder, ..)| *folder == member), "`{member}` has no floor");
    }
}

#[test]
fn library_roots_define_nothing() {
    for (name, folder, ..) in ALLOWED {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src/lib.rs");
        let text = fs::read_to_string(path).unwrap();
        let code = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//"));
        for line in code {
            let declares = ["pub mod", "mod ", "#![", "#[", "extern crate"];
            assert!(declares.iter().any(|d| line.starts_with(d)), "{name}: lib.rs defines something: {line}");
        }
    }
}
