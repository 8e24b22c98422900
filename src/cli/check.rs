//! `spadina check`: every error of every file; kernels and derivatives verified.

use super::args::CheckArgs;
use super::console;
use spadina::compiler::{Module, read_source};
use spadina::error::Error;
use spadina::options::Derivative;
use spadina_ir::diag::{Diagnostic, Severity};
use spadina_ir::verify::verify;
use std::path::Path;

/// What no road computes: `run` refuses it too.
const ON_NO_ROAD: [&str; 2] = ["no-unknowns", "not-an-energy"];

pub(crate) fn check(args: &CheckArgs) -> Result<(), Error> {
    let mut first: Option<Error> = None;
    for file in &args.files {
        let checked = if file.extension().is_some_and(|e| e == "ssa") { ssa(file) } else { source(file) };
        if let Err(error) = checked {
            // All are shown; the first decides the exit code.
            if let Some(earlier) = first.replace(error) {
                let latest = first.take();
                if let Some(latest) = &latest {
                    console::error(latest);
                }
                first = Some(earlier);
            }
        }
    }
    first.map_or(Ok(()), Err)
}

fn source(file: &Path) -> Result<(), Error> {
    let module = Module::open(file)?;
    if let Some(report) = module.report() {
        console::report(&report);
    }
    if module.kernels().next().is_none() {
        console::print(&format!("{}: no kernel, so there is nothing to differentiate\n", file.display()))?;
    }
    let mut failed: Option<Error> = None;
    for kernel in module.kernels() {
        let mut derivative = kernel.default_derivative();
        let mut derived = kernel.derive(derivative, None);
        if let (Err(Error::Source(report)), true) = (&derived, derivative.has_matrix())
            && !report.diagnostics.iter().any(|d| ON_NO_ROAD.contains(&d.code))
        {
            // `run` would take another road: no error, but worth a warning.
            let mut report = report.clone();
            report.diagnostics.iter_mut().for_each(|d| d.severity = Severity::Warning);
            console::report(&report);
            derivative = if kernel.is_energy() { Derivative::Gradient } else { Derivative::Value };
            derived = kernel.derive(derivative, None);
        }
        match derived {
            Ok(_) => {
                let (file, name) = (file.display(), kernel.name());
                console::print(&format!(
                    "{file}: kernel `{name}` and its {} are sound\n",
                    derivative.name()
                ))?;
            }
            Err(error) => {
                if let Some(earlier) = failed.replace(error) {
                    console::error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

fn ssa(file: &Path) -> Result<(), Error> {
    let text = read_source(file)?;
    let func = spadina_ir::text::parse(&text).map_err(|error| {
        let source = spadina_ir::span::SourceFile::new(file.display().to_string(), text.as_str());
        let diagnostic = Diagnostic::error("ssa-syntax", format!("{}: {error}", file.display()));
        Error::Source(Box::new(spadina::report::Report {
            source: source.into(),
            diagnostics: vec![diagnostic],
        }))
    })?;
    let violations = verify(&func);
    if violations.is_empty() {
        return console::print(&format!("{}: `{}` is sound\n", file.display(), func.name));
    }
    let lines: Vec<String> = violations.iter().map(|v| format!("  {v}")).collect();
    Err(Error::Verification(format!("verification of {} failed:\n{}", file.display(), lines.join("\n"))))
}
