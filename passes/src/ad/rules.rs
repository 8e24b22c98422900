//! The partials of every operation: first and second, one table.
//!
//! `v = op(args)`. [`first`] gives `dv/da_i`, [`second`] gives `d2v/da_i da_j`, as values built from the arguments and from `v`
//! itself where that is cheaper. `None` is a structural zero: it decides patterns, so it must hold for every argument value
//! (kinks and jumps count by the derivative beside them).
//!
//! Conventions at the edges: `abs` has slope 0 at 0; ties of `min`/`max` take the first argument's slope (second-order zero);
//! a partial given by the author (`attach(v, a, p)`, slope `p` in `a`) changes as `p` does: its first order stops at `p`, its second order is
//! the product of the changes of `a` and `p`; `pow(a, b)` has slope `b a^(b-1)` in `a`, and in `b` the logarithm is taken of positive bases only (slope 0 elsewhere).

use spadina_ir::builder::Builder;
use spadina_ir::func::Value;
use spadina_ir::op::Op;
use spadina_ir::types::Ty;

/// First partials by argument.
pub type First = Vec<Option<Value>>;

/// Second partials: `(i, j, value)` with `i <= j`, structural zeros left out.
pub type Second = Vec<(usize, usize, Value)>;

fn ty(b: &Builder, v: Value) -> Ty {
    b.func().ty(v)
}

fn lit(b: &mut Builder, like: Value, x: f64) -> Value {
    let ty = ty(b, like);
    b.float(ty, x)
}

fn square(b: &mut Builder, a: Value) -> Value {
    b.mul(a, a)
}

fn recip(b: &mut Builder, a: Value) -> Value {
    let one = lit(b, a, 1.0);
    b.div(one, a)
}

/// True where every first partial is structurally zero: no derivative passes through.
pub fn is_flat(op: Op) -> bool {
    matches!(op.smoothness(), spadina_ir::op::Smoothness::Discrete | spadina_ir::op::Smoothness::Flat)
}

