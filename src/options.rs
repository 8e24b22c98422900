//! What is asked of a kernel: which derivative, with respect to what, computed how.

use spadina_ir::project::{Filter, Projection};
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

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Project::AsWritten => f.write_str("as-written"),
            Project::Off => f.write_str("off"),
            Project::All(projection) if projection.eps() > 0.0 => {
                write!(f, "{}={:?}", projection.filter(), projection.eps())
            }
            Project::All(projection) => write!(f, "{}", projection.filter()),
        }
    }
}

impl FromStr for Project {
    type Err = String;

    fn from_str(text: &str) -> Result<Project, String> {
        let (word, eps) = text.split_once('=').unwrap_or((text, "0"));
        let filter = match word {
            "as-written" if text == word => return Ok(Project::AsWritten),
            "off" if text == word => return Ok(Project::Off),
            "clamp" => Filter::Clamp,
            "abs" => Filter::Abs,
            _ => return Err("expected clamp, abs, clamp=EPS, abs=EPS, off or as-written".to_owned()),
        };
        let eps = eps.parse().ok().and_then(|eps| Projection::new(filter, eps));
        eps.map(Project::All).ok_or_else(|| "the smallest eigenvalue is a number of at least 0".to_owned())
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

/// Whether the Hessian of each element is made positive semidefinite.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Project {
    /// Where the kernel says so: sums marked `#[project]`.
    #[default]
    AsWritten,
    /// Nowhere, whatever the kernel says.
    Off,
    /// Everything that is added to the energy, as if each innermost sum were marked.
    All(Projection),
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
    /// Whether element Hessians are projected.
    pub project: Project,
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
            project: Project::default(),
            threads: 1,
        }
    }
}
