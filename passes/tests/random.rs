//! Random programs through every road: forward = reverse = difference quotient, structural = dense, every step well-formed.
//!
//! `SPADINA_CASES=200000 SPADINA_SEED=0 cargo test --release -p spadina-passes --test random` runs a long one; `.ci/long` runs
//! everything that takes random programs.

use spadina_ir::func::{Buffer, Func, Inst, InstData, Plane, Role};
use spadina_ir::interp::{ArrayData, Bindings, Outputs, run};
use spadina_ir::types::Ty;
use spadina_ir::verify::verify;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::analysis::structural::Structural;
use spadina_passes::pipeline::{self, Matrix, Sparse, Trace};
use spadina_passes::rewrite::{Rewriter, Visitor};
use spadina_passes::sparse::stages;
use spadina_testkit::case::Case;
use spadina_testkit::generate::{Config, generate};
use spadina_testkit::numeric;
use spadina_testkit::shrink::shrink;

/// Structural against dense: the same partials summed in another order.
const REORDERED: f64 = 1e-9;

fn well_formed(trace: &Trace) -> Result<(), String> {
    for step in trace.steps() {
        let violations = verify(&step.func);
        if !violations.is_empty() {
            let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return Err(format!("after `{}`:\n{}\n{}", step.pass, list.join("\n"), step.func));
        }
    }
    Ok(())
}

fn execute(func: &Func, bindings: &Bindings) -> Result<Outputs, String> {
    run(func, bindings).map_err(|error| format!("`{}` does not run: {error}\n{func}", func.name))
}

/// The dense matrix of block outputs, rows by columns.
fn assemble(func: &Func, outputs: &Outputs, rows: &[(Buffer, usize)], cols: &[(Buffer, usize)]) -> Vec<f64> {
    let (m, n) = (rows.iter().map(|r| r.1).sum::<usize>(), cols.iter().map(|c| c.1).sum::<usize>());
    let mut dense = vec![0.0; m * n];
    for (&buffer, data) in &outputs.arrays {
        let Plane::Block(row, col) = func.buffers[buffer].plane else { continue };
        let owner = match func.buffers[row].plane {
            Plane::Adjoint(of) => of,
            Plane::Primal | Plane::Tangent(_) | Plane::Block(..) => row,
        };
        let at = |list: &[(Buffer, usize)], buffer: Buffer| {
            let mut start = 0;
            for &(b, len) in list {
                if b == buffer {
                    return (start, len);
                }
                start += len;
            }
            panic!("a block of a buffer that is neither row nor column")
        };
        let ((r0, rl), (c0, cl)) = (at(rows, owner), at(cols, col));
        let data = data.to_f64();
        for r in 0..rl {
            for c in 0..cl {
                dense[(r0 + r) * n + c0 + c] += data[r * cl + c];
            }
        }
    }
    dense
}

fn lengths(func: &Func, case: &Case, buffers: &[Buffer]) -> Vec<(Buffer, usize)> {
    let size = |b: Buffer| {
        let sizes = &case.bindings.sizes;
        let dims = &func.buffers[b].dims;
        dims.iter().map(|d| d.eval(&|s| sizes[&s]).expect("small") as usize).product()
    };
    buffers.iter().map(|&b| (b, size(b))).collect()
}

fn same(what: &str, expected: &[f64], found: &[f64]) -> Result<(), String> {
    numeric::compare(expected, found, REORDERED).map_err(|difference| format!("{what}: {difference}"))
}

fn check_sparse(
    what: &str,
    case: &Case,
    sparse: Result<Sparse, spadina_ir::diag::Diagnostic>,
    dense: &[f64],
    refused: &mut Vec<&'static str>,
) -> Result<(), String> {
    let sparse = match sparse {
        Ok(sparse) => sparse,
        Err(diagnostic) => {
            refused.push(diagnostic.code);
            return Ok(());
        }
    };
    well_formed(&sparse.trace)?;
    let violations = verify(&sparse.index);
    if !violations.is_empty() {
        let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
        return Err(format!("{what}: index program:\n{}\n{}", list.join("\n"), sparse.index));
    }
    let outputs = execute(&sparse.eval, &case.bindings)?;
    let stages: Vec<Buffer> = stages::listed(&sparse.eval).collect();
    let stages: usize = lengths(&sparse.eval, case, &stages).iter().map(|s| s.1).sum();
    let found = numeric::without_stages(&numeric::dense(&outputs), stages);
    same(what, dense, &found.entries).map_err(|e| format!("{e}\n{}", sparse.eval))?;
    execute(&sparse.index, &case.bindings)?;
    Ok(())
}