/// First partials of `v = op(args)` with respect to each argument.
pub fn first(b: &mut Builder, op: Op, args: &[Value], v: Value) -> First {
    let a = args[0];
    let x = args.get(1).copied().unwrap_or(a);
    let one = |b: &mut Builder| Some(lit(b, v, 1.0));
    match op {
        Op::Add => vec![one(b), one(b)],
        Op::Sub => vec![one(b), Some(lit(b, v, -1.0))],
        Op::Mul => vec![Some(x), Some(a)],
        Op::Div => {
            let r = recip(b, x);
            let q = b.mul(v, r);
            vec![Some(r), Some(b.neg(q))]
        }
        Op::Neg => vec![Some(lit(b, v, -1.0))],
        Op::Rem => {
            let q = b.div(a, x);
            let f = b.op(Op::Floor, &[q]);
            vec![one(b), Some(b.neg(f))]
        }
        Op::Abs => vec![Some(b.op(Op::Sign, &[a]))],
        Op::Copysign => {
            // d|a|/da * sign(x): sign(a) * copysign(1, x)
            let sa = b.op(Op::Sign, &[a]);
            let l = lit(b, v, 1.0);
            let sx = b.op(Op::Copysign, &[l, x]);
            vec![Some(b.mul(sa, sx)), None]
        }
        Op::Min | Op::Max => {
            let second = if op == Op::Min { b.op(Op::FloatLt, &[x, a]) } else { b.op(Op::FloatLt, &[a, x]) };
            let (l0, l1) = (lit(b, v, 0.0), lit(b, v, 1.0));
            vec![Some(b.select(second, l0, l1)), Some(b.select(second, l1, l0))]
        }
        Op::Sqrt => {
            let half = lit(b, v, 0.5);
            vec![Some(b.div(half, v))]
        }
        Op::Cbrt => {
            // v / (3 a) fails at 0 only, as the derivative does; 1 / (3 v^2)
            let v2 = square(b, v);
            let third = lit(b, v, 1.0 / 3.0);
            vec![Some(b.div(third, v2))]
        }
        Op::Exp => vec![Some(v)],
        Op::Expm1 => vec![Some(b.op(Op::Exp, &[a]))],
        Op::Log => vec![Some(recip(b, a))],
        Op::Log1p => {
            let l1 = lit(b, v, 1.0);
            let s = b.add(l1, a);
            vec![Some(recip(b, s))]
        }
        Op::Log2 | Op::Log10 => {
            let ln = if op == Op::Log2 { std::f64::consts::LN_2 } else { std::f64::consts::LN_10 };
            let c = lit(b, v, 1.0 / ln);
            vec![Some(b.div(c, a))]
        }
        Op::Sin => vec![Some(b.op(Op::Cos, &[a]))],
        Op::Cos => {
            let s = b.op(Op::Sin, &[a]);
            vec![Some(b.neg(s))]
        }
        Op::Tan => {
            let v2 = square(b, v);
            let l1 = lit(b, v, 1.0);
            vec![Some(b.add(l1, v2))]
        }
        Op::Asin | Op::Acos => {
            let r = inverse_sqrt_one_minus_square(b, a);
            vec![Some(if op == Op::Asin { r } else { b.neg(r) })]
        }
        Op::Atan => {
            let a2 = square(b, a);
            let l1 = lit(b, v, 1.0);
            let s = b.add(l1, a2);
            vec![Some(recip(b, s))]
        }
        Op::Atan2 => {
            // v = atan2(a, x): dv/da = x / (a^2 + x^2), dv/dx = -a / (a^2 + x^2)
            let r = recip_sqnorm(b, a, x);
            let da = b.mul(x, r);
            let dx = b.mul(a, r);
            vec![Some(da), Some(b.neg(dx))]
        }
        Op::Sinh => vec![Some(b.op(Op::Cosh, &[a]))],
        Op::Cosh => vec![Some(b.op(Op::Sinh, &[a]))],
        Op::Tanh => {
            let v2 = square(b, v);
            let l1 = lit(b, v, 1.0);
            vec![Some(b.sub(l1, v2))]
        }
        Op::Asinh => {
            let a2 = square(b, a);
            let l1 = lit(b, v, 1.0);
            let s = b.add(l1, a2);
            let r = b.op(Op::Sqrt, &[s]);
            vec![Some(recip(b, r))]
        }
        Op::Acosh => {
            let a2 = square(b, a);
            let l1 = lit(b, v, 1.0);
            let s = b.sub(a2, l1);
            let r = b.op(Op::Sqrt, &[s]);
            vec![Some(recip(b, r))]
        }
        Op::Atanh => {
            let a2 = square(b, a);
            let l1 = lit(b, v, 1.0);
            let s = b.sub(l1, a2);
            vec![Some(recip(b, s))]
        }
        Op::Pow => {
            let (da, log) = (pow_slope(b, a, x), safe_log(b, a));
            vec![Some(da), Some(b.mul(v, log))]
        }
        Op::Hypot => vec![Some(b.div(a, v)), Some(b.div(x, v))],
        Op::Erf => {
            let a2 = square(b, a);
            let n = b.neg(a2);
            let e = b.op(Op::Exp, &[n]);
            let c = lit(b, v, std::f64::consts::FRAC_2_SQRT_PI);
            vec![Some(b.mul(c, e))]
        }
        Op::Softplus => vec![Some(logistic(b, a, v))],
        Op::Narrow | Op::Widen => vec![one(b)],
        Op::ProjectClamp | Op::ProjectAbs => vec![one(b), None],
        // The slope is a number here: how it changes is a matter of the second order.
        Op::Attach => vec![one(b), Some(args[2]), None],
        Op::Select => {
            let (l0, l1) = (lit(b, v, 0.0), lit(b, v, 1.0));
            vec![None, Some(b.select(a, l1, l0)), Some(b.select(a, l0, l1))]
        }
        Op::Sign
        | Op::Floor
        | Op::Ceil
        | Op::Round
        | Op::Trunc
        | Op::StopGradient
        | Op::Hidden
        | Op::FloatEq
        | Op::FloatNe
        | Op::FloatLt
        | Op::FloatLe
        | Op::IntAdd
        | Op::IntSub
        | Op::IntMul
        | Op::IntDiv
        | Op::IntMod
        | Op::IntMin
        | Op::IntMax
        | Op::IntEq
        | Op::IntNe
        | Op::IntLt
        | Op::IntLe
        | Op::And
        | Op::Or
        | Op::Not
        | Op::IntToFloat
        | Op::FloatToInt
        | Op::BoolToFloat
        | Op::Indicator => vec![None; args.len()],
    }
}

