//! Products of a Jacobian or Hessian with directions, at the point a problem is bound to.

use crate::assembly::Side;
use crate::bind::Bound;
use crate::error::Error;
use crate::goal::Goal;
use crate::kernel::Kernel;
use crate::options::Derivative;
use crate::outputs::{Slices, Take};
use crate::part::{How, Part, Setup};
use crate::problem::Problem;
use crate::request::{Request, Without};
use spadina_ir::func::Role;
use spadina_passes::pipeline::Nesting;
use std::sync::Arc;

/// Which product.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// `J v`: how all results change along a direction of the unknowns.
    Jvp,
    /// `J^T w`: the gradient of a weighted sum of all results.
    Vjp,
    /// `H v`: how the gradient of an energy, or of the Lagrangian of a problem that has one, changes along a direction of the unknowns.
    Hvp,
    /// `v^T H_k v` for every result `k`: the second derivative of all results along a direction. With respect to one scalar unknown and
    /// the direction 1 it is the second derivative.
    Second,
}

/// Slices that a product overwrites; those that are not wanted are empty.
#[derive(Debug, Default)]
pub struct ProductMut<'a> {
    /// All results.
    pub results: &'a mut [f64],
    /// The gradient, of an HVP.
    pub gradient: &'a mut [f64],
    /// The product.
    pub product: &'a mut [f64],
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
    /// What computes results that the program of the product leaves out.
    values: Option<Part>,
    with_values: bool,
    /// Unknowns of the direction and of the product, where fixed ones are among them.
    sides: Option<(Arc<Side>, Arc<Side>)>,
    /// Directions and products over all unknowns.
    direction: Vec<f64>,
    gradient: Vec<f64>,
    all: Vec<f64>,
    /// Numbers of results and of elements of the gradient.
    results: usize,
    gradient_len: usize,
}

impl std::fmt::Debug for Products {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (inputs, outputs) = self.lengths();
        write!(f, "Products({:?}, {inputs} to {outputs})", self.product.kind)
    }
}

impl Products {
    /// Derives, compiles and prepares, with the engine, unknowns (free ones) and data of `problem`; an HVP of the problem's mixed
    /// block, or of its Lagrangian, where it has one.
    ///
    /// # Errors
    /// [`Error::Source`] where the derivative is refused (an HVP needs an energy or multipliers), [`Error::Data`] for subscripts out of
    /// range.
    pub fn new(problem: &Problem, kind: Kind) -> Result<Products, Error> {
        Products::make(problem, kind, false)
    }

    /// The same, with results beside each product, and with the gradient beside an HVP; see [`Products::apply_into`].
    ///
    /// # Errors
    /// As [`Products::new`].
    pub fn with_values(problem: &Problem, kind: Kind) -> Result<Products, Error> {
        Products::make(problem, kind, true)
    }

    fn make(problem: &Problem, kind: Kind, with_values: bool) -> Result<Products, Error> {
        let mut request = Request::of(problem.effective());
        request.without = Without { results: !with_values, gradient: !with_values };
        if with_values {
            // With reverse mode outside there is no gradient beside the product.
            request.nesting = Nesting::default();
        }
        if kind != Kind::Hvp {
            (request.rows, request.weighted) = (None, false);
        }
        let bound = problem.bound().clone();
        let (rows, columns) = problem.sides();
        // The rows of a Jacobian are results; an HVP gives what the gradient is by.
        let jacobian = problem.options().derivative == Derivative::Jacobian;
        let rows = if jacobian { Arc::clone(&columns) } else { rows };
        let kernel = problem.kernel();
        let (unknowns, results) = (columns.positions(), problem.results());
        let lengths = if kind == Kind::Hvp { (unknowns, rows.positions()) } else { (unknowns, results) };
        let func = kernel.func();
        let has_arrays = func.buffers_of(Role::Output).any(|y| !func.buffers[y].dims.is_empty());
        let separate = with_values && has_arrays && matches!(kind, Kind::Vjp | Kind::Hvp);
        request.without.results |= separate;
        let product = Product::prepare(kernel, request, kind, (&bound, problem.how()), lengths, 1)?;
        let values = if separate {
            let program = kernel.program(Goal::Here(Derivative::Value), Request::by(request.wrt))?;
            let take = Take { results: true, ..Take::default() };
            let setup = Setup { bound: &bound, how: problem.how(), take, options: None, old: None, lanes: 1 };
            Some(Part::prepare(kernel, &program, &setup)?)
        } else {
            None
        };
        let fixed = rows.moves() || columns.moves();
        let free = Arc::new(Side::all(results));
        let sides = match kind {
            Kind::Jvp | Kind::Second => (columns, free),
            Kind::Vjp => (free, columns),
            Kind::Hvp => (columns, rows),
        };
        let gradient_len = if with_values && kind == Kind::Hvp { sides.1.len() } else { 0 };
        let zeros = |len: usize| if fixed { vec![0.0; len] } else { Vec::new() };
        Ok(Products {
            bound,
            product,
            values,
            with_values,
            direction: zeros(sides.0.positions()),
            all: zeros(sides.1.positions()),
            gradient: if gradient_len > 0 { zeros(sides.1.positions()) } else { Vec::new() },
            sides: fixed.then_some(sides),
            results: if with_values { results } else { 0 },
            gradient_len,
        })
    }

