//! From a kernel to the program that computes one of its derivatives.

use crate::error::Error;
use crate::kernel::Kernel;
use crate::options::Derivative;
use crate::product::Kind;
use crate::program::Program;
use crate::request::{Request, Without};
use spadina_ir::func::{Buffer, Func, Plane, Role};
use spadina_passes::ad::reverse::Weights;
use spadina_passes::dce;
use spadina_passes::pipeline::{self, Matrix, Nesting, Sparse};
use spadina_passes::sparse::index::index_program;
use spadina_passes::sparse::{project, stages};

/// What a program computes. A Lagrangian is a [`Derivative::Hessian`] with weights, Gauss-Newton starts from a
/// [`Derivative::Jacobian`]: of derivatives only the other four come here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Goal {
    /// Results, gradient, matrix by structure: whatever the derivative has.
    Whole(Derivative),
    /// The same, row by row where rows follow from the loops: what runs here with all unknowns in order. Objects keep to `Whole`, which
    /// their header can prepare, and so do plans that drop or renumber entries.
    Here(Derivative),
    /// Only the matrix, by its definition, into dense blocks.
    Dense(Derivative),
    /// The product of a matrix with a direction, with or without what it is the change of.
    Product(Kind),
}

impl Goal {
    /// What the kernel must have for it.
    fn derivative(self) -> Derivative {
        match self {
            Goal::Whole(derivative) | Goal::Here(derivative) | Goal::Dense(derivative) => derivative,
            Goal::Product(Kind::Jvp | Kind::Vjp | Kind::Second) => Derivative::Jacobian,
            Goal::Product(Kind::Hvp) => Derivative::Hessian,
        }
    }
}

/// Makes the program and its index program.
pub(crate) fn make(kernel: &Kernel, goal: Goal, request: Request<'_>) -> Result<Program, Error> {
    let derivative = goal.derivative();
    let lagrangian = request.weighted && matches!(derivative, Derivative::Hessian | Derivative::Gradient);
    let mut primal =
        kernel.differentiable(if lagrangian { Derivative::Lagrangian } else { derivative }, request.wrt)?;
    let refuse = |diagnostic| kernel.refusal(diagnostic);
    if let (Goal::Dense(_), Some(refused)) = (goal, kernel.not_projected(derivative)) {
        return Err(refuse(refused));
    }
    if !matches!(
        goal,
        Goal::Whole(Derivative::Hessian | Derivative::Lagrangian)
            | Goal::Here(Derivative::Hessian | Derivative::Lagrangian)
    ) {
        // Values, gradients and products do not see projections.
        primal = project::unmarked(&primal);
    }
    let weights = if request.weighted { Weights::Inputs } else { Weights::One };
    let sources = sources(kernel, &primal, request)?;
    for &source in &sources {
        // What gives rows is an unknown.
        primal.buffers[source].role = Role::Var;
    }
    let left_out = request.without;
    let eval = match goal {
        Goal::Whole(derivative) | Goal::Here(derivative) => match derivative {
            Derivative::Value => pipeline::value(&primal).map_err(refuse)?.func().clone(),
            Derivative::Gradient => {
                let trace = pipeline::gradient_by(&primal, &sources, weights).map_err(refuse)?;
                without(trace.func(), |func, y| is_array_result(func, y) || leaves_out(func, y, left_out))
            }
            Derivative::Jacobian | Derivative::GaussNewton => {
                let sparse = pipeline::jacobian(&primal).map_err(refuse)?;
                return matrix_program(kernel, goal, sparse, left_out);
            }
            Derivative::Hessian | Derivative::Lagrangian => {
                let sparse = if request.rows.is_some() {
                    pipeline::mixed(&primal, &sources, weights)
                } else {
                    pipeline::hessian(&primal, weights)
                };
                return matrix_program(kernel, goal, sparse.map_err(refuse)?, left_out);
            }
        },
        Goal::Dense(derivative) => {
            let matrix = match derivative {
                Derivative::Jacobian | Derivative::GaussNewton => Matrix::Jacobian,
                Derivative::Hessian | Derivative::Lagrangian => Matrix::Hessian(weights),
                Derivative::Value | Derivative::Gradient => {
                    unreachable!("dense programs are asked for matrices only")
                }
            };
            pipeline::dense_by(&primal, &sources, matrix).map_err(refuse)?.func().clone()
        }
        Goal::Product(kind) => {
            let trace = match kind {
                Kind::Jvp => pipeline::directional(&primal),
                Kind::Vjp => pipeline::gradient(&primal, Weights::Inputs),
                Kind::Hvp => pipeline::hessian_product_by(&primal, &sources, weights, request.nesting),
                Kind::Second => pipeline::second_directional(&primal),
            };
            product_alone(trace.map_err(refuse)?.func(), (kind, request.nesting), left_out)
        }
    };
    // Without a matrix the index program only checks subscripts.
    let index = index_program(&eval).map_err(refuse)?;
    Program::new(eval, index)
}