/// Second partials of `v = op(args)`.
pub fn second(b: &mut Builder, op: Op, args: &[Value], v: Value) -> Second {
    let a = args[0];
    let x = args.get(1).copied().unwrap_or(a);
    match op {
        Op::Mul => vec![(0, 1, lit(b, v, 1.0))],
        // d(p da) = dp da, half of it from either side: sums over the parameters of a function are symmetric.
        Op::Attach => vec![(1, 2, lit(b, v, 0.5))],
        Op::Div => {
            let r = recip(b, x);
            let r2 = square(b, r);
            let cross = b.neg(r2);
            let two_v = {
                let l2 = lit(b, v, 2.0);
                b.mul(l2, v)
            };
            vec![(0, 1, cross), (1, 1, b.mul(two_v, r2))]
        }
        Op::Sqrt => {
            // -1 / (4 v^3) = -(1/(2v)) / (2 a)
            let half = lit(b, v, 0.5);
            let p = b.div(half, v);
            let h = b.div(half, a);
            let h = b.mul(p, h);
            vec![(0, 0, b.neg(h))]
        }
        Op::Cbrt => {
            let v2 = square(b, v);
            let third = lit(b, v, 1.0 / 3.0);
            let p = b.div(third, v2);
            let c = lit(b, v, 2.0 / 3.0);
            let q = b.div(c, a);
            let h = b.mul(p, q);
            vec![(0, 0, b.neg(h))]
        }
        Op::Exp | Op::Sinh | Op::Cosh => vec![(0, 0, v)],
        Op::Expm1 => vec![(0, 0, b.op(Op::Exp, &[a]))],
        Op::Log => {
            let r = recip(b, a);
            let r2 = square(b, r);
            vec![(0, 0, b.neg(r2))]
        }
        Op::Log1p => {
            let l1 = lit(b, v, 1.0);
            let s = b.add(l1, a);
            let r = recip(b, s);
            let r2 = square(b, r);
            vec![(0, 0, b.neg(r2))]
        }
        Op::Log2 | Op::Log10 => {
            let p = first(b, op, args, v)[0].expect("log is not flat");
            let q = b.div(p, a);
            vec![(0, 0, b.neg(q))]
        }
        Op::Sin | Op::Cos => vec![(0, 0, b.neg(v))],
        Op::Tan => {
            let p = first(b, op, args, v)[0].expect("tan is not flat");
            let l2 = lit(b, v, 2.0);
            let t = b.mul(l2, v);
            vec![(0, 0, b.mul(t, p))]
        }
        Op::Asin | Op::Acos => {
            let r = inverse_sqrt_one_minus_square(b, a);
            let r2 = square(b, r);
            let r3 = b.mul(r2, r);
            let h = b.mul(a, r3);
            vec![(0, 0, if op == Op::Asin { h } else { b.neg(h) })]
        }
        Op::Atan => {
            let p = first(b, op, args, v)[0].expect("atan is not flat");
            let p2 = square(b, p);
            let l2 = lit(b, v, 2.0);
            let t = b.mul(l2, a);
            let h = b.mul(t, p2);
            vec![(0, 0, b.neg(h))]
        }
        Op::Atan2 => {
            // with r = 1/(a^2+x^2): aa = -2 a x r^2, ax = (a^2 - x^2) r^2, xx = 2 a x r^2
            let r = recip_sqnorm(b, a, x);
            let da = b.mul(x, r);
            let dx = b.mul(a, r);
            let product = b.mul(da, dx);
            let l2 = lit(b, v, 2.0);
            let twice = b.mul(l2, product);
            let (da2, dx2) = (square(b, da), square(b, dx));
            let cross = b.sub(dx2, da2);
            let minus = b.neg(twice);
            vec![(0, 0, minus), (0, 1, cross), (1, 1, twice)]
        }
        Op::Tanh => {
            let p = first(b, op, args, v)[0].expect("tanh is not flat");
            let l2 = lit(b, v, 2.0);
            let t = b.mul(l2, v);
            let h = b.mul(t, p);
            vec![(0, 0, b.neg(h))]
        }
        Op::Asinh | Op::Acosh => {
            let p = first(b, op, args, v)[0].expect("not flat");
            let p2 = square(b, p);
            let p3 = b.mul(p2, p);
            let h = b.mul(a, p3);
            vec![(0, 0, b.neg(h))]
        }
        Op::Atanh => {
            let p = first(b, op, args, v)[0].expect("not flat");
            let p2 = square(b, p);
            let l2 = lit(b, v, 2.0);
            let t = b.mul(l2, a);
            vec![(0, 0, b.mul(t, p2))]
        }
        Op::Pow => {
            // aa = b (b-1) a^(b-2), ab = a^(b-1) (1 + b log a), bb = v log(a)^2
            let l1 = lit(b, v, 1.0);
            let x1 = b.sub(x, l1);
            let slope_of_slope = pow_slope(b, a, x1);
            let aa = b.mul(x, slope_of_slope);
            let aa = flat_at_zero(b, (a, x), aa);
            let log = safe_log(b, a);
            let power = b.op(Op::Pow, &[a, x1]);
            let da = pow_slope(b, a, x);
            let t = b.mul(da, log);
            let ab = b.add(power, t);
            let log2 = square(b, log);
            vec![(0, 0, aa), (0, 1, ab), (1, 1, b.mul(v, log2))]
        }
        Op::Hypot => {
            // with r = 1/v: aa = x^2 r^3, ax = -a x r^3, xx = a^2 r^3
            let r = recip(b, v);
            let (ca, cx) = (b.mul(a, r), b.mul(x, r));
            let (ca2, cx2) = (square(b, ca), square(b, cx));
            let cross = b.mul(ca, cx);
            let cross = b.mul(cross, r);
            let (aa, xx) = (b.mul(cx2, r), b.mul(ca2, r));
            vec![(0, 0, aa), (0, 1, b.neg(cross)), (1, 1, xx)]
        }
        Op::Erf => {
            let p = first(b, op, args, v)[0].expect("not flat");
            let l2 = lit(b, v, 2.0);
            let t = b.mul(l2, a);
            let h = b.mul(t, p);
            vec![(0, 0, b.neg(h))]
        }
        Op::Softplus => {
            let s = logistic(b, a, v);
            let l1 = lit(b, v, 1.0);
            let c = b.sub(l1, s);
            vec![(0, 0, b.mul(s, c))]
        }
        Op::Add
        | Op::Sub
        | Op::Neg
        | Op::Rem
        | Op::Abs
        | Op::Copysign
        | Op::ProjectClamp
        | Op::ProjectAbs
        | Op::Min
        | Op::Max
        | Op::Narrow
        | Op::Widen
        | Op::Select
        | Op::Sign
        | Op::Floor
        | Op::Ceil
        | Op::Round
        | Op::Trunc
        | Op::StopGradient
        | Op::Hidden
        | Op::FloatEq
        | Op::FloatNe
        | Op::FloatLt
        | Op::FloatLe
        | Op::IntAdd
        | Op::IntSub
        | Op::IntMul
        | Op::IntDiv
        | Op::IntMod
        | Op::IntMin
        | Op::IntMax
        | Op::IntEq
        | Op::IntNe
        | Op::IntLt
        | Op::IntLe
        | Op::And
        | Op::Or
        | Op::Not
        | Op::IntToFloat
        | Op::FloatToInt
        | Op::BoolToFloat
        | Op::Indicator => Vec::new(),
    }
}