/// A matrix against differences. What disagrees is tried again with smaller steps: a kink or jump between the points of a difference spoils
/// it, and its estimate of its own error.
fn against_differences(
    case: &Case,
    rows: &[Buffer],
    cols: &[Buffer],
    matrix: &[f64],
) -> Result<usize, String> {
    let mut outcome = Ok(0);
    for size in [1.0, 0.02, 0.0005] {
        let differences = numeric::jacobian_with(case, rows, cols, size).map_err(|e| e.to_string())?;
        outcome = numeric::compare_with_estimates(&differences.entries, matrix);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// `walk`: whether the walk is taken too.
fn check(case: &Case, walk: bool) -> Result<Vec<&'static str>, String> {
    let func = &case.func;
    let mut refused = Vec::new();
    let results: Vec<Buffer> = func.buffers_of(Role::Output).collect();
    let (rows, cols) = (lengths(func, case, &results), lengths(func, case, &func.columns));
    let n: usize = cols.iter().map(|c| c.1).sum();
    // First order: dense Jacobian against differences, then everything against it.
    let dense = pipeline::dense(func, Matrix::Jacobian).map_err(|d| d.message)?;
    well_formed(&dense)?;
    let jacobian = assemble(dense.func(), &execute(dense.func(), &case.bindings)?, &rows, &cols);
    against_differences(case, &results, &func.columns, &jacobian)
        .map_err(|e| format!("dense Jacobian against differences: {e}\n{}", dense.func()))?;
    check_sparse("jacobian", case, pipeline::jacobian(func), &jacobian, &mut refused)?;
    if walk {
        let made = pipeline::walk(func, Matrix::Jacobian);
        check_sparse("jacobian walk", case, made, &jacobian, &mut refused)?;
    }
    let gradient = pipeline::gradient(func, Weights::One).map_err(|d| d.message)?;
    well_formed(&gradient)?;
    let outputs = execute(gradient.func(), &case.bindings)?;
    let adjoints: Vec<Buffer> = func.columns.iter().map(|&c| adjoint(gradient.func(), c)).collect();
    let reverse = numeric::concatenated(&outputs, &adjoints);
    let column_sums: Vec<f64> = (0..n).map(|c| jacobian.iter().skip(c).step_by(n.max(1)).sum()).collect();
    same("reverse against forward", &column_sums, &reverse)
        .map_err(|e| format!("{e}\n{}", gradient.func()))?;
    check_directional(case, &jacobian, n)?;
    // Second order.
    let dense = pipeline::dense(func, Matrix::Hessian(Weights::One)).map_err(|d| d.message)?;
    well_formed(&dense)?;
    let hessian = assemble(dense.func(), &execute(dense.func(), &case.bindings)?, &cols, &cols);
    let gradient_case = Case { func: gradient.func().clone(), bindings: case.bindings.clone() };
    against_differences(&gradient_case, &adjoints, &func.columns, &hessian)
        .map_err(|e| format!("dense Hessian against differences: {e}"))?;
    check_sparse("hessian", case, pipeline::hessian(func, Weights::One), &hessian, &mut refused)?;
    check_sparse("sweeps", case, pipeline::hessian_by_sweeps(func, Weights::One), &hessian, &mut refused)?;
    if walk {
        let made = pipeline::walk(func, Matrix::Hessian(Weights::One));
        check_sparse("hessian walk", case, made, &hessian, &mut refused)?;
    }
    Ok(refused)
}

/// Checks the program that keeps the loops of elements, where there is one, whether or not it is the cheapest.
fn by_blocks(case: &Case) -> Result<bool, String> {
    let blocks = pipeline::hessian_by_blocks(&case.func, Weights::One).map_err(|d| d.message)?;
    let Some(blocks) = blocks else { return Ok(false) };
    let cols = lengths(&case.func, case, &case.func.columns);
    let dense = pipeline::dense(&case.func, Matrix::Hessian(Weights::One)).map_err(|d| d.message)?;
    let hessian = assemble(dense.func(), &execute(dense.func(), &case.bindings)?, &cols, &cols);
    check_sparse("blocks", case, Ok(blocks.sparse), &hessian, &mut Vec::new())?;
    Ok(true)
}

fn adjoint(func: &Func, of: Buffer) -> Buffer {
    let found = func.buffers.iter().find(|(_, d)| d.role == Role::Output && d.plane == Plane::Adjoint(of));
    found.expect("every column has an adjoint").0
}

fn check_directional(case: &Case, jacobian: &[f64], n: usize) -> Result<(), String> {
    let forward = pipeline::directional(&case.func).map_err(|d| d.message)?;
    well_formed(&forward)?;
    let func = forward.func();
    let mut bindings = case.bindings.clone();
    let mut direction = Vec::new();
    for (buffer, data) in &func.buffers {
        if let (Plane::Tangent(of), Role::Data) = (data.plane, data.role) {
            let len = case.bindings.arrays[&of].len();
            let part: Vec<f64> = (0..len).map(|i| ((direction.len() + i) as f64 * 0.7).sin()).collect();
            direction.extend_from_slice(&part);
            let part = match data.elem {
                Ty::F32 => ArrayData::F32(part.iter().map(|&x| x as f32).collect()),
                Ty::F64 | Ty::Int | Ty::Bool => ArrayData::F64(part),
            };
            bindings.arrays.insert(buffer, part);
        }
    }
    let outputs = execute(func, &bindings)?;
    let results: Vec<Buffer> = case.func.buffers_of(Role::Output).collect();
    let mut found = Vec::new();
    for &(result, len) in &lengths(&case.func, case, &results) {
        let tangent =
            func.buffers.iter().find(|(_, d)| d.plane == Plane::Tangent(result) && d.role == Role::Output);
        match tangent {
            Some((buffer, _)) => found.extend(outputs.arrays[&buffer].to_f64()),
            None => found.extend(vec![0.0; len]),
        }
    }
    let product: Vec<f64> =
        jacobian.chunks(n.max(1)).map(|row| row.iter().zip(&direction).map(|(a, b)| a * b).sum()).collect();
    if n > 0 { same("forward against dense", &product, &found) } else { Ok(()) }
}

/// Takes one branch of every condition on values.
struct Decide {
    structural: Structural,
    taken: bool,
}

impl Visitor for Decide {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if let InstData::If { cond, .. } = rw.src.insts[inst]
            && !self.structural.holds(cond)
        {
            let taken = rw.b.bool(self.taken);
            rw.map.set(cond, taken);
        }
        rw.copy(inst, self);
    }
}

