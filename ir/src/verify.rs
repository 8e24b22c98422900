//! All invariants of a well-formed function, and the check that reports every violation of them.
//!
//! Passes take verified functions and give verified functions. The invariants:
//!
//! # References
//! - Every size, buffer, value, instruction and region that is named exists.
//! - An instruction stands in one region, once; a region belongs to one instruction, or is the body. (Instructions and
//!   regions that cannot be reached from the body are ignored.)
//! - The results of an instruction and the parameters of a region know that they are, and at which place.
//! - A value is used only after its definition, in the region that defines it or in one nested there.
//!
//! # Declarations
//! - Sizes have distinct names, and so do buffers; no name is empty.
//! - Size expressions are sorted and have no zero coefficients. A literal dimension is not negative.
//! - `Var` and `Data` buffers hold floats.
//! - Only `Int` buffers promise something about their entries; an index promise has one bound, or one per column of a
//!   literal last dimension; offsets have one dimension.
//! - Only scalar inputs have defaults.
//! - A tangent or adjoint has the element type and dimensions of another buffer; a block has the dimensions of its two
//!   buffers, one after the other.
//! - `Func::columns` lists `Var` or `Scratch` buffers, `Func::rows` lists `Var`, `Scratch` or `Output` buffers, none twice.
//!   A buffer in both lists stands behind the same buffers in both, so that it has one position.
//!
//! # Types and counts
//! - Operations take the types that [`crate::op`] says, and give what it says.
//! - An access has one `Int` subscript per dimension. A position is taken of a buffer in `columns` or `rows`.
//! - A loop has a positive stride, `Int` bounds, a region with the induction variable and one parameter per state, and
//!   one yield per carry. Truth values are not reduced. A state keeps its type.
//! - The condition of an `if` is `Bool`; its regions have no parameters and yield the same types.
//! - Results have the types of what they stand for. The body has neither parameters nor yields.
//!
//! # Effects
//! - Inputs are never written, truth values never accumulated, and only scratch is reset.
//! - Every accumulation into a buffer comes before every load of it, seen from every region, from one reset to the next.
//!   Where a loop does both and does not reset in between, all its accesses have the same subscript, which differs from
//!   one iteration to the next (it is the induction variable, plus something that does not change).
//!
//! # The matrix
//! - An emission has `Int` rows and columns and as many float values as entries, or none at all (index programs).
//!   Local rows and columns are in range. A symmetric one has equal rows and columns, and entries `a <= b`; then
//!   `Func::rows` equals `Func::columns` too. A direct one is not symmetric and lists its entries row by row.
//! - No two emissions have the same site.
//! - Which entries exist is decided at prepare: no emission has positions, and none stands under a condition or in a
//!   loop with bounds, that depend on floats that are not structural.

mod declarations;
mod guards;
mod instructions;
mod order;

use crate::func::{Func, Inst};
use std::fmt;

/// One broken invariant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What is wrong.
    pub message: String,
    /// The instruction, unless a declaration is wrong.
    pub inst: Option<Inst>,
    /// Its source location (byte offsets), or that of the declaration.
    pub span: (u32, u32),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inst {
            Some(inst) => write!(f, "{inst}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Every violation of the invariants above; none for a well-formed function.
///
/// Effects and guards are looked at only where references, types and counts are right.
pub fn verify(func: &Func) -> Vec<Violation> {
    let mut report = Report { func, violations: Vec::new() };
    let sound = declarations::check(&mut report) & instructions::check(&mut report);
    if sound {
        order::check(&mut report);
        guards::check(&mut report);
    }
    report.violations
}

/// What the checks write to.
struct Report<'a> {
    func: &'a Func,
    violations: Vec<Violation>,
}

impl Report<'_> {
    fn declaration(&mut self, span: (u32, u32), message: impl Into<String>) {
        self.violations.push(Violation { message: message.into(), inst: None, span });
    }

    fn inst(&mut self, inst: Inst, message: impl Into<String>) {
        let span = self.func.spans[inst];
        self.violations.push(Violation { message: message.into(), inst: Some(inst), span });
    }
}
