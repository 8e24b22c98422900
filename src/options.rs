//! What is asked of a kernel: which derivative, with respect to what, computed how.

use spadina_ir::project::{Filter, Projection};
use spadina_passes::pipeline::Nesting;
use std::fmt;
use std::str::FromStr;

pub use spadina_layout::filter::Triangle;
pub use spadina_runtime::options::FixedRule;
pub use spadina_runtime::storage::{Format, IndexWidth};
pub use spadina_runtime::team::Pool;

/// What is computed. Each includes the value; a Hessian includes the gradient.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Derivative {
    /// Every result.
    Value,
    /// The value and gradient of an energy.
    Gradient,
    /// Every result and the sparse Jacobian: rows are results, columns unknowns.
    Jacobian,
    /// Value, gradient and sparse Hessian of an energy.
    Hessian,
    /// Every result, and gradient and sparse Hessian of the Lagrangian: the sum of all results, each element times its multiplier. The
    /// multipliers are data named `multipliers.RESULT`, shaped like the result; that of a result `objective`, or of an energy, is
    /// 1 unless bound.
    Lagrangian,
    /// Every result `r`, the gradient `J^T r` of half their squared norm, and the sparse matrix `J^T J`.
    GaussNewton,
}

impl Derivative {
    /// Whether a sparse matrix is computed.
    pub fn has_matrix(self) -> bool {
        !matches!(self, Derivative::Value | Derivative::Gradient)
    }

    /// Whether rows and columns of the matrix are the same unknowns.
    pub fn is_square(self) -> bool {
        matches!(self, Derivative::Hessian | Derivative::Lagrangian | Derivative::GaussNewton)
    }

    /// What the compiler derives for it: a Lagrangian is a Hessian of weighted results, Gauss-Newton starts from the Jacobian.
    pub(crate) fn core(self) -> Derivative {
        match self {
            Derivative::Lagrangian => Derivative::Hessian,
            Derivative::GaussNewton => Derivative::Jacobian,
            other => other,
        }
    }

    /// Whether a gradient is computed.
    pub fn has_gradient(self) -> bool {
        !matches!(self, Derivative::Value | Derivative::Jacobian)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Derivative::Value => "value",
            Derivative::Gradient => "grad",
            Derivative::Jacobian => "jacobian",
            Derivative::Hessian => "hessian",
            Derivative::Lagrangian => "lagrangian",
            Derivative::GaussNewton => "gauss_newton",
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

/// Which products the compressed road forms: of a Jacobian by which side, of a Hessian in which order it is differentiated twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Mode {
    /// By the number of colors and what a product costs.
    #[default]
    Auto,
    /// Jacobians: columns share products with the matrix (JVPs).
    Forward,
    /// Jacobians: rows share products with the transpose (VJPs).
    Reverse,
    /// Jacobians: both sides share products.
    Mixed,
    /// Hessians: the derivative of the gradient along a direction.
    ForwardOverReverse,
    /// Hessians: the gradient of the derivative along a direction.
    ReverseOverForward,
    /// Hessians: the gradient of the product of the gradient with a direction.
    ReverseOverReverse,
}

/// How the compressed road finds entries in products.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Decompression {
    /// Direct, or by substitution where that is cheaper.
    #[default]
    Auto,
    /// Each entry is an element of a product.
    Direct,
    /// Entries are solved for one after the other: fewer products, the rounding of a chain of subtractions. Symmetric matrices, and
    /// Jacobians by both sides.
    Substitution,
}

impl Mode {
    const ALL: [(Mode, &str); 7] = [
        (Mode::Auto, "auto"),
        (Mode::Forward, "fwd"),
        (Mode::Reverse, "rev"),
        (Mode::Mixed, "mixed"),
        (Mode::ForwardOverReverse, "fwd-over-rev"),
        (Mode::ReverseOverForward, "rev-over-fwd"),
        (Mode::ReverseOverReverse, "rev-over-rev"),
    ];

    /// Whether it is a way to this derivative.
    pub(crate) fn fits(self, derivative: Derivative) -> bool {
        match self {
            Mode::Auto => true,
            Mode::Forward | Mode::Reverse | Mode::Mixed => derivative.core() == Derivative::Jacobian,
            Mode::ForwardOverReverse | Mode::ReverseOverForward | Mode::ReverseOverReverse => {
                derivative.core() == Derivative::Hessian
            }
        }
    }

