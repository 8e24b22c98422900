//! The documentation holds what it says: commands run, examples compile, every code has a wrong and a right example.
#![allow(clippy::unwrap_used)]

mod common;

use common::{folder, root};
use spadina_ir::diag::Diagnostic;
use spadina_ir::frontend::compile::compile;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Codes that other commands than compiling and deriving give, or whose wrong example is shortened.
const ELSEWHERE: [&str; 7] = [
    "left-to-caller",
    "compressed-matrix",
    "dense-matrix",
    "unknown-example",
    "too-deep",
    "not-finite",
    "unbounded-slope",
];

/// Fenced blocks of a Markdown text: language and contents.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn pages(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(dir)).unwrap();
    let mut pages: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|e| e == "md"));
    pages.sort();
    pages
}

/// Everything that compiling and deriving says.
fn diagnostics(text: &str) -> Vec<Diagnostic> {
    let mut all = compile(text).diagnostics;
    if let Ok(module) = spadina::compiler::Module::from_text("block.ir", text) {
        for kernel in module.kernels() {
            let derivative = kernel.default_derivative();
            if let Err(spadina::error::Error::Source(report)) = kernel.derive(derivative, None) {
                all.extend(report.diagnostics);
            }
        }
    }
    all
}

#[test]
fn the_commands_of_the_readme_run() {
    let dir = folder("readme");
    let examples = dir.join("examples");
    fs::create_dir(&examples).unwrap();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, examples.join(path.file_name().unwrap())).unwrap();
        }
    }
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let mut count = 0;
    for (language, body) in blocks(&text) {
        for line in body.lines().filter(|_| language == "sh") {
            let line = line.split('#').next().unwrap().trim();
            let args = line.strip_prefix("spadina ").or_else(|| line.strip_prefix("cargo run --release -- "));
            let Some(args) = args else { continue };
            let args = args.split_whitespace();
            let output =
                Command::new(env!("CARGO_BIN_EXE_spadina")).args(args).current_dir(&dir).output().unwrap();
            assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
            count += 1;
        }
    }
    assert!(count >= 8, "the README has its tour");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn kernels_in_the_book_compile() {
    let mut count = 0;
    for page in pages("docs").into_iter().chain([root().join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for (language, body) in blocks(&text) {
            let kernel = body.lines().any(|line| line.starts_with("kernel "));
            if kernel && (language == "ir" || language == "rust") {
                let errors: Vec<Diagnostic> =
                    compile(&body).diagnostics.into_iter().filter(Diagnostic::is_error).collect();
                assert!(errors.is_empty(), "{}:\n{body}\n{errors:?}", page.display());
                count += 1;
            }
        }
    }
    assert!(count > 0);
}

#[test]
fn every_code_is_wrong_and_right_as_its_page_says() {
    let mut failures = Vec::new();
    for page in pages("docs/codes") {
        let code = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&page).unwrap();
        let parts = text.split_once("## Wrong").and_then(|(_, rest)| rest.split_once("## Right"));
        let Some((wrong, right)) = parts else { continue };
        for (n, (_, body)) in blocks(wrong).into_iter().filter(|(l, _)| l == "ir").enumerate() {
            let said: BTreeSet<&str> = diagnostics(&body).iter().map(|d| d.code).collect();
            if !said.contains(code.as_str()) && !ELSEWHERE.contains(&code.as_str()) {
                failures.push(format!("{code}: wrong example {n} gives {said:?}"));
            }
        }
        for (n, (_, body)) in blocks(right).into_iter().filter(|(l, _)| l == "ir").enumerate() {
            let said: Vec<&str> = diagnostics(&body).iter().map(|d| d.code).collect();
            if !said.is_empty() {
                failures.push(format!("{code}: right example {n} gives {said:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_page_of_a_code_is_explained_by_the_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_spadina")).arg("explain").output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let mut pages: Vec<String> =
        pages("docs/codes").iter().map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    pages.sort();
    assert_eq!(listed.lines().collect::<Vec<_>>(), pages, "src/cli/codes.rs lists the files of docs/codes");
    let explain =
        |code: &str| Command::new(env!("CARGO_BIN_EXE_spadina")).args(["explain", code]).output().unwrap();
    assert!(explain(&pages[0]).status.success());
    assert_eq!(explain("no-such-code").status.code(), Some(2));
}

/// Every file below a folder with this ending.
fn files(dir: PathBuf, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

/// The codes of the diagnostics that a source makes, outside of its own tests.
fn codes(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let mut found = Vec::new();
    for kind in ["Diagnostic::error(", "Diagnostic::warning(", "Diagnostic::note("] {
        let quoted = text.split(kind).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
        found.extend(quoted.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    found
}

#[test]
fn every_code_of_the_sources_has_a_page_and_a_test() {
    let mut sources = Vec::new();
    for part in ["ir/src", "passes/src", "codegen/src", "src"] {
        files(root().join(part), "rs", &mut sources);
    }
    let made: BTreeSet<String> =
        sources.iter().flat_map(|path| codes(&fs::read_to_string(path).unwrap())).collect();
    assert!(made.len() > 40, "{made:?}");
    for code in &made {
        assert!(root().join(format!("docs/codes/{code}.md")).is_file(), "`{code}` has no page");
    }
    // Pages are tests of what they say, but for these, which other tests name.
    let mut tests = Vec::new();
    for part in ["ir/tests", "passes/tests", "tests"] {
        files(root().join(part), "rs", &mut tests);
    }
    tests.retain(|path| path.file_name().unwrap() != "docs.rs");
    let tests: String = tests.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let inside: String = sources
        .iter()
        .filter_map(|path| {
            fs::read_to_string(path).unwrap().split_once("#[cfg(test)]").map(|(_, t)| t.to_owned())
        })
        .collect();
    for code in ELSEWHERE {
        assert!(tests.contains(code) || inside.contains(code), "no test names `{code}`");
    }
    let page = fs::read_to_string(root().join("docs/codes/ssa-syntax.md")).unwrap();
    let read: Vec<bool> =
        blocks(&page).iter().map(|(_, body)| spadina_ir::text::parse(body).is_ok()).collect();
    assert_eq!(read, [false, true], "the wrong and the right text");
}
