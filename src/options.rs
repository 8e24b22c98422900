//! What is asked of a kernel: which derivative, with respect to what, computed how.

use std::fmt;
use std::str::FromStr;

/// What is computed. Each includes the value; a Hessian includes the gradient.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Derivative {
    /// Every result.
    Value,
    /// The value and gradient of an energy.
    Gradient,
    /// Every result and the sparse Jacobian: rows are results, columns unknowns.
    Jacobian,
    /// Value, gradient and sparse Hessian of an energy, both triangles.
    Hessian,
}

impl Derivative {
    /// Whether a sparse matrix is computed.
    pub fn has_matrix(self) -> bool {
        matches!(self, Derivative::Jacobian | Derivative::Hessian)
    }

    /// Whether a gradient is computed.
    pub fn has_gradient(self) -> bool {
        matches!(self, Derivative::Gradient | Derivative::Hessian)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Derivative::Value => "value",
            Derivative::Gradient => "grad",
            Derivative::Jacobian => "jacobian",
            Derivative::Hessian => "hessian",
        }
    }
}

/// Who computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Engine {
    /// Machine code made by Cranelift.
    #[default]
    Jit,
    /// The reference interpreter: slow, checks everything.
    Interp,
}

/// How a matrix is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Strategy {
    /// Structural where the compiler can, else compressed, else (with a warning) dense.
    #[default]
    Auto,
    /// The compiler finds every entry; refused where it cannot.
    Structural,
    /// Entries are detected at prepare, columns colored, and few products with directions evaluated.
    Compressed,
    /// Column by column, every entry stored: the definition.
    Dense,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::Auto => "auto",
            Strategy::Structural => "structural",
            Strategy::Compressed => "compressed",
            Strategy::Dense => "dense",
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Jit => "jit",
            Engine::Interp => "interp",
        })
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Strategy, String> {
        [Strategy::Auto, Strategy::Structural, Strategy::Compressed, Strategy::Dense]
            .into_iter()
            .find(|s| s.to_string() == text)
            .ok_or_else(|| "expected auto, structural, compressed or dense".to_owned())
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Engine, String> {
        [Engine::Jit, Engine::Interp]
            .into_iter()
            .find(|s| s.to_string() == text)
            .ok_or_else(|| "expected jit or interp".to_owned())
    }
}

/// Options of [`crate::problem::Problem::prepare`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What is computed.
    pub derivative: Derivative,
    /// Parameters to differentiate by, variables or float data; `None` for all variables. Columns keep declaration order.
    pub wrt: Option<Vec<String>>,
    /// Who computes.
    pub engine: Engine,
    /// How the matrix is computed.
    pub strategy: Strategy,
    /// Threads of an evaluation (compiled code only). Results have the same bits for any number.
    pub threads: usize,
}

impl Options {
    /// Compiled, automatic strategy, all variables, one thread.
    pub fn new(derivative: Derivative) -> Options {
        Options {
            derivative,
            wrt: None,
            engine: Engine::default(),
            strategy: Strategy::default(),
            threads: 1,
        }
    }
}
