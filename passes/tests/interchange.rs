//! Short loops inside of long ones: which nests turn, and the same results.

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Func, InstData, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_ir::types::Ty;
use spadina_ir::verify::verify;
use spadina_passes::loops::interchange;

fn kernel(text: &str) -> Func {
    let program = compile(text);
    assert!(!program.has_errors(), "{:?}", program.diagnostics);
    program.kernels[0].func.clone()
}

/// Whether each loop at the top has literal bounds.
fn literal_phases(func: &Func) -> Vec<bool> {
    let loops = func.regions[func.body].insts.iter().filter_map(|&inst| match &func.insts[inst] {
        InstData::Loop { lo, hi, .. } => Some(func.as_int(*lo).is_some() && func.as_int(*hi).is_some()),
        _ => None,
    });
    loops.collect()
}

fn inputs(func: &Func, size: i64) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.sizes.extend(func.sizes.keys().map(|symbol| (symbol, size)));
    for (buffer, data) in func.buffers.iter().filter(|(_, data)| data.role != Role::Output) {
        let len: i64 = data.dims.iter().map(|dim| dim.eval(&|_| size).expect("small")).product();
        let array = match data.elem {
            Ty::Int => ArrayData::Int((0..len).map(|n| n % size.max(1)).collect()),
            _ => ArrayData::F64((0..len).map(|n| (0.7 * n as f64 + 0.3).sin()).collect()),
        };
        bindings.arrays.insert(buffer, array);
    }
    bindings
}

/// Turns a kernel; the same results, and whether the loops at the top are literal ones afterwards.
fn turned(text: &str) -> Vec<bool> {
    let func = kernel(text);
    let made = interchange::run(&func).expect("nothing is refused");
    assert!(verify(&made).is_empty(), "{made}");
    for size in [0, 1, 2, 5] {
        let (wanted, found) = (run(&func, &inputs(&func, size)), run(&made, &inputs(&made, size)));
        let (Ok(wanted), Ok(found)) = (wanted, found) else { panic!("does not run\n{made}") };
        for (buffer, data) in &wanted.arrays {
            for (a, b) in data.to_f64().iter().zip(found.arrays[buffer].to_f64()) {
                assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{size}: {a} {b}\n{made}");
            }
        }
    }
    literal_phases(&made)
}

#[test]
fn long_loops_go_outside() {
    assert_eq!(
        turned("kernel k<N>(x: var f64[2, N]) -> f64 { sum i in 0..2, j in 0..N { x[i, j]^2 } }"),
        [false]
    );
    assert_eq!(
        turned(
            "kernel k<N>(x: var f64[N], w: f64[3]) -> f64[3, 2, N] {
                map a in 0..3, b in 0..2, j in 0..N { w[a] * sin(w[b]) * x[j] }
            }"
        ),
        [false]
    );
    assert_eq!(
        turned(
            "kernel k<N>(x: var f64[N], at: index<N>[N]) -> f64 {
                sum a in 1..4 { let f = f64(a)^2; sum j in 0..N { let d = x[j] - x[at[j]]; f * d^2 } }
            }"
        ),
        [false]
    );
}

#[test]
fn what_depends_on_the_short_loop_stays() {
    let ragged = "kernel k<N>(x: var f64[N + 4]) -> f64 { sum a in 0..3, j in a..N { x[j + a]^2 } }";
    assert!(turned(ragged).iter().all(|&literal| literal));
}

#[test]
fn long_literal_loops_and_single_ones_stay() {
    assert_eq!(
        turned("kernel k<N>(x: var f64[100, N]) -> f64 { sum i in 0..100, j in 0..N { x[i, j]^2 } }"),
        [true]
    );
    assert_eq!(turned("kernel k<N>(x: var f64[N]) -> f64 { sum j in 0..N { x[j]^2 } }"), [false]);
}
