//! Products of a Jacobian or Hessian with directions, at the point a problem is bound to.

use crate::bind::Bound;
use crate::error::Error;
use crate::kernel::{Goal, Kernel};
use crate::part::{How, Part, Slices};
use crate::problem::Problem;

/// Which product.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// `J v`: how all results change along a direction of the unknowns.
    Jvp,
    /// `J^T w`: the gradient of a weighted sum of all results.
    Vjp,
    /// `H v`: how the gradient of an energy changes along a direction of the unknowns.
    Hvp,
}

/// Prepared products with one matrix.
///
/// ```
/// use spadina::{compiler::Module, inputs::Inputs, options::{Derivative, Options}, problem::Problem};
/// use spadina::product::{Kind, Products};
///
/// let text = "kernel k<N>(x: var f64[N]) -> f64[N] { map i in 0..N { x[i]^2 } }";
/// let kernel = Module::from_text("squares.ir", text)?.kernel(None)?;
/// let mut inputs = Inputs::new();
/// inputs.set("x", &[1.0, 2.0, 3.0]);
/// let problem = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Value))?;
///
/// let mut jvp = Products::new(&problem, Kind::Jvp)?;
/// let mut product = [0.0; 3];
/// jvp.apply(&[1.0, 0.0, -1.0], &mut product)?;
/// assert_eq!(product, [2.0, 0.0, -6.0]);
/// # Ok::<(), spadina::error::Error>(())
/// ```
pub struct Products {
    bound: Bound,
    product: Product,
}

impl std::fmt::Debug for Products {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Product { kind, inputs, outputs, .. } = &self.product;
        write!(f, "Products({kind:?}, {inputs} to {outputs})")
    }
}

impl Products {
    /// Derives, compiles and prepares, with the engine and unknowns of `problem` and the data it is bound to now.
    ///
    /// # Errors
    /// [`Error::Source`] where the derivative is refused (an HVP needs an energy), [`Error::Data`] for subscripts out of range.
    pub fn new(problem: &Problem, kind: Kind) -> Result<Products, Error> {
        let wrt = problem.options().wrt.as_deref();
        let sides = (problem.columns(), problem.results());
        let bound = problem.bound().clone();
        let product = Product::prepare(problem.kernel(), wrt, kind, &bound, problem.how(), sides)?;
        Ok(Products { bound, product })
    }

    /// Overwrites `product` with the matrix (for a VJP its transpose) times `direction`. Compiled code allocates nothing on one
    /// thread.
    ///
    /// # Errors
    /// [`Error::Data`] for slices of other lengths: a JVP takes one number an unknown and gives one a result, a VJP the other
    /// way round, an HVP takes and gives one an unknown.
    pub fn apply(&mut self, direction: &[f64], product: &mut [f64]) -> Result<(), Error> {
        let Product { inputs, outputs, .. } = self.product;
        for (what, wanted, found) in
            [("direction", inputs, direction.len()), ("product", outputs, product.len())]
        {
            if wanted != found {
                return Err(Error::Data(format!("the {what} has {found} elements, not {wanted}")));
            }
        }
        self.product.apply(&self.bound, direction, product)
    }
}

/// A prepared program of products, bound to data that is kept elsewhere.
pub(crate) struct Product {
    part: Part,
    kind: Kind,
    /// Length of a direction and of a product.
    inputs: usize,
    outputs: usize,
}

impl Product {
    /// `columns` and `results` count unknowns and results.
    pub(crate) fn prepare(
        kernel: &Kernel,
        wrt: Option<&[String]>,
        kind: Kind,
        bound: &Bound,
        how: &How,
        (columns, results): (usize, usize),
    ) -> Result<Product, Error> {
        let program = kernel.program(Goal::Product(kind), wrt)?;
        let part = Part::product(kernel, &program, kind, bound, how)?;
        let (inputs, outputs) = match kind {
            Kind::Jvp => (columns, results),
            Kind::Vjp => (results, columns),
            Kind::Hvp => (columns, columns),
        };
        Ok(Product { part, kind, inputs, outputs })
    }

    pub(crate) fn apply(
        &mut self,
        bound: &Bound,
        direction: &[f64],
        product: &mut [f64],
    ) -> Result<(), Error> {
        // What does not depend on the unknowns has no output.
        product.fill(0.0);
        let (results, gradient): (&mut [f64], &mut [f64]) = match self.kind {
            Kind::Jvp => (product, &mut []),
            Kind::Vjp | Kind::Hvp => (&mut [], product),
        };
        self.part.evaluate(bound, &mut Slices { results, gradient, matrix: &mut [], direction })
    }
}
