//! Second derivatives through conversions between `f32` and `f64`: structural against dense.

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Func, Plane};
use spadina_ir::interp::{ArrayData, Bindings, Outputs, run};
use spadina_ir::verify::verify;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline::{self, Matrix};

/// Sums in single precision, in another order.
const SINGLE: f64 = 1e-6;

fn evaluate(func: &Func, x: &ArrayData) -> Outputs {
    assert!(verify(func).is_empty(), "{:?}\n{func}", verify(func));
    let mut bindings = Bindings::default();
    bindings.set_size(func, "N", 3).expect("the kernels have a size N");
    bindings.set(func, "x", x.clone()).expect("the kernels have an unknown x");
    run(func, &bindings).expect("the kernels run")
}

#[test]
fn conversions_inside_an_element() {
    let kernels = [
        ("kernel k<N>(x: var f32[N]) -> f64 { sum i in 0..N - 1 { f64(x[i]^2 * x[i + 1]) } }", true),
        ("kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { f64(f32(x[i])^2) * x[i] } }", false),
        ("kernel k<N>(x: var f32[N]) -> f64 { sum i in 0..N { f64(x[i])^2 } }", true),
    ];
    for (text, single) in kernels {
        let program = compile(text);
        let func = &program.kernels.first().unwrap_or_else(|| panic!("{:?}", program.diagnostics)).func;
        let x =
            if single { ArrayData::F32(vec![0.5, 0.7, 0.9]) } else { ArrayData::F64(vec![0.5, 0.7, 0.9]) };
        let dense =
            pipeline::dense(func, Matrix::Hessian(Weights::One)).expect("dense is never refused here");
        let outputs = evaluate(dense.func(), &x);
        let block = dense.func().buffers.iter().find(|(_, data)| matches!(data.plane, Plane::Block(..)));
        let expected = outputs.arrays[&block.expect("one block").0].to_f64();
        let sparse = pipeline::hessian(func, Weights::One).expect("structural");
        for (want, found) in expected.iter().zip(evaluate(&sparse.eval, &x).dense()) {
            assert!((want - found).abs() <= SINGLE, "{text}: {found} instead of {want}");
        }
    }
}
