//! How patterns pass through each operation: one table.
//!
//! `v` is linear in an argument when the second partial vanishes wherever it exists, and has a cross term when the mixed partial
//! does not. The classes agree with the partials of [`crate::ad::rules`]: no entry that those can make is missed.
//!
//! | class | operations | first order | second order |
//! |---|---|---|---|
//! | linear | `+ - % neg narrow widen abs` | all arguments | none |
//! | extremum | `min max` | all; locally the one taken | none |
//! | choice | `select` | both; the one taken where the condition is known | none |
//! | first | `copysign` | the first argument | none |
//! | product | `*` | both | a with b |
//! | quotient | `/` | both | a with b, b with b |
//! | power | `pow` | both | all; none for exponents 0 and 1 |
//! | smooth | `sin`, `exp`, `atan2`, `hypot`, .. | all | all |
//! | given | `attach` | the value and the parameter | the parameter with its slope |
//! | flat | `floor`, `sign`, `stop_gradient`, conversions, .. | none | none |

use spadina_ir::op::Op;

/// How dependences pass through an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Linear,
    Extremum,
    Choice,
    First,
    Product,
    Quotient,
    Power,
    Smooth,
    Given,
    Flat,
}

/// The class of an operation.
pub(super) fn class(op: Op) -> Class {
    match op {
        Op::Add | Op::Sub | Op::Rem | Op::Neg | Op::Abs | Op::Narrow | Op::Widen => Class::Linear,
        Op::Min | Op::Max => Class::Extremum,
        Op::Select => Class::Choice,
        Op::Copysign | Op::ProjectClamp | Op::ProjectAbs => Class::First,
        Op::Mul => Class::Product,
        Op::Div => Class::Quotient,
        Op::Pow => Class::Power,
        Op::Attach => Class::Given,
        Op::Sqrt
        | Op::Cbrt
        | Op::Exp
        | Op::Expm1
        | Op::Log
        | Op::Log1p
        | Op::Log2
        | Op::Log10
        | Op::Sin
        | Op::Cos
        | Op::Tan
        | Op::Asin
        | Op::Acos
        | Op::Atan
        | Op::Atan2
        | Op::Sinh
        | Op::Cosh
        | Op::Tanh
        | Op::Asinh
        | Op::Acosh
        | Op::Atanh
        | Op::Hypot
        | Op::Erf
        | Op::Softplus => Class::Smooth,
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
        | Op::Indicator => Class::Flat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spadina_ir::op::Smoothness;

    #[test]
    fn classes_agree_with_the_smoothness_of_the_operation_table() {
        for &op in Op::ALL {
            let expected = match op.smoothness() {
                Smoothness::Discrete | Smoothness::Flat => class(op) == Class::Flat,
                Smoothness::Linear => {
                    matches!(class(op), Class::Linear | Class::Extremum | Class::Choice | Class::First)
                }
                Smoothness::Smooth => {
                    let classes =
                        [Class::Product, Class::Quotient, Class::Power, Class::Smooth, Class::Given];
                    classes.contains(&class(op))
                }
            };
            assert!(expected, "{} is {:?}", op.name(), class(op));
        }
    }
}
