//! Hash-consing: equal instructions are one where the first is visible, and two where it is not.

use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Carry, Func, Value};
use spadina_ir::op::Op;
use spadina_ir::text::{parse, print};
use spadina_ir::verify::verify;

/// A builder with the buffers `x` (unknowns), `t` (scratch) and `value` (the result), and `x[0]`.
fn start() -> (Builder, [Buffer; 3], Value) {
    let declarations = "func @f(size N) {\n  buffer x: var f64[N]\n  buffer t: scratch f64[2]\n  buffer value: output f64\n  columns x\n}";
    let func = parse(declarations).expect("the text is legal");
    let mut b = Builder::from_declarations(&func, "f");
    let buffers: Vec<Buffer> = func.buffers.keys().collect();
    let zero = b.int(0);
    let x = b.load(buffers[0], &[zero]);
    (b, [buffers[0], buffers[1], buffers[2]], x)
}

fn finished(b: Builder) -> Func {
    let func = b.finish();
    assert_eq!(verify(&func), [], "{}", print(&func));
    func
}

#[test]
fn branches_do_not_see_each_other() {
    let (mut b, [_, _, value], x) = start();
    let zero = b.f64(0.0);
    let positive = b.op(Op::FloatLt, &[zero, x]);
    b.begin_if(positive);
    let first = b.mul(x, x);
    assert_eq!(b.mul(x, x), first);
    b.begin_else(&[first]);
    let second = b.mul(x, x);
    assert_eq!(b.mul(x, x), second);
    let chosen = b.end_if(&[second])[0];
    let after = b.mul(x, x);
    assert_eq!(b.mul(x, x), after);
    assert!(first != second && second != after && first != after);
    let sum = b.add(chosen, after);
    b.accum(value, &[], sum);
    finished(b);
}

#[test]
fn inner_regions_see_outer_ones_and_not_the_other_way_round() {
    let (mut b, [.., value], x) = start();
    let outside = b.mul(x, x);
    let (lo, hi) = (b.int(0), b.int(3));
    let mut inside = Vec::new();
    for _ in 0..2 {
        let (_, states) = b.begin_loop(lo, hi, 1, &[Carry::State(x)]);
        assert_eq!(b.mul(x, x), outside);
        let two = b.f64(2.0);
        let twice = b.mul(two, x);
        let (inner_lo, inner_hi) = (b.int(0), b.int(2));
        b.begin_loop(inner_lo, inner_hi, 1, &[]);
        assert_eq!(b.mul(two, x), twice);
        let own = b.mul(states[0], twice);
        b.accum(value, &[], own);
        b.end_loop(&[]);
        let again = b.mul(states[0], twice);
        assert_ne!(again, own);
        b.end_loop(&[again]);
        inside.extend([twice, own, again]);
    }
    // No value of the first loop is used in the second, nor behind them.
    inside.sort();
    inside.dedup();
    assert_eq!(inside.len(), 6);
    let two = b.f64(2.0);
    let twice = b.mul(two, x);
    assert!(!inside.contains(&twice));
    b.accum(value, &[], twice);
    finished(b);
}

#[test]
fn what_was_abandoned_or_dropped_is_made_again() {
    let (mut b, [_, _, value], x) = start();
    let (lo, hi, depth) = (b.int(0), b.int(3), b.depth());
    b.begin_loop(lo, hi, 1, &[]);
    let abandoned = b.mul(x, x);
    b.abandon(depth);
    b.begin_loop(lo, hi, 1, &[]);
    let dropped = b.mul(x, x);
    // A loop without effects is dropped.
    assert!(b.end_loop(&[]).is_empty());
    let kept = b.mul(x, x);
    assert!(kept != abandoned && kept != dropped && abandoned != dropped);
    b.accum(value, &[], kept);
    finished(b);
}

#[test]
fn reads_of_what_was_cleared_are_new() {
    let (mut b, [_, t, value], x) = start();
    let zero = b.int(0);
    b.reset(t);
    b.accum(t, &[zero], x);
    let first = b.load(t, &[zero]);
    assert_eq!(b.load(t, &[zero]), first);
    b.reset(t);
    b.accum(t, &[zero], first);
    let second = b.load(t, &[zero]);
    assert_ne!(first, second);
    let sum = b.add(first, second);
    b.accum(value, &[], sum);
    finished(b);
}
