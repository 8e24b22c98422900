//! What every scalar operation computes: the one definition that folding, the interpreter and compiled code share.
//!
//! Compiled code calls the functions of [`unary_fn`] and [`binary_fn`] where the target has no instruction, so the
//! interpreter and the JIT agree to the last bit. `exp`, `log`, `sin` and `cos` are our own ([`elementary`]), so that code can have them in line;
//! other functions that C's libm has are taken from it (through `std`).

pub mod elementary;

use crate::func::Const;
use crate::op::Op;

/// Whether literals that scale something may be multiplied into this one: between about `2^-64` and `2^64`. Beyond, a product may be zero or
/// infinite where no result is.
pub fn is_moderate(literal: f64) -> bool {
    (5e-20..=2e19).contains(&literal.abs())
}

/// Whether a product or quotient of numbers is zero though none of them is: it stays an operation, for a literal zero is a structural one.
pub fn vanishes(operands: [f64; 2], result: f64) -> bool {
    result == 0.0 && operands.iter().all(|&x| x != 0.0 && x.is_finite())
}

/// The value of an operation on literals; `None` where types do not fit.
pub fn eval(op: Op, args: &[Const]) -> Option<Const> {
    Some(match *args {
        [Const::F64(a)] => match op {
            Op::FloatToInt => Const::Int(a as i64),
            Op::Narrow => Const::F32(a as f32),
            _ => Const::F64(unary_fn(op)?(a)),
        },
        [Const::F32(a)] => match op {
            Op::FloatToInt => Const::Int(a as i64),
            Op::Widen => Const::F64(f64::from(a)),
            _ => Const::F32(unary_f32(op, a)?),
        },
        [Const::Int(a)] => match op {
            Op::IntToFloat => Const::F64(a as f64),
            _ => return None,
        },
        [Const::Bool(a)] => match op {
            Op::Not => Const::Bool(!a),
            Op::BoolToFloat => Const::F64(f64::from(u8::from(a))),
            _ => return None,
        },
        [Const::F64(a), Const::F64(b)] => match compare(op, a, b) {
            Some(truth) => Const::Bool(truth),
            None => Const::F64(binary_fn(op)?(a, b)),
        },
        [Const::F32(a), Const::F32(b)] => match compare(op, f64::from(a), f64::from(b)) {
            Some(truth) => Const::Bool(truth),
            None => Const::F32(binary_f32(op, a, b)?),
        },
        [Const::Int(a), Const::Int(b)] => int_binary(op, a, b)?,
        [Const::Bool(a), Const::Bool(b)] => match op {
            Op::And => Const::Bool(a && b),
            Op::Or => Const::Bool(a || b),
            _ => return None,
        },
        [a @ (Const::F64(_) | Const::F32(_)), b, c]
            if op == Op::Attach && a.ty() == b.ty() && a.ty() == c.ty() =>
        {
            a
        }
        [Const::Bool(c), a, b] if op == Op::Select && a.ty() == b.ty() => {
            if c {
                a
            } else {
                b
            }
        }
        _ => return None,
    })
}

fn int_binary(op: Op, a: i64, b: i64) -> Option<Const> {
    Some(match op {
        Op::IntAdd => Const::Int(a.wrapping_add(b)),
        Op::IntSub => Const::Int(a.wrapping_sub(b)),
        Op::IntMul => Const::Int(a.wrapping_mul(b)),
        Op::IntDiv => Const::Int(floor_div(a, b)),
        Op::IntMod => Const::Int(floor_mod(a, b)),
        Op::IntMin => Const::Int(a.min(b)),
        Op::IntMax => Const::Int(a.max(b)),
        Op::IntEq => Const::Bool(a == b),
        Op::IntNe => Const::Bool(a != b),
        Op::IntLt => Const::Bool(a < b),
        Op::IntLe => Const::Bool(a <= b),
        Op::Indicator => Const::F64(f64::from(u8::from(a == b))),
        _ => return None,
    })
}

/// Quotient rounded toward minus infinity; 0 for a zero divisor.
pub fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let quotient = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && ((a < 0) != (b < 0)) { quotient.wrapping_sub(1) } else { quotient }
}

