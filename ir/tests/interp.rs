//! The reference interpreter on small programs whose results are known by hand.

use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, BufferData, Carry, EmitData, Entries, Func, Plane, Role};
use spadina_ir::interp::{ArrayData, Bindings, InterpError, infer_sizes, run};
use spadina_ir::op::Op;
use spadina_ir::types::{Size, SizeExpr, Ty};
use std::collections::BTreeMap;

fn declare(b: &mut Builder, name: &str, elem: Ty, dims: &[SizeExpr], role: Role) -> Buffer {
    b.buffer(BufferData {
        name: name.to_owned(),
        elem,
        dims: dims.to_vec(),
        role,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: None,
        span: (0, 0),
    })
}

fn sized(constant: i64, terms: &[(Size, i64)]) -> SizeExpr {
    SizeExpr { constant, terms: terms.to_vec() }
}

/// `sum i in 1..N { (x[i] - x[i - 1])^2 }`, and its Hessian emitted block by block.
fn chain() -> (Func, Buffer) {
    let mut b = Builder::new(Func::new("chain"));
    let n = b.size_symbol("N");
    let x = declare(&mut b, "x", Ty::F64, &[SizeExpr::size(n)], Role::Var);
    let out = declare(&mut b, "value", Ty::F64, &[], Role::Output);
    b.set_columns(vec![x]);
    b.set_rows(vec![x]);
    let (one, count) = (b.int(1), b.size(&SizeExpr::size(n)));
    let (i, _) = b.begin_loop(one, count, 1, &[Carry::Sum]);
    let minus_one = b.int(-1);
    let before = b.op(Op::IntAdd, &[i, minus_one]);
    let (right, left) = (b.load(x, &[i]), b.load(x, &[before]));
    let step = b.sub(right, left);
    let square = b.mul(step, step);
    let rows = vec![b.position(x, &[before]), b.position(x, &[i])];
    let (two, minus_two) = (b.f64(2.0), b.f64(-2.0));
    b.emit(EmitData {
        site: 0,
        cols: rows.clone(),
        rows,
        entries: vec![(0, 0), (0, 1), (1, 1)],
        values: vec![two, minus_two, two],
        symmetric: true,
        direct: false,
        project: None,
    });
    let total = b.end_loop(&[square]);
    b.accum(out, &[], total[0]);
    (b.finish(), x)
}

fn chain_inputs(func: &Func, x: Buffer, data: &[f64]) -> Bindings {
    let sizes = func.sizes.keys().map(|size| (size, data.len() as i64)).collect();
    Bindings { sizes, arrays: BTreeMap::from([(x, data.to_vec().into())]) }
}

#[test]
fn a_chain_gives_its_energy_and_a_tridiagonal_matrix() {
    let (func, x) = chain();
    let outputs = run(&func, &chain_inputs(&func, x, &[0.0, 1.0, 4.0])).unwrap();
    assert_eq!(outputs.scalar(&func, "value"), Some(10.0));
    assert_eq!(outputs.shape, (3, 3));
    assert_eq!(outputs.dense(), [2.0, -2.0, 0.0, -2.0, 4.0, -2.0, 0.0, -2.0, 2.0]);
    assert_eq!(outputs.triplets[..4], [(0, 0, 2.0), (0, 1, -2.0), (1, 0, -2.0), (1, 1, 2.0)]);
    assert_eq!((outputs.stats.iterations, outputs.stats.count(Op::Mul)), (2, 2));
}

#[test]
fn empty_loops_give_neutral_elements() {
    let (func, x) = chain();
    for data in [&[][..], &[3.0]] {
        let outputs = run(&func, &chain_inputs(&func, x, data)).unwrap();
        assert_eq!(outputs.scalar(&func, "value"), Some(0.0));
        assert!(outputs.triplets.is_empty());
    }
}

#[test]
fn a_mirrored_entry_reaches_the_diagonal_twice_where_local_unknowns_coincide() {
    let mut b = Builder::new(Func::new("coincident"));
    let x = declare(&mut b, "x", Ty::F64, &[SizeExpr::constant(2)], Role::Var);
    b.set_columns(vec![x]);
    b.set_rows(vec![x]);
    let one = b.int(1);
    let (at, weight) = (b.position(x, &[one]), b.f64(3.0));
    let local = vec![at, at];
    let emit = EmitData {
        site: 0,
        rows: local.clone(),
        cols: local,
        entries: vec![(0, 1)],
        values: vec![weight],
        symmetric: true,
        direct: false,
        project: None,
    };
    b.emit(emit);
    let func = b.finish();
    let mut inputs = Bindings::default();
    inputs.set(&func, "x", vec![0.0, 0.0]).unwrap();
    assert_eq!(run(&func, &inputs).unwrap().dense(), [0.0, 0.0, 0.0, 6.0]);
}

