//! Detected patterns of whole kernels against the reference matrices (`../shared/reference/matrices`).
#![allow(clippy::unwrap_used)]

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Func, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_passes::analysis::pattern::csr::Pattern;
use spadina_passes::analysis::pattern::detect::{Scope, hessian, jacobian};
use std::path::Path;

/// The text of a file of the reference folder beside the checkout; `None` (said in one line) where it is missing.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn reference(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} is missing", path.display());
    }
    text
}

fn kernel(text: &str) -> Func {
    let program = compile(text);
    assert!(!program.has_errors(), "{:?}", program.diagnostics);
    program.kernels[0].func.clone()
}

fn sizes(func: &Func, values: &[(&str, i64)]) -> Bindings {
    let mut bindings = Bindings::default();
    for (name, value) in values {
        bindings.set_size(func, name, *value).unwrap();
    }
    bindings
}

/// A pattern from Matrix Market coordinates.
fn read_mtx(text: &str) -> Pattern {
    let mut lines = text.lines().filter(|line| !line.starts_with('%')).map(|line| {
        line.split_whitespace().map(|word| word.parse::<f64>().unwrap() as usize).collect::<Vec<_>>()
    });
    let head = lines.next().unwrap();
    let mut rows = vec![Vec::new(); head[0]];
    for entry in lines {
        rows[entry[0] - 1].push((entry[1] - 1) as u32);
    }
    let mut pattern = Pattern { nrows: head[0], ncols: head[1], row_ptr: vec![0], col_idx: Vec::new() };
    for mut row in rows {
        row.sort_unstable();
        pattern.col_idx.extend(row);
        pattern.row_ptr.push(pattern.col_idx.len());
    }
    pattern
}

#[test]
fn chains_of_differences() {
    for power in [2, 3] {
        let func = kernel(&format!(
            "kernel diff<N>(x: var f64[N]) -> f64 {{ sum i in 0..N - 1 {{ (x[i + 1] - x[i])^{power} }} }}"
        ));
        for n in [10, 1000] {
            let Some(text) = reference(&format!("matrices/a_diff{power}_n{n}.mtx")) else { return };
            let found = hessian(&func, &sizes(&func, &[("N", n)]), Scope::Global).unwrap();
            assert_eq!(found, read_mtx(&text), "power {power}, {n} unknowns");
        }
    }
}

/// Differences of differences: a recurrence over an array that shrinks.
fn iter_diff(steps: i64) -> Func {
    kernel(&format!(
        "kernel iter_diff<N>(x: var f64[N]) -> f64[N - {steps}] {{
            let y = fold k in 0..{steps} with y = x {{
                map i in 0..N {{ if i < N - 1 - k {{ y[i + 1] - y[i] }} else {{ 0.0 }} }}
            }};
            map i in 0..N - {steps} {{ y[i] }}
        }}"
    ))
}

#[test]
fn iterated_differences() {
    for (n, steps) in [(10, 3), (1000, 10)] {
        let Some(text) = reference(&format!("matrices/b_iterdiff_n{n}_k{steps}.mtx")) else { return };
        let func = iter_diff(steps);
        let found = jacobian(&func, &sizes(&func, &[("N", n)]), Scope::Global).unwrap();
        assert_eq!(found, read_mtx(&text));
    }
}

const BRUSSELATOR: &str = include_str!("../../tests/cases/brusselator2d.ir");

#[test]
fn the_periodic_brusselator() {
    let Some(text) = reference("matrices/c_brusselator_N8.mtx") else { return };
    let func = kernel(BRUSSELATOR);
    let found = jacobian(&func, &sizes(&func, &[("N", 8)]), Scope::Global).unwrap();
    assert_eq!(found, read_mtx(&text));
    let larger = jacobian(&func, &sizes(&func, &[("N", 32)]), Scope::Global).unwrap();
    assert_eq!(larger.nnz(), 12 * 32 * 32);
    // A neighborhood that wraps onto itself has fewer entries, and still a pattern.
    for (n, nnz) in [(1, 4), (2, 2 * 4 * 4), (3, 12 * 9)] {
        assert_eq!(jacobian(&func, &sizes(&func, &[("N", n)]), Scope::Global).unwrap().nnz(), nnz, "N = {n}");
    }
}

