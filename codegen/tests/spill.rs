//! More floats alive than there are registers: through calls, branches and loops, in vectors and alone, against the interpreter, to the bit.
#![allow(clippy::unwrap_used)]
mod common;

use common::{all_slots, buffer, check_layouts};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Carry, Func, Role, Value};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};

const N: i64 = 5;
const MANY: usize = 60;

/// Adds up products of neighbors from both ends, so that every value is needed late.
fn mixed(b: &mut Builder, values: &[Value]) -> Value {
    let mut sum = b.f64(0.25);
    for (n, &value) in values.iter().rev().enumerate() {
        let product = b.mul(value, values[n]);
        sum = if n % 3 == 0 { b.sub(sum, product) } else { b.add(product, sum) };
    }
    sum
}

/// `y[i]` and a scalar from many values of `x[i]` that wait for each other; `between` makes more of them meanwhile.
fn check(between: impl Fn(&mut Builder, &[Value]) -> Value) {
    let mut b = Builder::new(Func::new("crowded"));
    let n = b.size_symbol("N");
    let dims = [SizeExpr::size(n)];
    let x = buffer(&mut b, "x", Ty::F64, &dims, Role::Data);
    let y = buffer(&mut b, "y", Ty::F64, &dims, Role::Output);
    let total = buffer(&mut b, "total", Ty::F64, &[], Role::Output);
    let mut inputs = Bindings::default();
    inputs.sizes.insert(n, N);
    inputs.arrays.insert(x, ArrayData::F64(vec![1.5, -2.0, 0.0, 3.25, -0.75]));
    let (zero, bound) = (b.int(0), b.size(&SizeExpr::size(n)));
    let (i, _) = b.begin_loop(zero, bound, 1, &[]);
    let at = b.load(x, &[i]);
    let mut values = vec![at];
    while values.len() < MANY {
        let literal = b.f64(0.5 + values.len() as f64 / 64.0);
        let scaled = b.mul(values[values.len() / 2], literal);
        values.push(b.add(scaled, at));
    }
    let middle = between(&mut b, &values);
    values.push(middle);
    let sum = mixed(&mut b, &values);
    b.accum(y, &[i], sum);
    for &value in &values {
        b.accum(total, &[], value);
        b.accum(y, &[zero], value);
    }
    b.end_loop(&[]);
    let func = b.finish();
    check_layouts(&func, &func, &inputs, &all_slots()[..2]);
}

#[test]
fn many_values_wait() {
    check(mixed);
}

#[test]
fn values_wait_through_calls() {
    check(|b, values| {
        let squares: Vec<Value> = values.iter().map(|&v| b.mul(v, v)).collect();
        let called: Vec<Value> = squares.iter().take(20).map(|&v| b.op(Op::Atan, &[v])).collect();
        mixed(b, &[called, squares].concat())
    });
}

#[test]
fn values_wait_through_branches() {
    check(|b, values| {
        let (first, last) = (values[0], values[values.len() - 1]);
        let less = b.op(Op::FloatLt, &[first, last]);
        b.begin_if(less);
        let yes = mixed(b, values);
        b.begin_else(&[yes]);
        let no = mixed(b, &values[3..40]);
        b.end_if(&[no])[0]
    });
}

#[test]
fn values_wait_through_loops() {
    check(|b, values| {
        let (zero, three) = (b.int(0), b.int(3));
        let (_, states) = b.begin_loop(zero, three, 1, &[Carry::State(values[1]), Carry::Sum]);
        let inside: Vec<Value> = values.iter().map(|&v| b.mul(v, states[0])).collect();
        let sum = mixed(b, &inside);
        let half = b.f64(0.5);
        let next = b.mul(states[0], half);
        b.end_loop(&[next, sum])[1]
    });
}
