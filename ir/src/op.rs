//! The operation table: the one place that says which scalar operations exist, their names, types and smoothness.
//!
//! A new operation is a row here, a row in the partials table of the passes, an arm in [`crate::math`] (which the
//! interpreter and compiled code share), an arm in the code generator and a test. Nothing else matches on [`Op`]
//! exhaustively, and nothing matches with a wildcard.

use crate::types::Ty;

/// How derivatives of a float operation behave; decides patterns and lints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Smoothness {
    /// Not a float operation: no derivative is ever asked for.
    Discrete,
    /// Every derivative is zero where it exists (`floor`, `sign`).
    Flat,
    /// First derivative only; all second derivatives are zero (`+`, `-`, `abs`, `min`).
    Linear,
    /// Non-zero second derivatives.
    Smooth,
}

/// What an operation takes and gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signature {
    /// Floats of one width to the same width.
    Float,
    /// Floats of one width to `Bool`.
    FloatCompare,
    /// `Int`s to `Int`.
    Int,
    /// `Int`s to `Bool`.
    IntCompare,
    /// `Bool`s to `Bool`.
    Bool,
    /// `(Bool, T, T) -> T`.
    Select,
    /// `Int -> F64`.
    IntToFloat,
    /// A float to `Int`, truncating; structural.
    FloatToInt,
    /// `Bool -> F64`: 1 or 0.
    BoolToFloat,
    /// `(Int, Int) -> F64`: the one-hot indicator.
    Indicator,
    /// `F64 -> F32`.
    Narrow,
    /// `F32 -> F64`.
    Widen,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident $name:literal $arity:literal $signature:ident $smoothness:ident;)*) => {
        /// A scalar operation.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Op { $($(#[$doc])* $variant,)* }

        impl Op {
            /// Every operation, in table order.
            pub const ALL: &'static [Op] = &[$(Op::$variant,)*];

            /// The name in the SSA text.
            pub fn name(self) -> &'static str {
                match self { $(Op::$variant => $name,)* }
            }

            /// The number of arguments.
            pub fn arity(self) -> usize {
                match self { $(Op::$variant => $arity,)* }
            }

            /// What it takes and gives.
            pub fn signature(self) -> Signature {
                match self { $(Op::$variant => Signature::$signature,)* }
            }

            /// How its derivatives behave.
            pub fn smoothness(self) -> Smoothness {
                match self { $(Op::$variant => Smoothness::$smoothness,)* }
            }

            /// The operation of that SSA name.
            pub fn from_name(name: &str) -> Option<Op> {
                match name { $($name => Some(Op::$variant),)* _ => None }
            }
        }
    };
}

