//! The names that the language itself brings: types, functions and constants.

use crate::op::Op;

const TYPES: [&str; 14] = [
    "f64", "f32", "int", "bool", "complex", "index", "offsets", "vec2", "vec3", "vec4", "mat2", "mat3",
    "mat4", "number",
];

/// Functions that are more than one scalar operation.
const FUNCTIONS: [&str; 43] = [
    "dot",
    "cross",
    "norm",
    "sqnorm",
    "det",
    "inv",
    "transpose",
    "trace",
    "cols",
    "rows",
    "diag",
    "identity",
    "outer",
    "hadamard",
    "normalize",
    "min",
    "max",
    "clamp",
    "pow",
    "abs",
    "len",
    "int",
    "f64",
    "f32",
    "complex",
    "conj",
    "re",
    "im",
    "arg",
    "vec2",
    "vec3",
    "vec4",
    "mat2",
    "mat3",
    "mat4",
    "stop_gradient",
    "sum",
    "prod",
    "exp",
    "sqrt",
    "inf",
    "pi",
    "sign",
];

/// Is it the name of a built-in type?
pub(super) fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// Is it the name of a built-in function or constant?
pub(super) fn is_builtin(name: &str) -> bool {
    FUNCTIONS.contains(&name) || scalar_unary(name).is_some() || scalar_binary(name).is_some()
}

/// All names that can be called, for suggestions.
pub(super) fn callable<'a>() -> impl Iterator<Item = &'a str> {
    let scalars = Op::ALL
        .iter()
        .map(|op| op.name())
        .filter(|name| scalar_unary(name).is_some() || scalar_binary(name).is_some());
    FUNCTIONS
        .into_iter()
        .filter(|name| !matches!(*name, "inf" | "pi"))
        .chain(scalars)
        .map(|name| -> &str { name })
}

/// All names of types, for suggestions.
pub(super) fn types<'a>() -> impl Iterator<Item = &'a str> {
    TYPES.into_iter().map(|name| -> &str { name }).filter(|name| *name != "number")
}

/// The operation of a function from one float to a float.
pub(super) fn scalar_unary(name: &str) -> Option<Op> {
    Some(match name {
        "sin" => Op::Sin,
        "cos" => Op::Cos,
        "tan" => Op::Tan,
        "asin" => Op::Asin,
        "acos" => Op::Acos,
        "atan" => Op::Atan,
        "sinh" => Op::Sinh,
        "cosh" => Op::Cosh,
        "tanh" => Op::Tanh,
        "asinh" => Op::Asinh,
        "acosh" => Op::Acosh,
        "atanh" => Op::Atanh,
        "exp" => Op::Exp,
        "log" => Op::Log,
        "log1p" => Op::Log1p,
        "expm1" => Op::Expm1,
        "log2" => Op::Log2,
        "log10" => Op::Log10,
        "sqrt" => Op::Sqrt,
        "cbrt" => Op::Cbrt,
        "sign" => Op::Sign,
        "floor" => Op::Floor,
        "ceil" => Op::Ceil,
        "round" => Op::Round,
        "trunc" => Op::Trunc,
        "erf" => Op::Erf,
        "softplus" => Op::Softplus,
        _ => return None,
    })
}

/// The operation of a function from two floats to a float.
pub(super) fn scalar_binary(name: &str) -> Option<Op> {
    Some(match name {
        "atan2" => Op::Atan2,
        "copysign" => Op::Copysign,
        "hypot" => Op::Hypot,
        _ => return None,
    })
}

/// Does a call of this built-in always give a scalar?
pub(super) fn gives_scalar(name: &str) -> bool {
    let others = [
        "dot", "norm", "sqnorm", "det", "trace", "min", "max", "clamp", "len", "int", "f64", "f32", "re",
        "im", "arg",
    ];
    others.contains(&name) || (scalar_unary(name).is_some() && name != "exp") || scalar_binary(name).is_some()
}
