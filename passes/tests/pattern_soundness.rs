//! Detected patterns hold every entry of the derivatives that forward and reverse mode compute, on random programs.
//!
//! `SPADINA_CASES=20000 SPADINA_SEED=0 cargo test --release -p spadina-passes --test pattern_soundness` runs a long one.

use spadina_ir::func::{Buffer, Func, Plane, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_passes::ad::reverse::Weights;
use spadina_passes::analysis::pattern::csr::Pattern;
use spadina_passes::analysis::pattern::detect::{Scope, hessian, jacobian};
use spadina_passes::pipeline;
use spadina_testkit::case::Case;
use spadina_testkit::generate::{Config, generate};
use spadina_testkit::rng::Rng;
use spadina_testkit::shrink::shrink;

const SEEDS: u64 = 120;
/// Draws of the floats for each program.
const DRAWS: usize = 3;

/// Entries of a matrix that are not zero.
type Entries = Vec<(usize, usize)>;

/// The buffer of a program that holds a plane.
fn plane(program: &Func, plane: Plane) -> Option<Buffer> {
    program.buffers.iter().find(|(_, data)| data.plane == plane).map(|(buffer, _)| buffer)
}

/// The nonzeros of the products of a program with all unit vectors. The rows are outputs with their lengths; one without a
/// buffer is zero.
fn nonzeros(program: &Func, inputs: &Bindings, rows: &[(Option<Buffer>, usize)]) -> Entries {
    let mut inputs = inputs.clone();
    let mut directions = Vec::new();
    for &x in &program.columns {
        let dot = plane(program, Plane::Tangent(x)).expect("every unknown has a direction");
        directions.push((dot, inputs.arrays[&x].len()));
    }
    for &(dot, len) in &directions {
        inputs.arrays.insert(dot, ArrayData::F64(vec![0.0; len]));
    }
    let mut entries = Vec::new();
    let mut col = 0;
    for &(dot, len) in &directions {
        for at in 0..len {
            let mut unit = vec![0.0; len];
            unit[at] = 1.0;
            inputs.arrays.insert(dot, ArrayData::F64(unit));
            let outputs = run(program, &inputs).expect("a derivative program runs where its primal does");
            let mut first = 0;
            for &(buffer, len) in rows {
                let products = buffer.map_or(Vec::new(), |buffer| outputs.arrays[&buffer].to_f64());
                let nonzero = |&(_, &product): &(usize, &f64)| product != 0.0 && !product.is_nan();
                entries
                    .extend(products.iter().enumerate().filter(nonzero).map(|(row, _)| (first + row, col)));
                first += len;
            }
            inputs.arrays.insert(dot, ArrayData::F64(vec![0.0; len]));
            col += 1;
        }
    }
    entries
}

/// Other values for everything that is not frozen at prepare.
fn redraw(case: &mut Case, rng: &mut Rng) {
    for (buffer, data) in &mut case.bindings.arrays {
        let range = match case.func.buffers[*buffer].role {
            Role::Var => (-1.5, 1.5),
            Role::Data => (0.5, 1.5),
            Role::Structural | Role::Scratch | Role::Output => continue,
        };
        if let ArrayData::F64(data) = data {
            for x in data {
                *x = rng.float(range.0, range.1);
            }
        }
    }
}

fn holds(pattern: &Pattern, entries: &Entries) -> Result<(), String> {
    match entries.iter().find(|&&(row, col)| !pattern.contains(row, col)) {
        None => Ok(()),
        Some((row, col)) => {
            Err(format!("({row}, {col}) is missing of {} x {}", pattern.nrows, pattern.ncols))
        }
    }
}

fn inside(inner: &Pattern, outer: &Pattern) -> Result<(), String> {
    let entries = (0..inner.nrows).flat_map(|i| inner.row(i).iter().map(move |&j| (i, j as usize))).collect();
    holds(outer, &entries)
}

/// Sizes of what was compared.
#[derive(Default, Debug)]
struct Count {
    cases: usize,
    numeric: usize,
    local: usize,
    global: usize,
}

fn check_jacobian(case: &Case, count: &mut Count) -> Result<(), String> {
    let Ok(program) = pipeline::directional(&case.func) else { return Ok(()) };
    let program = program.func();
    let lengths = run(&case.func, &case.bindings).map_err(|error| error.to_string())?.arrays;
    let rows: Vec<_> =
        case.func.rows.iter().map(|y| (plane(program, Plane::Tangent(*y)), lengths[y].len())).collect();
    let mut rng = Rng::new(5);
    let mut case = case.clone();
    let global = jacobian(&case.func, &case.bindings, Scope::Global).map_err(|error| error.to_string())?;
    for _ in 0..DRAWS {
        let found = nonzeros(program, &case.bindings, &rows);
        holds(&global, &found).map_err(|what| format!("global: {what}"))?;
        let local = jacobian(&case.func, &case.bindings, Scope::Local).map_err(|error| error.to_string())?;
        holds(&local, &found).map_err(|what| format!("local: {what}"))?;
        inside(&local, &global).map_err(|what| format!("local in global: {what}"))?;
        count.numeric += found.len();
        count.local += local.nnz();
        count.global += global.nnz();
        redraw(&mut case, &mut rng);
    }
    count.cases += 1;
    Ok(())
}

/// The tangents of the adjoints of all unknowns.
fn gradient_rows(program: &Func, inputs: &Bindings) -> Vec<(Option<Buffer>, usize)> {
    let row = |x: &Buffer| {
        let bar = plane(program, Plane::Adjoint(*x));
        (bar.and_then(|bar| plane(program, Plane::Tangent(bar))), inputs.arrays[x].len())
    };
    program.columns.iter().map(row).collect()
}

fn check_hessian(case: &Case, count: &mut Count) -> Result<(), String> {
    let Ok(program) = pipeline::hessian_product(&case.func, Weights::Inputs) else { return Ok(()) };
    let program = program.func();
    let lengths = run(&case.func, &case.bindings).map_err(|error| error.to_string())?.arrays;
    let rows = gradient_rows(program, &case.bindings);
    let mut rng = Rng::new(6);
    let mut case = case.clone();
    let global = hessian(&case.func, &case.bindings, Scope::Global).map_err(|error| error.to_string())?;
    for _ in 0..DRAWS {
        let mut inputs = case.bindings.clone();
        for (bar, data) in &program.buffers {
            if let (Plane::Adjoint(y), Role::Data) = (data.plane, data.role) {
                let weights = (0..lengths[&y].len()).map(|_| rng.float(0.5, 1.5)).collect();
                inputs.arrays.insert(bar, ArrayData::F64(weights));
            }
        }
        let found = nonzeros(program, &inputs, &rows);
        holds(&global, &found).map_err(|what| format!("global: {what}"))?;
        let local = hessian(&case.func, &case.bindings, Scope::Local).map_err(|error| error.to_string())?;
        holds(&local, &found).map_err(|what| format!("local: {what}"))?;
        inside(&local, &global).map_err(|what| format!("local in global: {what}"))?;
        count.numeric += found.len();
        count.local += local.nnz();
        count.global += global.nnz();
        redraw(&mut case, &mut rng);
    }
    for i in 0..global.nrows {
        for &j in global.row(i) {
            assert!(global.contains(j as usize, i), "a Hessian is symmetric");
        }
    }
    count.cases += 1;
    Ok(())
}

/// The seeds of the programs.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let first = number("SPADINA_SEED", 0);
    first..first + number("SPADINA_CASES", SEEDS)
}

