//! Loads of unknowns move out of branches that values decide, so that every entry of the pattern is known at prepare.
//!
//! # Problem
//! ```text
//! if d < dhat { u = load x[p[e]]; yield f(u) } else { yield 0 }
//! ```
//! Whether the branch is taken changes from one evaluation to the next; which entries of the matrix exist must not.
//!
//! # Method
//! Before an `if` whose condition is not structural, the structural index computations of its branches and their loads of unknowns
//! and intermediate arrays are built; inside, hash-consing finds them again.
//!
//! # Why it keeps the meaning
//! Loads are pure. Subscripts under a value guard are checked unconditionally at prepare, so the load is legal whichever branch
//! is taken. Under a structural guard, where it might not be, loads stay.
//!
//! # Limits
//! Loads inside loops inside such branches stay; the sparse road refuses them by `guarded-loop`.

use crate::analysis::structural::Structural;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Const, Func, Inst, InstData, Region, Role};

/// The pass.
pub const PASS: Pass = Pass { name: "speculate", summary: "move loads of unknowns out of value guards", run };

/// Moves loads of unknowns out of branches that values decide.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let structural = Structural::of(func);
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Speculate { structural }))
}

struct Speculate {
    structural: Structural,
}

impl Speculate {
    fn hoist(&mut self, rw: &mut Rewriter<'_>, region: Region) {
        let src = rw.src;
        for &inst in &src.regions[region].insts {
            let data = &src.insts[inst];
            let indices_known = data.operands().iter().all(|&v| self.structural.holds(v));
            match data {
                InstData::Const(_) | InstData::Size(_) => rw.copy(inst, self),
                InstData::Op(..) | InstData::Position(..) if indices_known => rw.copy(inst, self),
                InstData::Load(buffer, _)
                    if indices_known
                        && matches!(
                            src.buffers[*buffer].role,
                            Role::Var | Role::Scratch | Role::Structural
                        ) =>
                {
                    rw.copy(inst, self);
                }
                InstData::If { cond, then, els } if !self.structural.holds(*cond) => {
                    self.hoist(rw, *then);
                    self.hoist(rw, *els);
                }
                _ => {}
            }
        }
    }
}

impl Visitor for Speculate {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if let InstData::If { cond, then, els } = &rw.src.insts[inst]
            && !self.structural.holds(*cond)
            && !matches!(rw.b.func().as_const(rw.map.get(*cond)), Some(Const::Bool(_)))
        {
            self.hoist(rw, *then);
            self.hoist(rw, *els);
        }
        rw.copy(inst, self);
    }
}