/// The unknowns that a gradient is taken by: the rows of a Hessian.
fn sources(kernel: &Kernel, primal: &Func, request: Request<'_>) -> Result<Vec<Buffer>, Error> {
    let Some(rows) = request.rows else { return Ok(primal.columns.clone()) };
    let names = kernel.columns(Some(rows))?;
    Ok(names.iter().filter_map(|name| primal.buffer_named(name)).collect())
}

/// The program of a sparse matrix without what nobody asks for; row by row if it runs here and rows follow from the loops.
fn matrix_program(
    kernel: &Kernel,
    goal: Goal,
    mut sparse: Sparse,
    left_out: Without,
) -> Result<Program, Error> {
    let others = sparse.eval.buffers_of(Role::Output).filter(|&y| leaves_out(&sparse.eval, y, left_out));
    let others: Vec<Buffer> = others.collect();
    if !others.is_empty() {
        sparse = sparse.without(&others).map_err(|diagnostic| kernel.refusal(diagnostic))?;
    }
    let plain = matches!(goal, Goal::Whole(_)) || stages::listed(&sparse.eval).next().is_some();
    let rows = if plain { None } else { pipeline::affine(&sparse) };
    let sparse = rows.unwrap_or(sparse);
    Program::new(sparse.eval, sparse.index)
}

/// Array results have no rows in a program whose rows are unknowns: they are computed by a program of their own.
fn is_array_result(func: &Func, buffer: Buffer) -> bool {
    let data = &func.buffers[buffer];
    data.plane == Plane::Primal && !data.dims.is_empty()
}

fn leaves_out(func: &Func, output: Buffer, left_out: Without) -> bool {
    match func.buffers[output].plane {
        Plane::Primal => left_out.results,
        Plane::Adjoint(_) => left_out.gradient,
        Plane::Tangent(_) | Plane::Block(..) => false,
    }
}

fn without(func: &Func, drop: impl Fn(&Func, Buffer) -> bool) -> Func {
    let others: Vec<Buffer> = func.buffers_of(Role::Output).filter(|&y| drop(func, y)).collect();
    if others.is_empty() { func.clone() } else { dce::without(func, &others) }
}

/// The program of a product without its other outputs, which would be computed again for every direction, but with what the product
/// is the change of unless that is left out.
fn product_alone(func: &Func, (kind, nesting): (Kind, Nesting), left_out: Without) -> Func {
    let adjoint_is_product = kind == Kind::Vjp || nesting != Nesting::ForwardOverReverse;
    without(func, |func, y| match (kind, func.buffers[y].plane) {
        (Kind::Jvp | Kind::Second, Plane::Primal) => left_out.results,
        (Kind::Vjp | Kind::Hvp, Plane::Primal) => left_out.results || is_array_result(func, y),
        (Kind::Jvp, Plane::Tangent(of)) => func.buffers[of].plane != Plane::Primal,
        (Kind::Second, Plane::Tangent(of)) => !matches!(func.buffers[of].plane, Plane::Tangent(_)),
        (Kind::Hvp, Plane::Tangent(of)) => !matches!(func.buffers[of].plane, Plane::Adjoint(_)),
        (Kind::Vjp | Kind::Hvp, Plane::Adjoint(_)) => !adjoint_is_product && left_out.gradient,
        (Kind::Jvp | Kind::Second, Plane::Adjoint(_))
        | (Kind::Vjp, Plane::Tangent(_))
        | (_, Plane::Block(..)) => true,
    })
}

/// A product as a program that can be differentiated again: before the passes that end a program, with the product as its only result.
pub(crate) fn product_func(kernel: &Kernel, kind: Kind, wrt: Option<&[String]>) -> Result<Func, Error> {
    let primal = project::unmarked(&kernel.differentiable(Goal::Product(kind).derivative(), wrt)?);
    let nesting = Nesting::default();
    let trace = match kind {
        Kind::Jvp => pipeline::directional_steps(&primal),
        Kind::Vjp => pipeline::gradient_steps(&primal, &primal.columns, Weights::Inputs),
        Kind::Hvp => pipeline::hessian_product_steps(&primal, &primal.columns, Weights::One, nesting),
        Kind::Second => {
            return Err(Error::usage(
                "a second derivative takes one direction twice and is no kernel of its own",
            ));
        }
    };
    let trace = trace.map_err(|diagnostic| kernel.refusal(diagnostic))?;
    let mut func = product_alone(trace.func(), (kind, nesting), Without { results: true, gradient: true });
    let outputs: Vec<Buffer> = func.buffers_of(Role::Output).collect();
    for output in outputs {
        let product = match (kind, func.buffers[output].plane) {
            (Kind::Jvp, Plane::Tangent(of)) => func.buffers[of].plane == Plane::Primal,
            (Kind::Hvp, Plane::Tangent(of)) => matches!(func.buffers[of].plane, Plane::Adjoint(_)),
            (Kind::Vjp, Plane::Adjoint(_)) => true,
            _ => false,
        };
        if !product {
            // Nothing writes it any more: no result.
            func.buffers[output].role = Role::Scratch;
        }
    }
    Ok(func)
}
