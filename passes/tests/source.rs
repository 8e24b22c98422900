//! Random programs written as kernels: the front end compiles them to what they were, and their text reads back as it was printed.
//!
//! `SPADINA_CASES=200000 SPADINA_SEED=0 cargo test --release -p spadina-passes --test source` runs a long one.
#![allow(clippy::unwrap_used)]

use spadina_ir::diag::Diagnostic;
use spadina_ir::frontend::compile::compile;
use spadina_ir::frontend::parser::parse;
use spadina_ir::frontend::pretty::print_file;
use spadina_ir::interp::Bindings;
use spadina_ir::verify::verify;
use spadina_testkit::case::Case;
use spadina_testkit::check::same_outputs;
use spadina_testkit::generate::{Config, generate};
use spadina_testkit::source::source;

/// Operations are the same; only sums may be split otherwise.
const REORDERED: f64 = 1e-12;

/// What the language refuses of legal programs: subscripts that are in range for a reason it does not see.
const REFUSED: [&str; 2] = ["axis-mismatch", "out-of-range"];

/// Whether there was a text to check.
fn check(case: &Case) -> Result<bool, String> {
    let Some(text) = source(&case.func) else { return Ok(false) };
    let (file, _) = parse(&text);
    let printed = print_file(&file);
    let (again, errors) = parse(&printed);
    if !errors.is_empty() || print_file(&again) != printed {
        return Err(format!("the text changes when it is read and printed:\n{text}\n{printed}"));
    }
    let program = compile(&text);
    let errors: Vec<&Diagnostic> = program.diagnostics.iter().filter(|d| d.is_error()).collect();
    if errors.iter().any(|e| !REFUSED.contains(&e.code)) {
        return Err(format!("{errors:?}\n{text}"));
    }
    if !errors.is_empty() {
        return Ok(false);
    }
    let func = program.kernels.into_iter().next().ok_or("no kernel")?.func;
    let violations: Vec<String> = verify(&func).iter().map(ToString::to_string).collect();
    if !violations.is_empty() {
        return Err(format!("{}\n{text}", violations.join("\n")));
    }
    let mut bindings = Bindings::default();
    for (size, name) in &func.sizes {
        let old = case.func.sizes.iter().find(|(_, other)| *other == name).map(|(size, _)| size);
        bindings.sizes.insert(size, case.bindings.sizes[&old.ok_or("another size")?]);
    }
    for (&buffer, array) in &case.bindings.arrays {
        let name = &case.func.buffers[buffer].name;
        let buffer = func.buffer_named(name).ok_or_else(|| format!("`{name}` is lost"))?;
        bindings.arrays.insert(buffer, array.clone());
    }
    let compiled = Case { func, bindings };
    same_outputs(case, &compiled, REORDERED)
        .map_err(|error| format!("{error}\n{text}\n{}", compiled.func))?;
    Ok(true)
}

#[test]
fn kernels_compute_what_they_say() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (count, first) = (number("SPADINA_CASES", 300), number("SPADINA_SEED", 0));
    let configs = [
        Config::default(),
        Config::plain_energy(),
        Config::plain_residual(),
        Config::given_partials(),
        Config::guarded(),
    ];
    let mut checked = 0;
    for seed in first..first.saturating_add(count) {
        let case = generate(seed, &configs[(seed % 5) as usize]);
        match check(&case) {
            Ok(found) => checked += u64::from(found),
            Err(error) => panic!("seed {seed}: {error}\n{case}"),
        }
    }
    assert!(2 * checked > count, "only {checked} of {count} programs could be written");
}
