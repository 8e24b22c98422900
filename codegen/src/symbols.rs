//! The functions that compiled code calls: C's libm by name, and for the JIT the very functions of the interpreter.

use spadina_ir::math;
use spadina_ir::op::Op;
use spadina_ir::project::{Filter, Projection, project};

/// A function of one or two `f64` arguments that compiled code calls.
#[derive(Clone, Copy)]
pub struct Symbol {
    /// Its name in C's libm.
    pub name: &'static str,
    /// Number of arguments.
    pub arity: usize,
    /// The host's function, for the JIT.
    pub host: Host,
}

/// A host function with the C calling convention.
#[derive(Clone, Copy)]
pub enum Host {
    /// One argument.
    Unary(extern "C" fn(f64) -> f64),
    /// Two arguments.
    Binary(extern "C" fn(f64, f64) -> f64),
}

macro_rules! unary {
    ($name:literal, |$a:ident| $body:expr) => {{
        extern "C" fn host($a: f64) -> f64 {
            $body
        }
        Symbol { name: $name, arity: 1, host: Host::Unary(host) }
    }};
}

macro_rules! binary {
    ($name:literal, |$a:ident, $b:ident| $body:expr) => {{
        extern "C" fn host($a: f64, $b: f64) -> f64 {
            $body
        }
        Symbol { name: $name, arity: 2, host: Host::Binary(host) }
    }};
}

/// The interpreter's function, where std has none of its own.
fn shared(op: Op, a: f64) -> f64 {
    math::unary_fn(op).map_or(f64::NAN, |f| f(a))
}

/// The function behind an operation that has no instruction, or `None` where code is made inline.
pub fn symbol(op: Op) -> Option<Symbol> {
    Some(match op {
        Op::Cbrt => unary!("cbrt", |a| a.cbrt()),
        Op::Expm1 => unary!("expm1", |a| a.exp_m1()),
        Op::Log1p => unary!("log1p", |a| a.ln_1p()),
        Op::Log2 => unary!("log2", |a| a.log2()),
        Op::Log10 => unary!("log10", |a| a.log10()),
        Op::Sin => unary!("sin", |a| a.sin()),
        Op::Cos => unary!("cos", |a| a.cos()),
        Op::Tan => unary!("tan", |a| a.tan()),
        Op::Asin => unary!("asin", |a| a.asin()),
        Op::Acos => unary!("acos", |a| a.acos()),
        Op::Atan => unary!("atan", |a| a.atan()),
        Op::Sinh => unary!("sinh", |a| a.sinh()),
        Op::Cosh => unary!("cosh", |a| a.cosh()),
        Op::Tanh => unary!("tanh", |a| a.tanh()),
        Op::Asinh => unary!("asinh", |a| shared(Op::Asinh, a)),
        Op::Acosh => unary!("acosh", |a| shared(Op::Acosh, a)),
        Op::Atanh => unary!("atanh", |a| shared(Op::Atanh, a)),
        Op::Erf => unary!("erf", |a| shared(Op::Erf, a)),
        Op::Atan2 => binary!("atan2", |a, b| a.atan2(b)),
        Op::Pow => binary!("pow", |a, b| a.powf(b)),
        Op::Hypot => binary!("hypot", |a, b| a.hypot(b)),
        Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Neg
        | Op::Rem
        | Op::Abs
        | Op::Sign
        | Op::Copysign
        | Op::Min
        | Op::Max
        | Op::Floor
        | Op::Ceil
        | Op::Round
        | Op::Trunc
        | Op::Sqrt
        | Op::Softplus
        | Op::Exp
        | Op::Log
        | Op::StopGradient
        | Op::Hidden
        | Op::Attach
        | Op::ProjectClamp
        | Op::ProjectAbs
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
        | Op::Select
        | Op::IntToFloat
        | Op::FloatToInt
        | Op::BoolToFloat
        | Op::Indicator
        | Op::Narrow
        | Op::Widen => return None,
    })
}

/// The operations whose functions an operation calls: itself, or what its inline code is made of.
pub(crate) fn called(op: Op) -> &'static [Op] {
    match op {
        Op::Softplus => &[Op::Log1p],
        _ => Op::ALL.iter().position(|&o| o == op && symbol(o).is_some()).map_or(&[], |at| &Op::ALL[at..=at]),
    }
}

/// The name of the function that projects blocks of this many unknowns.
pub(crate) fn project_name(size: usize) -> String {
    format!("spadina_project_{size}")
}

/// Projects a block of `M` rows of `M` numbers, whose upper triangle counts. The caller is compiled code: `abs` is 1 for absolute
/// values, else 0.
extern "C" fn project_block<const M: usize>(
    block: &mut [[f64; M]; M],
    positions: &[i64; M],
    abs: i64,
    eps: f64,
) {
    let filter = if abs == 1 { Filter::Abs } else { Filter::Clamp };
    if let Some(projection) = Projection::new(filter, eps) {
        project(block, positions, projection);
    }
}

macro_rules! projections {
    ($($n:literal)*) => {
        /// The functions that project blocks, by size.
        pub(crate) fn projections() -> Vec<(usize, *const u8)> {
            vec![$(($n, project_block::<$n> as extern "C" fn(&mut [[f64; $n]; $n], &[i64; $n], i64, f64) as *const u8)),*]
        }
    };
}

projections! {
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
    33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64
}
