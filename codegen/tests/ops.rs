//! Every operation of the table, compiled, gives the bits of [`spadina_ir::math::eval`].
#![allow(clippy::unwrap_used)]
mod common;

use common::{buffer, check_layouts};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Const, Func, Role, Value};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::op::{Op, Signature};
use spadina_ir::types::{SizeExpr, Ty};
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};

const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.3,
    -0.3,
    0.499_999_999_999_999_94,
    -3.7,
    1e-9,
    -1e-300,
    5e-324,
    7.0,
    -8.25,
    123.456,
    4_503_599_627_370_497.5,
    -9_007_199_254_740_993.0,
    1e19,
    -1e19,
    1e300,
    709.0,
    -745.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];
const INTS: &[i64] =
    &[0, 1, -1, 2, -2, 3, 7, -7, 8, 100, -100, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1];

fn argument_types(op: Op, float: Ty) -> Vec<Ty> {
    match op.signature() {
        Signature::Float | Signature::FloatCompare | Signature::FloatToInt => vec![float; op.arity()],
        Signature::Int | Signature::IntCompare | Signature::Indicator | Signature::IntToFloat => {
            vec![Ty::Int; op.arity()]
        }
        Signature::Bool | Signature::BoolToFloat => vec![Ty::Bool; op.arity()],
        Signature::Select => vec![Ty::Bool, float, float],
        Signature::Narrow => vec![Ty::F64],
        Signature::Widen => vec![Ty::F32],
    }
}

fn pool(ty: Ty) -> Vec<Const> {
    match ty {
        Ty::F64 => FLOATS.iter().map(|&x| Const::F64(x)).collect(),
        Ty::F32 => FLOATS.iter().map(|&x| Const::F32(x as f32)).collect(),
        Ty::Int => INTS.iter().map(|&x| Const::Int(x)).collect(),
        Ty::Bool => vec![Const::Bool(false), Const::Bool(true)],
    }
}

fn array(ty: Ty, values: &[Const]) -> ArrayData {
    let mut array = ArrayData::zeros(ty, values.len()).unwrap();
    for (n, &value) in values.iter().enumerate() {
        assert!(array.set(n, value));
    }
    array
}

/// Accumulates a value and, for floats, its sign (which an addition to zero loses).
fn record(b: &mut Builder, n: &SizeExpr, iv: Value, value: Value, name: &str) {
    let ty = b.func().ty(value);
    let (ty, value) = match ty {
        Ty::Bool => {
            let (one, zero) = (b.int(1), b.int(0));
            (Ty::Int, b.select(value, one, zero))
        }
        Ty::F64 | Ty::F32 | Ty::Int => (ty, value),
    };
    let out = b
        .func()
        .buffer_named(name)
        .unwrap_or_else(|| buffer(b, name, ty, std::slice::from_ref(n), Role::Output));
    b.accum(out, &[iv], value);
    if ty.is_float() {
        let one = b.float(ty, 1.0);
        let sign = b.op(Op::Copysign, &[one, value]);
        let nan = b.op(Op::FloatNe, &[value, value]);
        let sign = b.select(nan, one, sign);
        let out = buffer(b, &format!("{name}_sign"), ty, std::slice::from_ref(n), Role::Output);
        b.accum(out, &[iv], sign);
    }
}

fn slots() -> [SlotLayout; 1] {
    [SlotLayout { mode: SlotMode::Entry, width: SlotWidth::U8, drops: false, stores: false }]
}

/// An index program with the same loop and nothing to find.
fn index_of(func: &Func) -> Func {
    let mut b = Builder::from_declarations(func, "index");
    let (zero, n) = (b.int(0), b.size(&SizeExpr::size(func.sizes.keys().next().unwrap())));
    let input = func.buffers.keys().next().unwrap();
    let (iv, _) = b.begin_loop(zero, n, 1, &[]);
    b.check(input, &[iv]);
    b.end_loop(&[]);
    b.finish()
}

fn check_op(op: Op, float: Ty) {
    let types = argument_types(op, float);
    let mut rows: Vec<Vec<Const>> = vec![Vec::new()];
    for &ty in &types {
        rows = rows
            .iter()
            .flat_map(|row| pool(ty).into_iter().map(|c| row.iter().copied().chain([c]).collect()))
            .collect();
    }
    let mut b = Builder::new(Func::new("op"));
    let size = b.size_symbol("N");
    let n = SizeExpr::size(size);
    let inputs: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(k, &ty)| buffer(&mut b, &format!("a{k}"), ty, std::slice::from_ref(&n), Role::Data))
        .collect();
    let (zero, bound) = (b.int(0), b.size(&n));
    let (iv, _) = b.begin_loop(zero, bound, 1, &[]);
    let args: Vec<_> = inputs.iter().map(|&input| b.load(input, &[iv])).collect();
    let value = b.op(op, &args);
    record(&mut b, &n, iv, value, "out");
    b.end_loop(&[]);
    let func = b.finish();
    let mut bindings = Bindings::default();
    bindings.sizes.insert(size, rows.len() as i64);
    for (k, (&input, &ty)) in inputs.iter().zip(&types).enumerate() {
        let column: Vec<Const> = rows.iter().map(|row| row[k]).collect();
        bindings.arrays.insert(input, array(ty, &column));
    }
    check_layouts(&func, &index_of(&func), &bindings, &slots());
}

#[test]
fn every_operation_in_double_precision() {
    for &op in Op::ALL {
        check_op(op, Ty::F64);
    }
}

#[test]
fn every_operation_in_single_precision() {
    for &op in Op::ALL {
        check_op(op, Ty::F32);
    }
}

#[test]
fn integer_division_by_literals() {
    for op in [Op::IntDiv, Op::IntMod] {
        let mut b = Builder::new(Func::new("division"));
        let size = b.size_symbol("N");
        let n = SizeExpr::size(size);
        let input = buffer(&mut b, "a", Ty::Int, std::slice::from_ref(&n), Role::Data);
        let (zero, bound) = (b.int(0), b.size(&n));
        let (iv, _) = b.begin_loop(zero, bound, 1, &[]);
        let a = b.load(input, &[iv]);
        for (k, &d) in INTS.iter().enumerate() {
            let d = b.int(d);
            let value = b.op(op, &[a, d]);
            let out = buffer(&mut b, &format!("out{k}"), Ty::Int, std::slice::from_ref(&n), Role::Output);
            b.accum(out, &[iv], value);
        }
        b.end_loop(&[]);
        let func = b.finish();
        let mut bindings = Bindings::default();
        bindings.sizes.insert(size, INTS.len() as i64);
        bindings.arrays.insert(input, ArrayData::Int(INTS.to_vec()));
        check_layouts(&func, &index_of(&func), &bindings, &slots());
    }
}