#[test]
fn reductions_states_and_branches() {
    let mut b = Builder::new(Func::new("carries"));
    let x = declare(&mut b, "x", Ty::F64, &[SizeExpr::constant(4)], Role::Var);
    let out = declare(&mut b, "out", Ty::F64, &[SizeExpr::constant(5)], Role::Output);
    let (lo, hi, one) = (b.int(0), b.int(4), b.f64(1.0));
    let carries = [Carry::Sum, Carry::Prod, Carry::Min, Carry::Max, Carry::State(one)];
    let (i, states) = b.begin_loop(lo, hi, 1, &carries);
    let xi = b.load(x, &[i]);
    let (negative, zero) = (b.f64(-1.0), b.f64(0.0));
    let below = b.op(Op::FloatLt, &[xi, zero]);
    b.begin_if(below);
    let flipped = b.mul(xi, negative);
    b.begin_else(&[flipped]);
    let magnitude = b.end_if(&[xi])[0];
    let next = b.op(Op::Mul, &[states[0], magnitude]);
    let next = b.add(next, one);
    let results = b.end_loop(&[magnitude, xi, xi, xi, next]);
    for (k, &result) in results.iter().enumerate() {
        let k = b.int(k as i64);
        b.accum(out, &[k], result);
    }
    let func = b.finish();
    let mut inputs = Bindings::default();
    inputs.set(&func, "x", vec![2.0, -3.0, 0.5, 4.0]).unwrap();
    let outputs = run(&func, &inputs).unwrap();
    // State: 1 -> 3 -> 10 -> 6 -> 25.
    assert_eq!(outputs.array(&func, "out").unwrap(), [9.5, -12.0, -3.0, 4.0, 25.0]);
}

#[test]
fn a_subscript_out_of_range_names_everything() {
    let mut b = Builder::new(Func::new("off_by_one"));
    let n = b.size_symbol("N");
    let x = declare(&mut b, "x", Ty::F64, &[SizeExpr::size(n), SizeExpr::constant(3)], Role::Var);
    let out = declare(&mut b, "value", Ty::F64, &[], Role::Output);
    b.set_span((40, 47));
    let (zero, count) = (b.int(0), b.size(&SizeExpr::size(n)));
    let loaded = b.load(x, &[count, zero]);
    b.accum(out, &[], loaded);
    let func = b.finish();
    let mut inputs = Bindings::default();
    inputs.set_size(&func, "N", 2).unwrap();
    inputs.set(&func, "x", vec![0.0; 6]).unwrap();
    let error = run(&func, &inputs).unwrap_err();
    let buffer = "x".to_owned();
    assert_eq!(error, InterpError::Subscript { buffer, axis: 0, index: 2, bound: 2, span: (40, 47) });
}

#[test]
fn broken_promises_are_found_at_the_start() {
    let mut b = Builder::new(Func::new("promises"));
    let v = b.size_symbol("V");
    let mut promised = |name: &str, dims: Vec<SizeExpr>, entries: Entries| {
        b.buffer(BufferData {
            name: name.to_owned(),
            elem: Ty::Int,
            dims,
            role: Role::Structural,
            plane: Plane::Primal,
            entries,
            default: None,
            span: (0, 0),
        });
    };
    let two = SizeExpr::constant(2);
    let columns = vec![SizeExpr::size(v), SizeExpr::constant(4)];
    promised("edges", vec![two.clone(), two], Entries::Index(columns));
    promised("ptr", vec![sized(1, &[(v, 1)])], Entries::Offsets(SizeExpr::constant(9)));
    let func = b.finish();
    let attempt = |edges: &[i64], ptr: &[i64]| {
        let mut inputs = Bindings::default();
        inputs.set_size(&func, "V", 2).unwrap();
        inputs.set(&func, "edges", edges.to_vec()).unwrap();
        inputs.set(&func, "ptr", ptr.to_vec()).unwrap();
        run(&func, &inputs).map(|_| ())
    };
    assert_eq!(attempt(&[0, 3, 1, 0], &[0, 4, 9]), Ok(()));
    let message = |edges: &[i64], ptr: &[i64]| attempt(edges, ptr).unwrap_err().to_string();
    assert_eq!(
        message(&[0, 3, 2, 0], &[0, 4, 9]),
        "entry 2 of `edges` is 2, outside 0..2 (is the array one-based?)"
    );
    assert_eq!(message(&[0, 3, 1, -1], &[0, 4, 9]), "entry 3 of `edges` is -1, outside 0..4");
    assert_eq!(message(&[0, 3, 1, 0], &[0, 5, 4]), "entry 2 of the offsets `ptr` is 4, outside 5..=9");
    assert_eq!(message(&[0, 3, 1, 0], &[0, 4, 10]), "entry 2 of the offsets `ptr` is 10, outside 4..=9");
    assert_eq!(message(&[0, 3, 1, 0], &[0, 4]), "`ptr` has 3 elements, but 2 were given");
}