    /// The order of differentiation, of a Hessian.
    pub(crate) fn nesting(self) -> Nesting {
        match self {
            Mode::Auto | Mode::Forward | Mode::Reverse | Mode::Mixed | Mode::ForwardOverReverse => {
                Nesting::ForwardOverReverse
            }
            Mode::ReverseOverForward => Nesting::ReverseOverForward,
            Mode::ReverseOverReverse => Nesting::ReverseOverReverse,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Mode::ALL.iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let found = Mode::ALL.iter().find(|(_, name)| *name == text).map(|(mode, _)| *mode);
        found.ok_or_else(|| {
            let names = Mode::ALL.map(|(_, name)| name);
            format!("expected one of {}", names.join(", "))
        })
    }
}

impl fmt::Display for Decompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decompression::Auto => "auto",
            Decompression::Direct => "direct",
            Decompression::Substitution => "substitution",
        })
    }
}

impl FromStr for Decompression {
    type Err = String;

    fn from_str(text: &str) -> Result<Decompression, String> {
        [Decompression::Auto, Decompression::Direct, Decompression::Substitution]
            .into_iter()
            .find(|d| d.to_string() == text)
            .ok_or_else(|| "expected auto, direct or substitution".to_owned())
    }
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
    /// For a mixed block of a Hessian: the parameters that give its rows (and the gradient), where `wrt` gives its columns.
    pub rows: Option<Vec<String>>,
    /// Whether results are computed beside a gradient or matrix.
    pub value: bool,
    /// Whether a gradient is computed beside a matrix.
    pub gradient: bool,
    /// How the matrix is stored, and which of its rows and columns.
    pub assembly: Assembly,
    /// Who computes.
    pub engine: Engine,
    /// How the matrix is computed.
    pub strategy: Strategy,
    /// Which products are formed. Whoever names them means the strategy `compressed`.
    pub mode: Mode,
    /// How entries are found in products. As for [`Options::mode`].
    pub decompression: Decompression,
    /// Whether element Hessians are projected.
    pub project: Project,
    /// Threads of an evaluation, 1 to 255 (compiled code only). Results have the same bits for any number.
    pub threads: usize,
    /// Where the threads beyond the caller's come from: a rayon pool of the program, or one that several problems share. `None` starts
    /// some for this problem.
    pub pool: Option<Pool>,
}

impl Options {
    /// Compiled, automatic strategy, all variables, by rows, one thread.
    pub fn new(derivative: Derivative) -> Options {
        Options {
            derivative,
            wrt: None,
            rows: None,
            value: true,
            gradient: true,
            assembly: Assembly::default(),
            engine: Engine::default(),
            strategy: Strategy::default(),
            mode: Mode::default(),
            decompression: Decompression::default(),
            project: Project::default(),
            threads: 1,
            pool: None,
        }
    }

    /// The same with respect to these parameters.
    #[must_use]
    pub fn wrt<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Options {
        Options { wrt: Some(names.into_iter().map(Into::into).collect()), ..self }
    }

    /// The block of a Hessian with these rows; columns are those of [`Options::wrt`].
    #[must_use]
    pub fn rows<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Options {
        Options { rows: Some(names.into_iter().map(Into::into).collect()), ..self }
    }
}

/// How a matrix is stored, and which of its rows and columns.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assembly {
    /// By rows, columns, coordinates or blocks.
    pub format: Format,
    /// Which triangle; one triangle only where rows and columns are the same unknowns.
    pub triangle: Triangle,
    /// Width of the indices of [`crate::problem::Problem::storage`].
    pub width: IndexWidth,
    /// Unknowns that do not move, beside those of `#[fixed(..)]`.
    pub fixed: Vec<Fixed>,
    /// What happens to their rows and columns.
    pub fixed_rule: FixedRule,
}

/// Unknowns that do not move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fixed {
    /// By number, counted over all unknowns in declaration order, each array row-major.
    List(Vec<usize>),
    /// Those that are true: one for each unknown.
    Mask(Vec<bool>),
    /// Those of one array that are true: one for each element, or for each element of its leading axes (a vertex for all its
    /// coordinates).
    Of(String, Vec<bool>),
}