#[test]
fn a_convolution() {
    let Some(text) = reference("matrices/d_conv28_5.mtx") else { return };
    let func = kernel(
        "kernel conv<N, K>(x: var f64[N, N], w: f64[K, K]) -> f64[N - K + 1, N - K + 1] {
            map i in 0..N - K + 1, j in 0..N - K + 1 { sum a in 0..K, b in 0..K { w[a, b] * x[i + a, j + b] } }
        }",
    );
    let mut bindings = sizes(&func, &[("N", 28), ("K", 5)]);
    assert_eq!(jacobian(&func, &bindings, Scope::Global).unwrap(), read_mtx(&text));
    // At a point with zero weights their columns vanish.
    bindings.set(&func, "x", vec![1.0; 28 * 28]).unwrap();
    bindings.set(&func, "w", (0..25).map(|k| f64::from(u8::from(k % 5 == 0))).collect::<Vec<_>>()).unwrap();
    assert_eq!(jacobian(&func, &bindings, Scope::Local).unwrap().nnz(), 5 * 24 * 24);
}

/// What a scalar function of a recurrence depends on: everything, and every pair.
#[test]
fn recurrences_and_products_over_everything() {
    let func =
        kernel("kernel chain<N>(x: var f64[N]) -> f64 { fold i in 0..N with s = 0.0 { sin(s + x[i]) } }");
    let bindings = sizes(&func, &[("N", 300)]);
    assert_eq!(hessian(&func, &bindings, Scope::Global).unwrap().nnz(), 300 * 300);
    let func = kernel("kernel all<N>(x: var f64[N]) -> f64 { prod i in 0..N { x[i] } }");
    let mut bindings = sizes(&func, &[("N", 50)]);
    // A product is linear in each factor.
    assert_eq!(hessian(&func, &bindings, Scope::Global).unwrap().nnz(), 50 * 49);
    let mut x = vec![1.0; 50];
    (x[3], x[40]) = (0.0, 0.0);
    bindings.set(&func, "x", x).unwrap();
    assert_eq!(hessian(&func, &bindings, Scope::Local).unwrap().nnz(), 2);
    assert_eq!(jacobian(&func, &bindings, Scope::Local).unwrap().nnz(), 0);
}

#[test]
fn large_sums_stay_cheap() {
    let func = kernel("kernel total<N>(x: var f64[N]) -> f64 { sum i in 0..N { x[i]^4 } }");
    let bindings = sizes(&func, &[("N", 200_000)]);
    let found = hessian(&func, &bindings, Scope::Global).unwrap();
    assert_eq!((found.nnz(), found.row(77)), (200_000, &[77][..]));
    assert_eq!(jacobian(&func, &bindings, Scope::Global).unwrap().nnz(), 200_000);
}

/// AC-OPF in polar coordinates, as the reference describes it.
const OPF: &str = include_str!("opf.ir");

#[test]
fn the_lagrangian_of_a_small_power_flow() {
    let Some(text) = reference("matrices/e_case3_lmbd.mtx") else { return };
    let read = |name: &str| -> Vec<Vec<f64>> {
        let text = reference(&format!("matrices/e_case3_lmbd_{name}.csv")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(',').map(|word| word.parse().unwrap()).collect()).collect()
    };
    let (buses, gens, branches) = (read("bus"), read("gen"), read("branch"));
    let func = kernel(OPF);
    let mut bindings =
        sizes(&func, &[("B", buses.len() as i64), ("G", gens.len() as i64), ("L", branches.len() as i64)]);
    let index = |rows: &[Vec<f64>], col: usize| rows.iter().map(|row| row[col] as i64).collect::<Vec<_>>();
    bindings.set(&func, "fr", index(&branches, 0)).unwrap();
    bindings.set(&func, "to", index(&branches, 1)).unwrap();
    bindings.set(&func, "at", index(&gens, 0)).unwrap();
    bindings.set(&func, "slack", vec![0_i64]).unwrap();
    let found = hessian(&func, &bindings, Scope::Global).unwrap();
    // The structural pattern keeps the diagonal of the generator without quadratic cost.
    assert_eq!((found.nrows, found.nnz()), (24, 51));
    let reference = read_mtx(&text);
    for i in 0..24 {
        assert!(reference.row(i).iter().all(|&j| found.contains(i, j as usize)), "row {i}");
    }
    // With the costs known, that entry goes: other data has no zeros.
    for (buffer, data) in &func.buffers {
        let given = bindings.arrays.contains_key(&buffer);
        if !given && matches!(data.role, Role::Var | Role::Data) {
            let len = data.dims.iter().fold(1, |n, dim| n * dim.eval(&|s| bindings.sizes[&s]).unwrap());
            bindings.arrays.insert(buffer, ArrayData::F64((0..len).map(|i| 0.5 + 0.01 * i as f64).collect()));
        }
    }
    bindings.set(&func, "c2", gens.iter().map(|row| row[1]).collect::<Vec<_>>()).unwrap();
    run(&func, &bindings).unwrap();
    assert_eq!(hessian(&func, &bindings, Scope::Local).unwrap(), reference);
}