    /// Lengths of a direction and of a product.
    pub fn lengths(&self) -> (usize, usize) {
        match &self.sides {
            Some((from, to)) => (from.len(), to.len()),
            None => (self.product.inputs, self.product.outputs),
        }
    }

    /// Overwrites `product` with the matrix (for a VJP its transpose) times `direction`. Compiled code allocates nothing on one
    /// thread.
    ///
    /// # Errors
    /// [`Error::Data`] for slices of other lengths: a JVP takes one number an unknown and gives one a result, a VJP the other
    /// way round, an HVP takes and gives one an unknown. [`Error::Usage`] for products that were prepared with values.
    pub fn apply(&mut self, direction: &[f64], product: &mut [f64]) -> Result<(), Error> {
        if self.with_values {
            return Err(Error::usage("these products come with values: use `apply_into`"));
        }
        self.apply_into(direction, ProductMut { product, ..ProductMut::default() })
    }

    /// [`Products::apply`], and what was prepared with it: results, and the gradient of an HVP.
    ///
    /// # Errors
    /// As [`Products::apply`].
    pub fn apply_into(&mut self, direction: &[f64], into: ProductMut<'_>) -> Result<(), Error> {
        let (inputs, outputs) = self.lengths();
        let ProductMut { results, gradient, product } = into;
        for (what, wanted, found) in [
            ("direction", inputs, direction.len()),
            ("product", outputs, product.len()),
            ("slice for results", self.results, results.len()),
            ("slice for the gradient", self.gradient_len, gradient.len()),
        ] {
            if wanted != found {
                return Err(Error::Data(format!("the {what} has {found} elements, not {wanted}")));
            }
        }
        let bound = &self.bound;
        if let Some(values) = &mut self.values {
            values.evaluate(bound, &mut Slices { results: &mut *results, ..Slices::default() })?;
        }
        let beside: &mut [f64] = if self.values.is_some() { &mut [] } else { results };
        let Some((from, to)) = &self.sides else {
            return self.product.evaluate(bound, direction, beside, gradient, product);
        };
        from.expand(direction, &mut self.direction);
        self.product.evaluate(bound, &self.direction, beside, &mut self.gradient, &mut self.all)?;
        to.reduce(&self.all, product);
        if self.gradient_len > 0 {
            to.reduce(&self.gradient, gradient);
        }
        if self.product.kind == Kind::Hvp {
            to.keep(direction, product);
        }
        Ok(())
    }

    /// Products with several directions, one after the other: direction `k` is `directions[k * n..(k + 1) * n]`, its product
    /// `products[k * m..(k + 1) * m]`, where `(n, m)` are the [`Products::lengths`].
    ///
    /// # Errors
    /// [`Error::Data`] for slices that do not hold the same number of whole directions and products.
    pub fn apply_many(&mut self, directions: &[f64], products: &mut [f64]) -> Result<(), Error> {
        let (inputs, outputs) = self.lengths();
        let of = |len: usize, width: usize| len.checked_div(width);
        let count = of(directions.len(), inputs).or(of(products.len(), outputs)).unwrap_or(0);
        if directions.len() != count * inputs || products.len() != count * outputs {
            let (given, room) = (directions.len(), products.len());
            return Err(Error::Data(format!(
                "{given} numbers are not whole directions of {inputs}, or {room} not as many products of {outputs}"
            )));
        }
        for k in 0..count {
            let direction = &directions[k * inputs..(k + 1) * inputs];
            self.apply(direction, &mut products[k * outputs..(k + 1) * outputs])?;
        }
        Ok(())
    }

    /// The product with one direction, in new memory.
    ///
    /// # Errors
    /// As [`Products::apply`].
    pub fn product(&mut self, direction: &[f64]) -> Result<Vec<f64>, Error> {
        let mut product = vec![0.0; self.lengths().1];
        self.apply(direction, &mut product)?;
        Ok(product)
    }

