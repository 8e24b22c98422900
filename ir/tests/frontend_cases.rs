//! Every case of `../shared/cases`, written as a kernel in `tests/cases`, gives its reference values in the interpreter.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::format_push_string, reason = "helpers of tests")]

use spadina_ir::diag::Diagnostic;
use spadina_ir::frontend::compile::compile;
use spadina_ir::frontend::program::Kernel;
use spadina_ir::interp::{ArrayData, Bindings, infer_sizes, run};
use spadina_ir::verify::verify;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Relative tolerance of values, from the README of the cases.
const VALUE_TOLERANCE: f64 = 1e-12;
/// The same for the larger inputs, whose long sums round in another order than the reference's.
const MEDIUM_TOLERANCE: f64 = 1e-11;
/// Tolerance of residuals relative to the largest entry, from the README of the cases.
const RESIDUAL_TOLERANCE: f64 = 1e-10;

/// A little-endian C-order `.npy` of `<f8` or `<i8`: shape and data.
fn read_npy(path: &Path) -> Option<(Vec<i64>, ArrayData)> {
    let bytes = std::fs::read(path).ok()?;
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    assert!(bytes[6] == 1 && header.contains("'fortran_order': False"), "{}", path.display());
    let shape = header.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let words = bytes[10 + length..].chunks_exact(8).map(|word| <[u8; 8]>::try_from(word).unwrap());
    let data = if header.contains("<f8") {
        ArrayData::F64(words.map(f64::from_le_bytes).collect())
    } else {
        assert!(header.contains("<i8"), "{}", path.display());
        ArrayData::Int(words.map(i64::from_le_bytes).collect())
    };
    Some((shape, data))
}

fn render(text: &str, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out += &format!("{diagnostic}\n");
        for (span, label) in &diagnostic.labels {
            out += &format!("    `{}`: {label}\n", span.slice(text));
        }
        for help in &diagnostic.help {
            out += &format!("    help: {help}\n");
        }
    }
    out
}

fn kernel_of(name: &str) -> Kernel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/cases/{name}.ir"));
    let text = std::fs::read_to_string(&path).unwrap();
    let program = compile(&text);
    assert!(program.diagnostics.is_empty(), "{name}:\n{}", render(&text, &program.diagnostics));
    let kernel = program.kernels.into_iter().next().unwrap();
    let violations = verify(&kernel.func);
    assert!(violations.is_empty(), "{name}: {violations:?}\n{}", spadina_ir::text::print(&kernel.func));
    kernel
}

/// Runs the kernel on a case folder, with variables of the second point if there are any; all results in one vector.
fn evaluate(kernel: &Kernel, case: &Path, alt: bool) -> Vec<f64> {
    let mut bindings = Bindings::default();
    let mut shapes = BTreeMap::new();
    for param in &kernel.params {
        let buffer = param.buffers[0];
        let second = case.join(format!("alt/var_{}.npy", param.name));
        let first = case.join(format!("inputs/{}.npy", param.name));
        let path = if alt && param.is_var { second } else { first };
        let (shape, data) = read_npy(&path).unwrap_or_else(|| panic!("{} is missing", path.display()));
        shapes.insert(buffer, shape);
        bindings.arrays.insert(buffer, data);
    }
    bindings.sizes = infer_sizes(&kernel.func, &shapes).unwrap();
    let outputs = run(&kernel.func, &bindings).unwrap();
    kernel.results.iter().flat_map(|result| outputs.arrays[&result.buffer].to_f64()).collect()
}

fn agree(name: &str, what: &str, found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len(), "{name} {what}");
    let scale = wanted.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
    for (at, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{name} {what} [{at}]: {a} against {b}");
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name)
}

#[test]
fn cases_give_their_reference_values() {
    let cases = folder("cases");
    if !cases.is_dir() {
        eprintln!("skipped: ../shared/cases is not beside the checkout");
        return;
    }
    let mut names: Vec<String> =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "ir"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
    names.sort();
    assert_eq!(names.len(), 27);
    for name in names {
        let case = cases.join(&name);
        let kernel = kernel_of(&name);
        for (alt, folder) in [(false, "ref"), (true, "alt")] {
            let found = evaluate(&kernel, &case, alt);
            if let Some((_, value)) = read_npy(&case.join(folder).join("value.npy")) {
                agree(&name, folder, &found, &value.to_f64(), VALUE_TOLERANCE);
            } else {
                let (_, residual) = read_npy(&case.join(folder).join("residual.npy")).unwrap();
                agree(&name, folder, &found, &residual.to_f64(), RESIDUAL_TOLERANCE);
            }
        }
    }
}

#[test]
fn medium_cases_give_their_reference_values() {
    let Ok(entries) = std::fs::read_dir(folder("cases_medium")) else {
        eprintln!("skipped: ../shared/cases_medium is not beside the checkout");
        return;
    };
    for entry in entries {
        let case = entry.unwrap().path();
        let Ok(json) = std::fs::read_to_string(case.join("case.json")) else { continue };
        // The first name is that of the program.
        let name = json.split("\"name\": \"").nth(1).unwrap().split('"').next().unwrap();
        let kernel = kernel_of(name);
        let found = evaluate(&kernel, &case, false);
        if let Some((_, value)) = read_npy(&case.join("ref/value.npy")) {
            agree(name, "medium", &found, &value.to_f64(), MEDIUM_TOLERANCE);
        } else {
            let (_, residual) = read_npy(&case.join("ref/residual.npy")).unwrap();
            agree(name, "medium", &found, &residual.to_f64(), RESIDUAL_TOLERANCE);
        }
    }
}

#[test]
fn kernels_of_the_language_description_lower_and_verify() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frontend_kernels");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let program = compile(&text);
        assert!(
            program.diagnostics.is_empty(),
            "{}:\n{}",
            path.display(),
            render(&text, &program.diagnostics)
        );
        for kernel in &program.kernels {
            let violations = verify(&kernel.func);
            assert!(violations.is_empty(), "{}: {violations:?}", path.display());
        }
    }
}
