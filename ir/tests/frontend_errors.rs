//! What people are told: every message of the front end, as snapshots beside their sources.
//!
//! `SPADINA_BLESS=1 cargo test -p spadina-ir --test frontend_errors` rewrites them; read the difference.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::format_push_string, reason = "helpers of tests")]

use spadina_ir::frontend::compile::compile;
use spadina_ir::span::SourceFile;
use std::fmt::Write as _;
use std::path::Path;

fn rendered(name: &str, text: &str) -> String {
    let file = SourceFile::new(name, text);
    let program = compile(text);
    let mut out = String::new();
    for diagnostic in &program.diagnostics {
        let _ = writeln!(out, "{diagnostic}");
        for (span, label) in &diagnostic.labels {
            let (line, column) = file.line_col(span.start);
            let code = span.slice(text).lines().next().unwrap_or("");
            let _ = writeln!(out, "  {line}:{column} `{code}` {label}");
        }
        for help in &diagnostic.help {
            let _ = writeln!(out, "  help: {help}");
        }
        if let Some(patch) = &diagnostic.patch {
            let _ = writeln!(out, "  patch: `{}` -> `{}`", patch.span.slice(text), patch.replacement);
        }
        assert!(!diagnostic.labels.is_empty(), "{diagnostic} has no place");
        assert!(!diagnostic.help.is_empty(), "{diagnostic} has no help");
    }
    for kernel in &program.kernels {
        let _ = writeln!(out, "lowered: {}", kernel.name);
    }
    out
}

#[test]
fn messages_are_as_they_were_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frontend_errors");
    let mut sources: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ir"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty());
    let bless = std::env::var_os("SPADINA_BLESS").is_some();
    for source in sources {
        let name = source.file_name().unwrap().to_str().unwrap();
        let found = rendered(name, &std::fs::read_to_string(&source).unwrap());
        let snapshot = source.with_extension("txt");
        if bless {
            std::fs::write(&snapshot, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&snapshot).unwrap_or_default();
        assert_eq!(found, wanted, "{name}: set SPADINA_BLESS=1 to rewrite");
    }
}