operations! {
    /// `a + b`
    Add "add" 2 Float Linear;
    /// `a - b`
    Sub "sub" 2 Float Linear;
    /// `a * b`
    Mul "mul" 2 Float Smooth;
    /// `a / b`
    Div "div" 2 Float Smooth;
    /// `-a`
    Neg "neg" 1 Float Linear;
    /// `a % b` with the sign of the divisor (`a - b * floor(a / b)`)
    Rem "rem" 2 Float Linear;
    /// `|a|`; the slope at 0 is 0
    Abs "abs" 1 Float Linear;
    /// -1, 0 or 1
    Sign "sign" 1 Float Flat;
    /// Magnitude of the first, sign of the second; zeros count as positive
    Copysign "copysign" 2 Float Linear;
    /// The smaller; ties take the first
    Min "min" 2 Float Linear;
    /// The larger; ties take the first
    Max "max" 2 Float Linear;
    /// Largest integer not above
    Floor "floor" 1 Float Flat;
    /// Smallest integer not below
    Ceil "ceil" 1 Float Flat;
    /// Nearest integer, ties away from zero
    Round "round" 1 Float Flat;
    /// Toward zero
    Trunc "trunc" 1 Float Flat;
    /// Square root
    Sqrt "sqrt" 1 Float Smooth;
    /// Cube root
    Cbrt "cbrt" 1 Float Smooth;
    /// Natural exponential
    Exp "exp" 1 Float Smooth;
    /// `exp(a) - 1`
    Expm1 "expm1" 1 Float Smooth;
    /// Natural logarithm
    Log "log" 1 Float Smooth;
    /// `log(1 + a)`
    Log1p "log1p" 1 Float Smooth;
    /// Base-2 logarithm
    Log2 "log2" 1 Float Smooth;
    /// Base-10 logarithm
    Log10 "log10" 1 Float Smooth;
    /// Sine
    Sin "sin" 1 Float Smooth;
    /// Cosine
    Cos "cos" 1 Float Smooth;
    /// Tangent
    Tan "tan" 1 Float Smooth;
    /// Arc sine
    Asin "asin" 1 Float Smooth;
    /// Arc cosine
    Acos "acos" 1 Float Smooth;
    /// Arc tangent
    Atan "atan" 1 Float Smooth;
    /// Angle of the point `(b, a)`
    Atan2 "atan2" 2 Float Smooth;
    /// Hyperbolic sine
    Sinh "sinh" 1 Float Smooth;
    /// Hyperbolic cosine
    Cosh "cosh" 1 Float Smooth;
    /// Hyperbolic tangent
    Tanh "tanh" 1 Float Smooth;
    /// Inverse hyperbolic sine
    Asinh "asinh" 1 Float Smooth;
    /// Inverse hyperbolic cosine
    Acosh "acosh" 1 Float Smooth;
    /// Inverse hyperbolic tangent
    Atanh "atanh" 1 Float Smooth;
    /// `a` to the power `b`
    Pow "pow" 2 Float Smooth;
    /// `sqrt(a^2 + b^2)` without overflow
    Hypot "hypot" 2 Float Smooth;
    /// Error function
    Erf "erf" 1 Float Smooth;
    /// `log(1 + exp(a))` without overflow
    Softplus "softplus" 1 Float Smooth;
    /// The value itself; its derivative is taken as zero
    StopGradient "stop_gradient" 1 Float Flat;
    /// A parameter inside a function whose partials are given: the value itself, without derivative
    Hidden "hidden" 1 Float Flat;
    /// The value of the first; its derivative by the second is the third, whatever computed it: a partial given by the author
    Attach "attach" 3 Float Smooth;
    /// The value itself; where it is added to an energy, the block of its Hessian is projected: eigenvalues below the second argument, a
    /// literal, become that
    ProjectClamp "project_clamp" 2 Float Linear;
    /// The same with the absolute values of the eigenvalues
    ProjectAbs "project_abs" 2 Float Linear;

    /// `a == b` on floats
    FloatEq "feq" 2 FloatCompare Discrete;
    /// `a != b` on floats
    FloatNe "fne" 2 FloatCompare Discrete;
    /// `a < b` on floats
    FloatLt "flt" 2 FloatCompare Discrete;
    /// `a <= b` on floats
    FloatLe "fle" 2 FloatCompare Discrete;

    /// `a + b` on integers, wrapping
    IntAdd "iadd" 2 Int Discrete;
    /// `a - b` on integers, wrapping
    IntSub "isub" 2 Int Discrete;
    /// `a * b` on integers, wrapping
    IntMul "imul" 2 Int Discrete;
    /// Quotient rounded toward minus infinity; division by zero gives 0
    IntDiv "idiv" 2 Int Discrete;
    /// Remainder in `0..|b|`; modulo zero gives 0
    IntMod "imod" 2 Int Discrete;
    /// The smaller integer
    IntMin "imin" 2 Int Discrete;
    /// The larger integer
    IntMax "imax" 2 Int Discrete;
    /// `a == b` on integers
    IntEq "ieq" 2 IntCompare Discrete;
    /// `a != b` on integers
    IntNe "ine" 2 IntCompare Discrete;
    /// `a < b` on integers
    IntLt "ilt" 2 IntCompare Discrete;
    /// `a <= b` on integers
    IntLe "ile" 2 IntCompare Discrete;

    /// Both
    And "and" 2 Bool Discrete;
    /// Either
    Or "or" 2 Bool Discrete;
    /// Not
    Not "not" 1 Bool Discrete;

    /// The second if the first holds, else the third; both are evaluated
    Select "select" 3 Select Linear;
    /// An integer as a float
    IntToFloat "itof" 1 IntToFloat Discrete;
    /// A float truncated to an integer; makes its argument structural
    FloatToInt "ftoi" 1 FloatToInt Discrete;
    /// 1 or 0
    BoolToFloat "btof" 1 BoolToFloat Discrete;
    /// The one-hot indicator `[a == b]` as 1 or 0: what the solver removes
    Indicator "indicator" 2 Indicator Discrete;
    /// To 32 bits
    Narrow "narrow" 1 Narrow Linear;
    /// To 64 bits
    Widen "widen" 1 Widen Linear;
}

impl Op {
    /// The result type for these argument types, or `None` where the operation does not take them.
    pub fn result_type(self, args: &[Ty]) -> Option<Ty> {
        if args.len() != self.arity() {
            return None;
        }
        let all = |ty: Ty| args.iter().all(|&a| a == ty);
        let float = args.iter().all(|&a| a == args[0]) && args[0].is_float();
        match self.signature() {
            Signature::Float => float.then(|| args[0]),
            Signature::FloatCompare => float.then_some(Ty::Bool),
            Signature::Int => all(Ty::Int).then_some(Ty::Int),
            Signature::IntCompare => all(Ty::Int).then_some(Ty::Bool),
            Signature::Bool => all(Ty::Bool).then_some(Ty::Bool),
            Signature::Select => (args[0] == Ty::Bool && args[1] == args[2]).then(|| args[1]),
            Signature::IntToFloat | Signature::Indicator => all(Ty::Int).then_some(Ty::F64),
            Signature::FloatToInt => args[0].is_float().then_some(Ty::Int),
            Signature::BoolToFloat => all(Ty::Bool).then_some(Ty::F64),
            Signature::Narrow => all(Ty::F64).then_some(Ty::F32),
            Signature::Widen => all(Ty::F32).then_some(Ty::F64),
        }
    }

    /// True where the order of the two arguments does not change any bit of the result.
    pub fn is_commutative(self) -> bool {
        matches!(
            self,
            Op::Add
                | Op::Mul
                | Op::IntAdd
                | Op::IntMul
                | Op::IntMin
                | Op::IntMax
                | Op::IntEq
                | Op::IntNe
                | Op::FloatEq
                | Op::FloatNe
                | Op::And
                | Op::Or
                | Op::Indicator
        )
    }
}