fn hold(config: &Config, property: fn(&Case, &mut Count) -> Result<(), String>) -> Count {
    let mut count = Count::default();
    for seed in seeds() {
        let case = generate(seed, config);
        if let Err(what) = property(&case, &mut count) {
            let small = shrink(&case, &mut |candidate| property(candidate, &mut Count::default()).is_err());
            let small_what = property(&small, &mut Count::default()).err().unwrap_or_default();
            panic!("seed {seed}: {what}\nshrunk: {small_what}\n{small}");
        }
    }
    count
}

#[test]
fn jacobians_of_random_programs_lie_in_their_patterns() {
    let count = hold(&Config::default(), check_jacobian);
    assert!(count.cases > seeds().count() * 9 / 10, "{count:?}");
    // Soundness alone would hold for full matrices too.
    assert!(count.global < 2 * count.numeric && count.local <= count.global, "{count:?}");
}

#[test]
fn hessians_of_random_programs_lie_in_their_patterns() {
    let count = hold(&Config::default(), check_hessian);
    assert!(count.cases > seeds().count() / 2, "{count:?}");
    assert!(count.global < 2 * count.numeric && count.local <= count.global, "{count:?}");
}

/// Elements of many unknowns, in inner loops.
#[test]
fn hessians_of_wide_elements_lie_in_their_patterns() {
    let count = hold(&Config::wide_energy(), check_hessian);
    assert!(count.cases > seeds().count() / 2, "{count:?}");
}

/// The gradient program's Jacobian is the Hessian.
#[test]
fn patterns_of_gradient_programs_hold_the_hessian() {
    let mut compared = 0;
    for seed in seeds() {
        let case = generate(seed, &Config { residual: Some(false), ..Config::default() });
        let Ok(gradient) = pipeline::gradient(&case.func, Weights::One) else { continue };
        let Ok(product) = pipeline::hessian_product(&case.func, Weights::One) else { continue };
        let Ok(pattern) = jacobian(gradient.func(), &case.bindings, Scope::Global) else { continue };
        let found = nonzeros(product.func(), &case.bindings, &gradient_rows(product.func(), &case.bindings));
        assert_eq!(holds(&pattern, &found), Ok(()), "seed {seed}\n{case}");
        compared += 1;
    }
    assert!(compared > seeds().count() / 2, "{compared}");
}
