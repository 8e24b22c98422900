//! The matrix of a kernel against its dense definition.

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Buffer, BufferData, Func, Plane, Role};
use spadina_ir::interp::{Bindings, Outputs, run};
use spadina_ir::verify::verify;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline::{self, Matrix, Sparse};
use spadina_testkit::inputs::random_inputs;
use spadina_testkit::numeric;
use spadina_testkit::rng::Rng;

/// The same sums in another order.
const REORDERED: f64 = 1e-9;
/// Inputs that each kernel is tried on.
const TRIES: u64 = 12;

/// The first kernel of a text.
pub(crate) fn func(text: &str) -> Func {
    let program = compile(text);
    let errors: Vec<&str> =
        program.diagnostics.iter().filter(|d| d.is_error()).map(|d| d.message.as_str()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    program.kernels[0].func.clone()
}

fn execute(func: &Func, bindings: &Bindings) -> Outputs {
    let violations: Vec<String> = verify(func).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}\n{func}", violations.join("\n"));
    run(func, bindings).unwrap_or_else(|error| panic!("{error}\n{func}"))
}

/// The Hessian by its definition.
fn dense(func: &Func, bindings: &Bindings) -> Vec<f64> {
    let trace = pipeline::dense(func, Matrix::Hessian(Weights::One)).unwrap();
    let func = trace.func();
    let outputs = execute(func, bindings);
    let size = |b: Buffer| bindings.arrays[&b].len();
    let n: usize = func.columns.iter().map(|&c| size(c)).sum();
    let start = |b: Buffer| func.columns.iter().take_while(|&&c| c != b).map(|&c| size(c)).sum::<usize>();
    let mut dense = vec![0.0; n * n];
    for (&buffer, data) in &outputs.arrays {
        let Plane::Block(row, col) = func.buffers[buffer].plane else { continue };
        let Plane::Adjoint(row) = func.buffers[row].plane else { panic!("rows are adjoints") };
        let (r0, c0, width) = (start(row), start(col), size(col));
        for (at, x) in data.to_f64().into_iter().enumerate() {
            dense[(r0 + at / width.max(1)) * n + c0 + at % width.max(1)] += x;
        }
    }
    dense
}

/// Checks a kernel on random inputs, by blocks and as the pipeline chooses; returns the program with blocks.
pub(crate) fn check(text: &str) -> Option<Sparse> {
    let func = func(text);
    let chosen = pipeline::hessian(&func, Weights::One).unwrap_or_else(|d| panic!("{}", d.message));
    let blocks = pipeline::hessian_by_blocks(&func, Weights::One).unwrap_or_else(|d| panic!("{}", d.message));
    let blocks = blocks.map(|blocks| blocks.sparse);
    for seed in 0..TRIES {
        let Some(bindings) = random_inputs(&func, &mut Rng::new(seed)) else { continue };
        let expected = dense(&func, &bindings);
        let gradient = pipeline::gradient(&func, Weights::One).unwrap();
        let reference = execute(gradient.func(), &bindings);
        for sparse in blocks.iter().chain([&chosen]) {
            let outputs = execute(&sparse.eval, &bindings);
            let adjoints = |f: &Func, o: &Outputs| -> Vec<f64> {
                let of = |c: &Buffer| {
                    let is = |d: &BufferData| d.plane == Plane::Adjoint(*c) && d.role == Role::Output;
                    o.arrays[&f.buffers.iter().find(|(_, d)| is(d)).unwrap().0].to_f64()
                };
                func.columns.iter().flat_map(of).collect()
            };
            let (a, b) = (adjoints(gradient.func(), &reference), adjoints(&sparse.eval, &outputs));
            numeric::compare(&a, &b, REORDERED).unwrap_or_else(|e| panic!("seed {seed}: gradient: {e}"));
            numeric::compare(&expected, &numeric::dense(&outputs).entries, REORDERED)
                .unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", sparse.eval));
            execute(&sparse.index, &bindings);
        }
    }
    blocks
}