/// Whether a program runs, whichever branches values choose: what stands under a condition on values is looked up at prepare.
fn is_legal(case: &Case) -> bool {
    case.run().is_ok()
        && [true, false].into_iter().all(|taken| {
            let mut decide = Decide { structural: Structural::of(&case.func), taken };
            let func = Rewriter::new(&case.func, "decided").run(&mut decide);
            run(&func, &case.bindings).is_ok()
        })
}

/// Fails with the smallest program found that fails alike, after the one that was made.
fn hold(what: &str, case: &Case, check: &dyn Fn(&Case) -> Result<(), String>) {
    let Err(error) = check(case) else { return };
    let kind = |error: &str| error.split(':').next().unwrap_or_default().to_owned();
    let alike = |candidate: &Case| check(candidate).is_err_and(|other| kind(&other) == kind(&error));
    let small = shrink(case, &mut |candidate| is_legal(candidate) && alike(candidate));
    let small_error = check(&small).err().unwrap_or_default();
    panic!("{what}: {error}\n{case}\nshrunk: {small_error}\n{small}");
}

/// Programs that were once wrong: sweeps read an array of an earlier iteration (9162).
const REGRESSIONS: [u64; 1] = [9162];

/// Wide programs that were once wrong: a branch captured what had been built after it (301, 348).
const WIDE_REGRESSIONS: [u64; 2] = [301, 348];

#[test]
fn elements_with_many_unknowns() {
    for seed in WIDE_REGRESSIONS {
        let wide = generate(seed, &Config::wide_energy());
        by_blocks(&wide).unwrap_or_else(|error| panic!("wide seed {seed}: {error}\n{wide}"));
    }
}

#[test]
fn every_road_gives_the_same_derivatives() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (count, first) = (number("SPADINA_CASES", 120), number("SPADINA_SEED", 0));
    let walk_every = number("SPADINA_WALK_EVERY", 1).max(1);
    let configs = [Config::default(), Config::plain_energy(), Config::plain_residual()];
    let mut refusals = std::collections::BTreeMap::new();
    let mut blocks = 0;
    for seed in REGRESSIONS.into_iter().chain(first..first + count) {
        let config = &configs[(seed % 3) as usize];
        let case = generate(seed, config);
        if seed % 2 == 0 {
            let wide = generate(seed, &Config::wide_energy());
            let outcome = check(&wide, false).and_then(|_| by_blocks(&wide));
            blocks +=
                usize::from(outcome.unwrap_or_else(|error| panic!("wide seed {seed}: {error}\n{wide}")));
        }
        if seed % 4 == 1 {
            let given = generate(seed, &Config::given_partials());
            let walk = seed % walk_every == 0;
            hold(&format!("given seed {seed}"), &given, &|case| check(case, walk).map(|_| ()));
        }
        if seed % 2 == 1 {
            let guarded = generate(seed, &Config::guarded());
            hold(&format!("guarded seed {seed}"), &guarded, &|case| {
                check(case, seed % walk_every == 0).map(|_| ())
            });
        }
        match check(&case, seed % walk_every == 0) {
            Ok(refused) => {
                for code in refused {
                    *refusals.entry(code).or_insert(0) += 1;
                    assert!(seed % 3 == 0, "seed {seed}: a plain program is refused by `{code}`\n{case}");
                }
            }
            Err(error) => panic!("seed {seed}: {error}\n{case}"),
        }
    }
    // A generator that only makes what is refused would test nothing.
    let total: u64 = refusals.values().sum();
    assert!(total < count * 4, "refusals: {refusals:?}");
    assert!(count < 20 || blocks * 8 > count as usize, "elements keep their loops in {blocks} programs only");
}