#[test]
fn scalars_take_their_defaults_and_types_must_fit() {
    let mut b = Builder::new(Func::new("defaults"));
    let k = b.buffer(BufferData {
        name: "k".to_owned(),
        elem: Ty::F64,
        dims: Vec::new(),
        role: Role::Data,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: Some(2.5),
        span: (0, 0),
    });
    let out = declare(&mut b, "value", Ty::F64, &[], Role::Output);
    let loaded = b.load(k, &[]);
    b.accum(out, &[], loaded);
    let func = b.finish();
    let mut inputs = Bindings::default();
    assert_eq!(run(&func, &inputs).unwrap().scalar(&func, "value"), Some(2.5));
    inputs.set(&func, "k", vec![1_i64]).unwrap();
    assert_eq!(run(&func, &inputs).unwrap_err().to_string(), "`k` holds f64, but int was given");
    inputs.arrays.clear();
    inputs.arrays.insert(out, ArrayData::F64(vec![0.0]));
    assert_eq!(run(&func, &inputs).unwrap_err().to_string(), "`value` is not an input");
}

#[test]
fn sizes_come_from_shapes() {
    let mut b = Builder::new(Func::new("sizes"));
    let (v, r) = (b.size_symbol("V"), b.size_symbol("R"));
    let x = declare(&mut b, "x", Ty::F64, &[SizeExpr::size(v), SizeExpr::constant(3)], Role::Var);
    let ptr = declare(&mut b, "ptr", Ty::Int, &[sized(1, &[(v, 1)])], Role::Structural);
    let pairs = declare(&mut b, "pairs", Ty::F64, &[sized(0, &[(v, 1), (r, 2)])], Role::Data);
    let func = b.finish();
    let attempt = |shapes: &[(Buffer, &[i64])]| {
        let shapes: BTreeMap<Buffer, Vec<i64>> = shapes.iter().map(|&(b, dims)| (b, dims.to_vec())).collect();
        infer_sizes(&func, &shapes).map_err(|error| error.to_string())
    };
    let solved = BTreeMap::from([(v, 4), (r, 3)]);
    assert_eq!(attempt(&[(x, &[4, 3]), (ptr, &[5]), (pairs, &[10])]), Ok(solved.clone()));
    assert_eq!(attempt(&[(ptr, &[5]), (pairs, &[10])]), Ok(solved));
    assert_eq!(
        attempt(&[(x, &[4, 3]), (ptr, &[4]), (pairs, &[10])]).unwrap_err(),
        "axis 0 of `ptr` is `V + 1`, but has 4 elements instead of 5 (V = 4 from axis 0 of `x`)"
    );
    assert_eq!(
        attempt(&[(x, &[4, 3]), (pairs, &[11])]).unwrap_err(),
        "axis 0 of `pairs` is `V + 2*R`, but has 11 elements, which no size makes true (V = 4 from axis 0 of `x`)"
    );
    assert_eq!(
        attempt(&[(x, &[4, 2])]).unwrap_err(),
        "axis 1 of `x` is `3`, but has 2 elements instead of 3"
    );
    assert_eq!(attempt(&[(x, &[4, 3])]).unwrap_err(), "size `R` is not determined by any bound array");
    assert_eq!(attempt(&[(x, &[4])]).unwrap_err(), "`x` has 2 dimensions, but an array with 1 was given");
    assert_eq!(
        attempt(&[(ptr, &[0])]).unwrap_err(),
        "axis 0 of `ptr` is `V + 1`, but has 0 elements, which no size makes true"
    );
}