    /// Copies an unknown or float data in place: as [`Problem::set_values`].
    ///
    /// # Errors
    /// As [`Problem::set_values`].
    pub fn set_values(&mut self, name: &str, values: &[f64]) -> Result<(), Error> {
        self.bound.set_values(&self.product.kernel, name, values)
    }
}

/// The derivative of every result with respect to the only unknown of a problem, a number.
///
/// # Errors
/// [`Error::Usage`] where there is not exactly one unknown, and those of [`Products::new`].
pub fn derivative(problem: &Problem) -> Result<Vec<f64>, Error> {
    by_the_only_unknown(problem, Kind::Jvp)
}

/// The second derivative of every result with respect to the only unknown of a problem, a number.
///
/// # Errors
/// As [`derivative`].
pub fn second_derivative(problem: &Problem) -> Result<Vec<f64>, Error> {
    by_the_only_unknown(problem, Kind::Second)
}

fn by_the_only_unknown(problem: &Problem, kind: Kind) -> Result<Vec<f64>, Error> {
    let count = problem.columns();
    if count != 1 {
        return Err(Error::Usage(format!(
            "a derivative is taken by one number, but there are {count} unknowns: name one (`--wrt`)"
        )));
    }
    Products::new(problem, kind)?.product(&[1.0])
}

/// A prepared program of products, bound to data that is kept elsewhere.
pub(crate) struct Product {
    kernel: Kernel,
    part: Part,
    kind: Kind,
    /// Length of a direction and of a product, over all unknowns.
    inputs: usize,
    outputs: usize,
    /// Whether elements of the product depend on no unknown: no output holds them.
    has_gaps: bool,
}

impl Product {
    /// `lengths` counts what a direction and a product have elements for, seen from the matrix: its columns and rows. With `lanes` other
    /// than 1 an application takes that many directions, the same elements of all side by side, where [`Product::takes`] says so.
    pub(crate) fn prepare(
        kernel: &Kernel,
        request: Request<'_>,
        kind: Kind,
        (bound, how): (&Bound, &How),
        (columns, rows): (usize, usize),
        lanes: usize,
    ) -> Result<Product, Error> {
        let program = kernel.program(Goal::Product(kind), request)?;
        let take = Product::take(kind, request);
        let part =
            Part::prepare(kernel, &program, &Setup { bound, how, take, options: None, old: None, lanes })?;
        let (inputs, outputs) = match kind {
            Kind::Jvp | Kind::Hvp | Kind::Second => (lanes * columns, lanes * rows),
            Kind::Vjp => (lanes * rows, lanes * columns),
        };
        let has_gaps = part.product_len() != outputs;
        Ok(Product { kernel: kernel.clone(), part, kind, inputs, outputs, has_gaps })
    }

    /// The same with memory of its own.
    pub(crate) fn fork(&self) -> Result<Product, Error> {
        let (kernel, part) = (self.kernel.clone(), self.part.fork()?);
        let Product { kind, inputs, outputs, has_gaps, .. } = *self;
        Ok(Product { kernel, part, kind, inputs, outputs, has_gaps })
    }

    /// Whether an application can take this many directions.
    pub(crate) fn takes(
        kernel: &Kernel,
        request: Request<'_>,
        kind: Kind,
        how: &How,
        lanes: usize,
    ) -> Result<bool, Error> {
        let program = kernel.program(Goal::Product(kind), request)?;
        Ok(lanes == 1 || Part::takes(&program, Product::take(kind, request), how, lanes))
    }

    /// What is taken of a program of products.
    pub(crate) fn take(kind: Kind, request: Request<'_>) -> Take {
        let Without { results, gradient } = request.without;
        Take { results: !results, gradient: !gradient, product: Some(kind), nesting: request.nesting }
    }

    /// The product alone.
    pub(crate) fn apply(
        &mut self,
        bound: &Bound,
        direction: &[f64],
        product: &mut [f64],
    ) -> Result<(), Error> {
        self.evaluate(bound, direction, &mut [], &mut [], product)
    }

    fn evaluate(
        &mut self,
        bound: &Bound,
        direction: &[f64],
        results: &mut [f64],
        gradient: &mut [f64],
        product: &mut [f64],
    ) -> Result<(), Error> {
        debug_assert_eq!((direction.len(), product.len()), (self.inputs, self.outputs));
        if self.has_gaps {
            product.fill(0.0);
        }
        let (direction, weights) =
            if self.kind == Kind::Vjp { (&[][..], direction) } else { (direction, &bound.weights[..]) };
        let mut slices = Slices { results, gradient, matrix: &mut [], product, direction, weights };
        self.part.evaluate(bound, &mut slices)
    }
}
