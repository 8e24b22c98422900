//! What the front end hands on: lowered kernels with what their text says beside the program itself.

use crate::diag::Diagnostic;
use crate::func::{Buffer, Func};
use crate::project::Projection;
use crate::span::Span;
use crate::types::SizeExpr;

/// Everything found in one source text.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Kernels without errors, in source order.
    pub kernels: Vec<Kernel>,
    /// Errors and warnings, in source order.
    pub diagnostics: Vec<Diagnostic>,
}

impl Program {
    /// Is any of the diagnostics an error?
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// A kernel, lowered.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// `///` lines before it.
    pub docs: Vec<String>,
    /// The program that computes its value.
    pub func: Func,
    /// What `#[derive(..)]` asks for, in order.
    pub derive: Vec<Derive>,
    /// `#[example(cloth, 70)]`: generated input and its size.
    pub example: Option<(String, u32)>,
    /// Parameters in declaration order.
    pub params: Vec<Param>,
    /// Results in declaration order.
    pub results: Vec<KernelResult>,
    /// Sums that carry attributes.
    pub terms: Vec<Term>,
    /// Lints silenced with `#[allow(..)]`.
    pub allow: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

/// What can be asked of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Derive {
    /// The value (or residual).
    Value,
    /// Gradient of an energy.
    Gradient,
    /// Jacobian of a residual.
    Jacobian,
    /// Hessian of an energy, both triangles.
    Hessian,
    /// Its lower triangle.
    HessianLower,
    /// Hessian of the Lagrangian: weighted objective plus multipliers times the other results.
    HessianLagrangian,
    /// Hessian times vector.
    Hvp,
    /// Jacobian times vector.
    Jvp,
    /// Transposed Jacobian times vector.
    Vjp,
    /// `J^T J` and `J^T r`.
    GaussNewton,
}

/// A parameter as declared.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// `///` lines before it.
    pub docs: Vec<String>,
    /// Is it an unknown?
    pub is_var: bool,
    /// Its buffers: one, or one for each field of a record.
    pub buffers: Vec<Buffer>,
    /// Masks of `#[fixed(mask)]`: one for the parameter, or one for each component.
    pub fixed: Vec<Buffer>,
    /// Where its name stands.
    pub span: Span,
}

/// A result as declared.
#[derive(Clone, Debug)]
pub struct KernelResult {
    /// Its name; `out` for the only, unnamed result.
    pub name: String,
    /// Its buffer.
    pub buffer: Buffer,
    /// Its dimensions, empty for a scalar.
    pub dims: Vec<SizeExpr>,
}

/// A `sum` with attributes. The loops made for it carry its span.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The whole `sum`, from its first attribute.
    pub span: Span,
    /// `#[project]`, `#[project(abs)]`, `#[project(clamp, 1e-9)]`: how the Hessian of each iteration is made positive semidefinite.
    pub project: Option<Projection>,
    /// `#[name("..")]`
    pub name: Option<String>,
}
