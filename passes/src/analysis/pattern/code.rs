//! The compact form of a function that detection runs: registers instead of values, only what can matter for the pattern.
//!
//! There are three files of registers: integers (truth values are 0 and 1), floats whose number is known, and index sets of
//! floats that depend on unknowns (beside each its second-order pairs). Set register 0 is always empty. Constants are in their
//! registers before the code starts.

use spadina_ir::func::Carry;
use spadina_ir::op::Op;

/// An instruction; fields name registers unless said otherwise.
#[derive(Debug)]
pub(super) enum Code {
    /// An operation on integers or truth values.
    Int { op: Op, dst: u32, a: u32, b: u32 },
    /// A comparison of known floats.
    Compare { op: Op, dst: u32, a: u32, b: u32 },
    /// A choice between integers.
    PickInt { dst: u32, cond: u32, a: u32, b: u32 },
    /// A known float, truncated.
    ToInt { dst: u32, a: u32 },
    /// An integer or truth value as a float.
    FromInt { dst: u32, a: u32 },
    /// 1 where two integers are equal, else 0.
    Indicator { dst: u32, a: u32, b: u32 },
    /// A function of a known float.
    Float1 { function: fn(f64) -> f64, dst: u32, a: u32 },
    /// A function of two known floats.
    Float2 { function: fn(f64, f64) -> f64, dst: u32, a: u32, b: u32 },
    /// Rounds to single precision.
    Narrow { dst: u32, a: u32 },
    /// A choice between known floats.
    PickFloat { dst: u32, cond: u32, a: u32, b: u32 },
    /// Linear in both.
    Join { dst: u32, a: u32, b: u32 },
    /// `a * b`; with the numbers of both where they are known: a zero factor drops the other.
    Product { dst: u32, a: u32, b: u32, numbers: Option<(u32, u32)> },
    /// `a / b`; with the number of `a` where it is known.
    Quotient { dst: u32, a: u32, b: u32, number: Option<u32> },
    /// `a` times this known float.
    Scale { dst: u32, a: u32, factor: u32 },
    /// Nonlinear in one argument.
    Curve { dst: u32, a: u32 },
    /// Nonlinear in both arguments and their product.
    Surface { dst: u32, a: u32, b: u32 },
    /// Linear in `a` and `b`, with the product of `b` and `slope`.
    Given { dst: u32, a: u32, b: u32, slope: u32 },
    /// `a` to a known power.
    Power { dst: u32, a: u32, exponent: u32 },
    /// The smaller (or larger) of two known floats `x` and `y` with the sets `a` and `b`; both where they are equal.
    Extremum { dst: u32, a: u32, b: u32, x: u32, y: u32, least: bool },
    /// A choice between sets.
    Pick { dst: u32, cond: u32, a: u32, b: u32 },
    /// Reads a buffer.
    Load { at: Place, into: Target },
    /// Adds to a buffer.
    Accum { at: Place, from: Target },
    /// Refuses subscripts out of range.
    Check { at: Place },
    /// Empties a buffer (by number).
    Reset { buffer: u32 },
    /// A loop.
    Loop(Box<Loop>),
    /// One of two branches.
    Branch(Box<Branch>),
}

/// An element of a buffer.
#[derive(Debug)]
pub(super) struct Place {
    /// Number of the buffer.
    pub(super) buffer: u32,
    /// Integer registers of the subscripts.
    pub(super) index: Vec<u32>,
    /// Source location.
    pub(super) span: (u32, u32),
}

/// The registers that hold the parts of one value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    /// Its integer.
    pub(super) int: Option<u32>,
    /// Its number.
    pub(super) float: Option<u32>,
    /// Its index set and pairs.
    pub(super) set: Option<u32>,
}

impl Target {
    /// True where nothing of the value is of interest.
    pub(super) fn is_nothing(self) -> bool {
        self.int.is_none() && self.float.is_none() && self.set.is_none()
    }
}

/// A counted loop.
#[derive(Debug)]
pub(super) struct Loop {
    /// First induction value.
    pub(super) lo: u32,
    /// Bound.
    pub(super) hi: u32,
    /// Stride (a number).
    pub(super) step: i64,
    /// The induction variable.
    pub(super) iv: u32,
    /// Carries of interest.
    pub(super) carries: Vec<CarryCode>,
    /// What is repeated.
    pub(super) body: Vec<Code>,
}

/// One carry of a loop.
#[derive(Debug)]
pub(super) struct CarryCode {
    /// How yields combine (the initial value is in `init`).
    pub(super) kind: Carry,
    /// The result; also the running total.
    pub(super) result: Target,
    /// What an iteration yields.
    pub(super) yielded: Target,
    /// The initial value of a recurrence.
    pub(super) init: Target,
    /// The region parameter of a recurrence.
    pub(super) param: Target,
}

/// An `if`.
#[derive(Debug)]
pub(super) struct Branch {
    /// The condition; `None` where it is not known and both branches count.
    pub(super) cond: Option<u32>,
    /// Run where it holds.
    pub(super) then: Vec<Code>,
    /// Run where it does not.
    pub(super) els: Vec<Code>,
    /// Results with the yields of both branches.
    pub(super) results: Vec<(Target, Target, Target)>,
}

/// A whole program.
#[derive(Debug)]
pub(super) struct Program {
    /// The body.
    pub(super) body: Vec<Code>,
    /// Integer registers with constants in place.
    pub(super) ints: Vec<i64>,
    /// Float registers with constants in place.
    pub(super) floats: Vec<f64>,
    /// Number of set registers.
    pub(super) sets: usize,
    /// By buffer: whether its elements have index sets.
    pub(super) active: Vec<bool>,
}
