//! Fused programs compute what the others do, but for rounding; which products are fused, and which are not.

use spadina_ir::builder::Builder;
use spadina_ir::func::{BufferData, Entries, Func, InstData, Plane, Role, Value};
use spadina_ir::interp::run;
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::verify::verify;
use spadina_ir::walk;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::contract;
use spadina_passes::pipeline;
use spadina_testkit::generate::{Config, generate};

const PROGRAMS: u64 = 400;
const ROUNDING: f64 = 1e-8;

fn count(func: &Func, wanted: Op) -> usize {
    let mut count = 0;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        count += usize::from(matches!(&func.insts[inst], InstData::Op(op, _) if *op == wanted));
    });
    count
}

/// A program of four numbers that accumulates what `make` gives; products and fused ones after contraction.
fn fused(make: impl FnOnce(&mut Builder, [Value; 4]) -> Vec<Value>) -> [usize; 2] {
    let mut b = Builder::new(Func::new("sums"));
    let buffer = |b: &mut Builder, name: &str, role| {
        b.buffer(BufferData {
            name: name.to_owned(),
            elem: Ty::F64,
            dims: Vec::new(),
            role,
            plane: Plane::Primal,
            entries: Entries::Any,
            default: None,
            span: (0, 0),
        })
    };
    let inputs = ["p", "q", "r", "s"].map(|name| buffer(&mut b, name, Role::Data));
    let out = buffer(&mut b, "out", Role::Output);
    let args = inputs.map(|input| b.load(input, &[]));
    for value in make(&mut b, args) {
        b.accum(out, &[], value);
    }
    let func = contract::run(&b.finish()).expect("nothing is refused");
    assert!(verify(&func).is_empty(), "{func}");
    [Op::Mul, Op::Fma].map(|op| count(&func, op))
}

#[test]
fn a_product_that_is_only_added_is_fused() {
    assert_eq!(
        fused(|b, [p, q, r, _]| {
            let m = b.mul(p, q);
            vec![b.add(m, r)]
        }),
        [0, 1]
    );
    assert_eq!(
        fused(|b, [p, q, r, _]| {
            let m = b.mul(p, q);
            vec![b.sub(m, r)]
        }),
        [0, 1]
    );
    assert_eq!(
        fused(|b, [p, q, r, _]| {
            let m = b.mul(p, q);
            vec![b.sub(r, m)]
        }),
        [0, 1]
    );
    assert_eq!(
        fused(|b, [p, q, r, s]| {
            let m = b.mul(p, q);
            vec![b.add(m, r), b.sub(s, m)]
        }),
        [0, 2]
    );
}

#[test]
fn a_product_that_stands_for_itself_stays() {
    assert_eq!(
        fused(|b, [p, q, r, _]| {
            let m = b.mul(p, q);
            vec![b.add(m, r), m]
        }),
        [1, 0]
    );
    assert_eq!(
        fused(|b, [p, q, r, s]| {
            let m = b.mul(p, q);
            vec![b.add(m, r), b.div(m, s)]
        }),
        [1, 0]
    );
}

#[test]
fn products_that_may_cancel_stay() {
    let cross = |b: &mut Builder, [p, q, r, s]: [Value; 4]| {
        let (m, n) = (b.mul(p, s), b.mul(q, r));
        vec![b.sub(m, n)]
    };
    assert_eq!(fused(cross), [2, 0]);
}

#[test]
fn random_programs_differ_by_rounding() {
    let mut all = 0;
    for seed in 0..PROGRAMS {
        for config in [Config::default(), Config::plain_energy(), Config::guarded()] {
            let case = generate(seed, &config);
            let gradient = pipeline::gradient(&case.func, Weights::One);
            for func in [Some(case.func.clone()), gradient.ok().map(|trace| trace.func().clone())] {
                let Some(func) = func else { continue };
                let made = contract::run(&func).expect("nothing is refused");
                assert!(verify(&made).is_empty(), "{seed}\n{made}");
                all += count(&made, Op::Fma);
                let (Ok(wanted), Ok(found)) = (run(&func, &case.bindings), run(&made, &case.bindings)) else {
                    panic!("{seed}: does not run\n{made}");
                };
                for (buffer, data) in &wanted.arrays {
                    for (x, y) in data.to_f64().iter().zip(found.arrays[buffer].to_f64()) {
                        let near = (x - y).abs() <= ROUNDING * x.abs().max(1.0);
                        assert!(near || (x.is_nan() && y.is_nan()), "{seed}: {x} {y}\n{func}\n{made}");
                    }
                }
            }
        }
    }
    assert!(all > 1000, "only {all} were fused");
}