/// `1 / sqrt(1 - a^2)`
fn inverse_sqrt_one_minus_square(b: &mut Builder, a: Value) -> Value {
    let a2 = square(b, a);
    let l1 = lit(b, a, 1.0);
    let s = b.sub(l1, a2);
    let r = b.op(Op::Sqrt, &[s]);
    recip(b, r)
}

/// `1 / (a^2 + x^2)`
fn recip_sqnorm(b: &mut Builder, a: Value, x: Value) -> Value {
    let (a2, x2) = (square(b, a), square(b, x));
    let s = b.add(a2, x2);
    recip(b, s)
}

/// `1 / (1 + exp(-a))`, as `exp(a - softplus(a))`: neither it nor its derivatives meet an infinity.
fn logistic(b: &mut Builder, a: Value, softplus: Value) -> Value {
    let rest = b.sub(a, softplus);
    b.op(Op::Exp, &[rest])
}

/// `x a^(x-1)`, and 0 where both are 0 (so that `pow(a, 0)` is flat at `a = 0` too).
fn pow_slope(b: &mut Builder, a: Value, x: Value) -> Value {
    let l1 = lit(b, a, 1.0);
    let x1 = b.sub(x, l1);
    let power = b.op(Op::Pow, &[a, x1]);
    let product = b.mul(x, power);
    flat_at_zero(b, (a, x), product)
}

/// `value`, and 0 where `a` and `x` are: there a factor 0 meets an infinite one. Elsewhere it still changes with both.
fn flat_at_zero(b: &mut Builder, (a, x): (Value, Value), value: Value) -> Value {
    let l0 = lit(b, a, 0.0);
    let flat = [a, x].map(|v| b.op(Op::FloatEq, &[v, l0]));
    let flat = b.op(Op::And, &flat);
    b.select(flat, l0, value)
}

/// `log a` for positive `a`, else 0.
fn safe_log(b: &mut Builder, a: Value) -> Value {
    let l0 = lit(b, a, 0.0);
    let positive = b.op(Op::FloatLt, &[l0, a]);
    let log = b.op(Op::Log, &[a]);
    b.select(positive, log, l0)
}
