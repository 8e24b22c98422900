//! What a pass is: data. A name, a sentence, a function from verified IR to verified IR.

use spadina_ir::diag::Diagnostic;
use spadina_ir::func::Func;

/// A pass over one function.
#[derive(Clone, Copy)]
pub struct Pass {
    /// The name on the command line (`--print-after NAME`).
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The pass itself: verified IR in, verified IR out, or a refusal.
    pub run: fn(&Func) -> Result<Func, Diagnostic>,
}