/// Remainder in `0..|b|`; 0 for a zero modulus.
pub fn floor_mod(a: i64, b: i64) -> i64 {
    if b == 0 { 0 } else { a.wrapping_rem_euclid(b) }
}

fn compare(op: Op, a: f64, b: f64) -> Option<bool> {
    Some(match op {
        Op::FloatEq => a == b,
        Op::FloatNe => a != b,
        Op::FloatLt => a < b,
        Op::FloatLe => a <= b,
        _ => return None,
    })
}

/// The function behind a one-argument float operation.
pub fn unary_fn(op: Op) -> Option<fn(f64) -> f64> {
    Some(match op {
        Op::Neg => |a| -a,
        Op::Abs => f64::abs,
        Op::Sign => sign,
        Op::Floor => f64::floor,
        Op::Ceil => f64::ceil,
        Op::Round => f64::round,
        Op::Trunc => f64::trunc,
        Op::Sqrt => f64::sqrt,
        Op::Cbrt => f64::cbrt,
        Op::Exp => exp,
        Op::Expm1 => f64::exp_m1,
        Op::Log => log,
        Op::Log1p => f64::ln_1p,
        Op::Log2 => f64::log2,
        Op::Log10 => f64::log10,
        Op::Sin => sin,
        Op::Cos => cos,
        Op::Tan => f64::tan,
        Op::Asin => f64::asin,
        Op::Acos => f64::acos,
        Op::Atan => f64::atan,
        Op::Sinh => f64::sinh,
        Op::Cosh => f64::cosh,
        Op::Tanh => f64::tanh,
        Op::Asinh => libm::asinh,
        Op::Acosh => libm::acosh,
        Op::Atanh => libm::atanh,
        Op::Erf => libm::erf,
        Op::Softplus => softplus,
        Op::StopGradient | Op::Hidden => |a| a,
        _ => return None,
    })
}

/// The function behind a two-argument float operation.
pub fn binary_fn(op: Op) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        Op::Add => |a, b| a + b,
        Op::Sub => |a, b| a - b,
        Op::Mul => |a, b| a * b,
        Op::Div => |a, b| a / b,
        Op::Rem => |a, b| a - b * (a / b).floor(),
        // A zero of either sign counts as positive: which one it is depends on the road that computed it.
        Op::Copysign => |a, b| a.copysign(b + 0.0),
        Op::ProjectClamp | Op::ProjectAbs => |a, _| a,
        Op::Min => |a, b| if b < a || b.is_nan() { b } else { a },
        Op::Max => |a, b| if b > a || b.is_nan() { b } else { a },
        Op::Atan2 => f64::atan2,
        Op::Pow => f64::powf,
        Op::Hypot => f64::hypot,
        _ => return None,
    })
}

/// -1, 0 or 1; NaN stays NaN.
fn sign(a: f64) -> f64 {
    if a > 0.0 {
        1.0
    } else if a < 0.0 {
        -1.0
    } else {
        a
    }
}

/// `log(1 + exp(a))` without overflow.
fn softplus(a: f64) -> f64 {
    a.max(0.0) + exp(-a.abs()).ln_1p()
}

fn exp(a: f64) -> f64 {
    elementary::exp(&mut elementary::Plain, a)
}

fn log(a: f64) -> f64 {
    elementary::log(&mut elementary::Plain, a)
}

fn sin(a: f64) -> f64 {
    if a.abs() <= elementary::LARGEST_ANGLE { elementary::sin(&mut elementary::Plain, a) } else { a.sin() }
}

fn cos(a: f64) -> f64 {
    if a.abs() <= elementary::LARGEST_ANGLE { elementary::cos(&mut elementary::Plain, a) } else { a.cos() }
}

/// Single-precision operations: the basic ones in single precision, the others rounded from double.
fn unary_f32(op: Op, a: f32) -> Option<f32> {
    Some(match op {
        Op::Sqrt => a.sqrt(),
        _ => unary_fn(op)?(f64::from(a)) as f32,
    })
}

fn binary_f32(op: Op, a: f32, b: f32) -> Option<f32> {
    Some(match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div => a / b,
        _ => binary_fn(op)?(f64::from(a), f64::from(b)) as f32,
    })
}
