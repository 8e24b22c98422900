//! The order of the passes: the only file that names them all.
//!
//! ```text
//! primal:    normalize, interchange, unroll, inline, guards, speculate, dce, confine, factor
//! gradient:  primal, reverse
//! jacobian:  primal, jacobian
//! hessian:   primal, hessian; or with the loops of elements kept (normalize, interchange, short unroll, inline, guards, speculate, dce, sink, dce,
//!            confine, factor, blocks), where that is less work; where elements cannot be eliminated: primal, distribute (rings), gradient,
//!            jacobian; else: gradient, jacobian
//! products:  primal, forward, and its compositions with reverse
//! walk:      primal or gradient, seed, dce, simplify, solve, simplify
//! sparse:    dce, hoist, extract, hoist, branches, dce, materialize;   index program
//! affine:    sparse without its last pass, rows, dce, hoist, branches, dce, materialize;   index program
//! ```
//! `given` comes after the last derivative, in programs with partials that the author gives.
//!
//! The walk computes the same matrix from the definition, one readable step at a time; the tests hold the direct roads against it.

use crate::ad::forward;
use crate::ad::given;
use crate::ad::reverse::{Weights, reverse};
use crate::dce;
use crate::factor;
use crate::inline;
use crate::loops::{
    branches, confine, distribute, guards, hoist, interchange, materialize, normalize, sink, speculate,
    unroll,
};
use crate::pass::Pass;
use crate::simplify;
use crate::sparse::hessian::Failure;
use crate::sparse::{extract, hessian, index, jacobian, project, rows, seed, solve, work};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, InstData, Plane, Role};
use spadina_ir::walk;
use std::time::{Duration, Instant};

/// The program after one step of a pipeline.
#[derive(Clone, Debug)]
pub struct Step {
    /// The pass that made it.
    pub pass: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The program.
    pub func: Func,
    /// How long it took.
    pub time: Duration,
}

/// The steps taken so far, the last one being the current program.
#[derive(Clone, Debug)]
pub struct Trace {
    steps: Vec<Step>,
    /// When the last one was finished.
    clock: Instant,
}

impl Trace {
    /// A pipeline that starts with `func`.
    pub fn new(func: &Func) -> Trace {
        let (pass, summary) = ("source", "the kernel as it was written");
        let step = Step { pass, summary, func: func.clone(), time: Duration::ZERO };
        Trace { steps: vec![step], clock: Instant::now() }
    }

    /// The current program.
    pub fn func(&self) -> &Func {
        &self.steps.last().expect("a trace starts with a program").func
    }

    /// All steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Adds a step.
    pub fn push(&mut self, pass: &'static str, summary: &'static str, func: Func) {
        self.steps.push(Step { pass, summary, func, time: self.clock.elapsed() });
        self.clock = Instant::now();
    }

    /// Runs passes in order.
    pub fn run(&mut self, passes: &[Pass]) -> Result<(), Diagnostic> {
        for pass in passes {
            let func = (pass.run)(self.func())?;
            self.push(pass.name, pass.summary, func);
        }
        Ok(())
    }
}

/// What prepares a kernel for every derivative.
const PRIMAL: &[Pass] = &[
    normalize::PASS,
    interchange::PASS,
    unroll::PASS,
    inline::PASS,
    guards::PASS,
    speculate::PASS,
    dce::PASS,
    confine::PASS,
    factor::PASS,
];
/// The same, with the loops of elements kept.
const KEPT: &[Pass] = &[
    normalize::PASS,
    interchange::PASS,
    unroll::SHORT,
    inline::PASS,
    guards::PASS,
    speculate::PASS,
    dce::PASS,
    sink::PASS,
    dce::PASS,
    confine::PASS,
    factor::PASS,
];
/// [`PRIMAL`] without inlining.
const ARRAYS: &[Pass] = &[
    normalize::PASS,
    interchange::PASS,
    unroll::PASS,
    guards::PASS,
    speculate::PASS,
    dce::PASS,
    confine::PASS,
    factor::PASS,
];
/// What ends every program without a matrix.
const PLAIN: &[Pass] = &[dce::PASS, hoist::PASS, branches::PASS, dce::PASS, materialize::PASS];
/// What ends every program that emits a matrix.
const SPARSE: &[Pass] =
    &[dce::PASS, hoist::PASS, extract::PASS, hoist::SUMS, branches::PASS, dce::PASS, materialize::PASS];

/// The last passes: no derivative is taken any more.
fn finish(trace: &mut Trace, passes: &[Pass]) -> Result<(), Diagnostic> {
    if given::has_given(trace.func()) {
        trace.run(&[given::PASS])?;
    }
    trace.run(passes)
}

/// How a matrix is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Road {
    /// Elimination inside each element.
    Elimination,
    /// Elimination inside each element with its inner loops kept: gathered in a local block.
    Blocks,
    /// Sweeps from each row, possibly of a gradient program.
    Sweeps,
}

/// A program that emits a matrix, and the index program that goes with it.
#[derive(Clone, Debug)]
pub struct Sparse {
    /// Evaluation: outputs and entries.
    pub eval: Func,
    /// Prepare: places and checks.
    pub index: Func,
    /// How.
    pub road: Road,
    /// Every step.
    pub trace: Trace,
}

fn sparse(mut trace: Trace, road: Road) -> Result<Sparse, Diagnostic> {
    finish(&mut trace, SPARSE)?;
    let eval = trace.func().clone();
    let index = index::index_program(&eval)?;
    Ok(Sparse { eval, index, road, trace })
}

impl Sparse {
    /// The same matrix without these outputs beside it, and without what only they needed.
    ///
    /// # Errors
    /// As for the program itself.
    pub fn without(mut self, outputs: &[Buffer]) -> Result<Sparse, Diagnostic> {
        self.trace.steps.pop_if(|step| step.pass == materialize::PASS.name);
        let func = dce::without(self.trace.func(), outputs);
        self.trace.push("dce", "without outputs that nobody asks for", func);
        self.trace.run(&[materialize::PASS])?;
        self.eval = self.trace.func().clone();
        self.index = index::index_program(&self.eval)?;
        Ok(self)
    }
}

/// The same matrix row by row, where rows follow from loop variables (a stencil, a grid, a ring): emissions away from borders are direct, so
/// they need no slots. In an energy other terms may stay elements. The matrix is the whole one: no unknown may be fixed, nothing reordered.
/// `None` too where repeating iterations for each of their rows costs more than slots do.
pub fn affine(sparse: &Sparse) -> Option<Sparse> {
    let steps = &sparse.trace.steps;
    let last = steps.iter().rfind(|step| step.pass != materialize::PASS.name)?;
    // Most programs have no such rows: they are not copied.
    let by_rows = rows::rows(&last.func).ok()?;
    let mut trace = sparse.trace.clone();
    trace.steps.pop_if(|step| step.pass == materialize::PASS.name);
    trace.push("rows", "rows one after the other, borders by the general road", by_rows);
    finish(&mut trace, PLAIN).ok()?;
    let eval = trace.func().clone();
    if rows::work(&eval) > rows::work(&sparse.eval) {
        return None;
    }
    let index = index::index_program(&eval).ok()?;
    Some(Sparse { eval, index, road: sparse.road, trace })
}

fn results(func: &Func) -> Vec<Buffer> {
    func.buffers_of(Role::Output).collect()
}

fn primal(func: &Func) -> Result<Trace, Diagnostic> {
    let mut trace = Trace::new(func);
    trace.run(PRIMAL)?;
    Ok(trace)
}

/// What sweeps differentiate, and what computes results alone. Entries of a matrix are found inside elements, so that inlining serves
/// them; here it only saves memory, and where an element is read more than once it makes work: then arrays stay.
fn primal_for_sweeps(func: &Func) -> Result<Trace, Diagnostic> {
    let inlined = primal(func)?;
    let mut arrays = Trace::new(func);
    arrays.run(ARRAYS)?;
    Ok(if rows::work(inlined.func()) > rows::work(arrays.func()) { arrays } else { inlined })
}

/// The program as detection runs it: conditions that prepare knows guard subscripts wherever they stand in a condition.
pub fn guarded(func: &Func) -> Result<Func, Diagnostic> {
    guards::run(func)
}

/// The value alone (every result), ready for code.
pub fn value(func: &Func) -> Result<Trace, Diagnostic> {
    let mut trace = primal_for_sweeps(func)?;
    finish(&mut trace, PLAIN)?;
    Ok(trace)
}

/// Results and the gradient of their sum, or with [`Weights::Inputs`] a vector-Jacobian product.
pub fn gradient(func: &Func, weights: Weights) -> Result<Trace, Diagnostic> {
    gradient_by(func, &func.columns, weights)
}

/// [`gradient`] with respect to other unknowns than the columns.
pub fn gradient_by(func: &Func, sources: &[Buffer], weights: Weights) -> Result<Trace, Diagnostic> {
    let mut trace = gradient_steps(func, sources, weights)?;
    finish(&mut trace, PLAIN)?;
    Ok(trace)
}

/// The gradient with respect to `sources`, whose adjoints are the rows, before its last passes.
pub fn gradient_steps(func: &Func, sources: &[Buffer], weights: Weights) -> Result<Trace, Diagnostic> {
    reversed(primal_for_sweeps(func)?, sources, weights)
}

fn reversed(mut trace: Trace, sources: &[Buffer], weights: Weights) -> Result<Trace, Diagnostic> {
    let mut adjoint = reverse(trace.func(), sources, weights, true)?;
    adjoint.rows = sources.to_vec();
    trace.push("reverse", "reverse mode: the adjoint of every unknown", adjoint);
    trace.run(&[dce::PASS])?;
    Ok(trace)
}

fn forward_step(trace: &mut Trace, columns: &[Buffer], summary: &'static str) {
    let tangent = forward::forward(trace.func(), columns, true);
    trace.push("forward", summary, tangent);
}

/// Results and their derivative along a direction `x_dot` of every column, before the last passes.
pub fn directional_steps(func: &Func) -> Result<Trace, Diagnostic> {
    let mut trace = primal_for_sweeps(func)?;
    forward_step(&mut trace, &func.columns, "forward mode: tangents beside values");
    Ok(trace)
}

/// Results and their derivative along a direction `x_dot` of every column.
pub fn directional(func: &Func) -> Result<Trace, Diagnostic> {
    let mut trace = directional_steps(func)?;
    finish(&mut trace, PLAIN)?;
    Ok(trace)
}

/// Results, their derivative along a direction, and along the same direction the derivative of that: the tangent of the tangent.
/// The program takes the direction twice.
pub fn second_directional_steps(func: &Func) -> Result<Trace, Diagnostic> {
    let mut trace = directional_steps(func)?;
    forward_step(&mut trace, &func.columns, "forward mode over forward mode");
    Ok(trace)
}

/// [`second_directional_steps`], ready for code.
pub fn second_directional(func: &Func) -> Result<Trace, Diagnostic> {
    let mut trace = second_directional_steps(func)?;
    finish(&mut trace, PLAIN)?;
    Ok(trace)
}

/// In which order the product of a Hessian with a direction is differentiated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Nesting {
    /// The gradient, along the direction.
    #[default]
    ForwardOverReverse,
    /// The derivative along the direction, its gradient.
    ReverseOverForward,
    /// The gradient, the gradient of its product with the direction.
    ReverseOverReverse,
}

/// Results, gradient, and the product of the Hessian of their (weighted) sum with a direction `x_dot`.
pub fn hessian_product(func: &Func, weights: Weights) -> Result<Trace, Diagnostic> {
    hessian_product_by(func, &func.columns, weights, Nesting::default())
}

/// [`hessian_product`] of the mixed block whose rows are `sources`.
pub fn hessian_product_by(
    func: &Func,
    sources: &[Buffer],
    weights: Weights,
    nesting: Nesting,
) -> Result<Trace, Diagnostic> {
    let mut trace = hessian_product_steps(func, sources, weights, nesting)?;
    finish(&mut trace, PLAIN)?;
    Ok(trace)
}

/// [`hessian_product_by`] before its last passes. With reverse mode outside there are no results and no gradient, and the product is the
/// adjoint of the unknowns; its direction is an input like the tangent of the unknowns nonetheless.
pub fn hessian_product_steps(
    func: &Func,
    sources: &[Buffer],
    weights: Weights,
    nesting: Nesting,
) -> Result<Trace, Diagnostic> {
    let (mut trace, outside, rename): (_, _, fn(&Func, Buffer) -> Plane) = match nesting {
        Nesting::ForwardOverReverse => {
            let mut trace = gradient_steps(func, sources, weights)?;
            forward_step(&mut trace, &func.columns, "forward mode over the gradient");
            return Ok(trace);
        }
        // The weight of a derivative is that of its result.
        Nesting::ReverseOverForward => (directional_steps(func)?, weights, |func, of| {
            let Plane::Tangent(result) = func.buffers[of].plane else { return Plane::Adjoint(of) };
            Plane::Adjoint(result)
        }),
        // The weights of a gradient are a direction. The product has the rows, so the gradient has the columns.
        Nesting::ReverseOverReverse => {
            (gradient_steps(func, &func.columns, weights)?, Weights::Inputs, |func, of| {
                let Plane::Adjoint(unknown) = func.buffers[of].plane else { return Plane::Adjoint(of) };
                Plane::Tangent(unknown)
            })
        }
    };
    let mut inside = dce::without(trace.func(), &primal_results(trace.func()));
    let outputs: Vec<Buffer> = results(&inside);
    let known = inside.buffers.len();
    inside = reverse(&inside, sources, outside, false)?;
    for output in outputs {
        // Nothing writes it any more: no result.
        inside.buffers[output].role = Role::Scratch;
    }
    let new: Vec<Buffer> = inside.buffers.keys().skip(known).collect();
    for buffer in new {
        if let (Role::Data, Plane::Adjoint(of)) = (inside.buffers[buffer].role, inside.buffers[buffer].plane)
        {
            inside.buffers[buffer].plane = rename(&inside, of);
        }
    }
    inside.rows = sources.to_vec();
    trace.push("reverse", "reverse mode over the derivative", inside);
    trace.run(&[dce::PASS])?;
    Ok(trace)
}

/// The results themselves, beside their derivatives.
fn primal_results(func: &Func) -> Vec<Buffer> {
    results(func).into_iter().filter(|&y| func.buffers[y].plane == Plane::Primal).collect()
}

/// Results and their sparse Jacobian.
pub fn jacobian(func: &Func) -> Result<Sparse, Diagnostic> {
    let mut trace = primal(func)?;
    let mut primal = trace.func().clone();
    primal.rows = results(&primal);
    let emitting = jacobian::jacobian(&primal)?;
    trace.push("jacobian", "at every row a sweep to the unknowns", emitting);
    sparse(trace, Road::Sweeps)
}

/// Results that are arrays: a Hessian program leaves them out, because its rows are the unknowns.
fn array_results(func: &Func) -> Vec<Buffer> {
    results(func)
        .into_iter()
        .filter(|&y| !func.buffers[y].dims.is_empty() && func.buffers[y].plane == Plane::Primal)
        .collect()
}

/// A program without [`array_results`].
fn without_arrays(func: Func) -> Func {
    let arrays = array_results(&func);
    if arrays.is_empty() { func } else { dce::without(&func, &arrays) }
}

/// A program whose elements keep their loops.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// The program.
    pub sparse: Sparse,
    /// The local unknowns of its largest element.
    pub slots: i64,
}

/// Whether a loop stands in a loop.
fn has_inner_loops(func: &Func) -> bool {
    let mut found = false;
    walk::visit_insts(func, func.body, &mut |region, inst| {
        found |= region != func.body && matches!(func.insts[inst], InstData::Loop { .. });
    });
    found
}

/// The Hessian with inner loops kept, its elements gathered in blocks; `None` where no element has such loops or something is in the way.
pub fn hessian_by_blocks(func: &Func, weights: Weights) -> Result<Option<Blocks>, Diagnostic> {
    debug_assert!(!project::is_marked(func), "blocks in arrays are not projected");
    if !has_inner_loops(func) {
        return Ok(None);
    }
    let mut trace = Trace::new(func);
    trace.run(KEPT)?;
    let Ok(Some((emitting, slots))) = hessian::with_blocks(trace.func(), weights) else { return Ok(None) };
    let emitting = without_arrays(emitting);
    trace.push("blocks", "elimination inside each element, its loops kept", emitting);
    Ok(Some(Blocks { sparse: sparse(trace, Road::Blocks)?, slots }))
}

/// Scalar results, gradient and sparse Hessian of their (weighted) sum.
pub fn hessian(func: &Func, weights: Weights) -> Result<Sparse, Diagnostic> {
    // Projected elements are written out: their block must stand as values.
    let blocks = if project::is_marked(func) { None } else { hessian_by_blocks(func, weights)? };
    let mut trace = primal(func)?;
    if let Some(blocks) = &blocks
        && (blocks.slots > MOST_WRITTEN_OUT || walk::inst_count(trace.func()) > LONGEST_WRITTEN_OUT)
    {
        return Ok(blocks.sparse.clone());
    }
    let eliminated = hessian::hessian(trace.func(), weights);
    match (eliminated, blocks) {
        (Ok(emitting), blocks) => {
            let emitting = without_arrays(emitting);
            trace.push("hessian", "elimination inside each element", emitting);
            let written_out = sparse(trace, Road::Elimination)?;
            Ok(match blocks {
                Some(blocks) if cheaper(&blocks.sparse, &written_out) => blocks.sparse,
                Some(_) | None => written_out,
            })
        }
        (Err(Failure::Refused(refusal)), _) => Err(*refusal),
        (Err(Failure::Obstacle(_)), Some(blocks)) => Ok(blocks.sparse),
        (Err(Failure::Obstacle(_)), None) => {
            hessian_by_rings(func, weights).map_or_else(|| hessian_by_sweeps(func, weights), Ok)
        }
    }
}

/// Most local unknowns of an element whose loops are written out: its code grows with their square.
const MOST_WRITTEN_OUT: i64 = 30;
/// Most instructions of a program whose loops are written out before it is differentiated.
const LONGEST_WRITTEN_OUT: usize = 1200;

/// Whether the first program does less work for an element.
fn cheaper(first: &Sparse, second: &Sparse) -> bool {
    work::of_elements(&first.eval) < work::of_elements(&second.eval)
}

/// The Hessian where inner loops of symbolic length give sums that are used nonlinearly: these sums become arrays, and so stages.
/// `None` where there are none, or where something is in the way.
pub fn hessian_by_rings(func: &Func, weights: Weights) -> Option<Sparse> {
    let mut trace = primal(func).ok()?;
    let split = distribute::distribute(trace.func())?;
    trace.push("distribute", "sums over rings become arrays with loops of their own", split);
    by_sweeps(trace, &func.columns, weights).ok()
}

/// The Hessian as the Jacobian of the gradient: the general road.
pub fn hessian_by_sweeps(func: &Func, weights: Weights) -> Result<Sparse, Diagnostic> {
    mixed(func, &func.columns, weights)
}

/// A mixed block of the Hessian: rows are `sources`, columns those of the function. The Jacobian of the gradient.
pub fn mixed(func: &Func, sources: &[Buffer], weights: Weights) -> Result<Sparse, Diagnostic> {
    by_sweeps(primal(func)?, sources, weights)
}

fn by_sweeps(trace: Trace, sources: &[Buffer], weights: Weights) -> Result<Sparse, Diagnostic> {
    debug_assert!(!project::is_marked(trace.func()), "sweeps never see an element's block");
    let mut trace = reversed(trace, sources, weights)?;
    let emitting = jacobian::jacobian(trace.func())?;
    let emitting = without_arrays(emitting);
    trace.push("jacobian", "at every row of the gradient a sweep to the unknowns", emitting);
    sparse(trace, Road::Sweeps)
}

/// Which matrix a dense nest or a walk computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Matrix {
    /// Of the results.
    Jacobian,
    /// Of the gradient of their (weighted) sum.
    Hessian(Weights),
}

fn dense_steps(func: &Func, sources: &[Buffer], matrix: Matrix) -> Result<Trace, Diagnostic> {
    let mut trace = match matrix {
        Matrix::Hessian(weights) => reversed(primal(func)?, sources, weights)?,
        Matrix::Jacobian => primal(func)?,
    };
    let mut start = trace.func().clone();
    if matrix == Matrix::Jacobian {
        start.rows = results(&start);
    }
    trace.push("seed", "one-hot seeds: the dense loop over all unknowns", seed::seed(&start));
    finish(&mut trace, &[dce::PASS])?;
    Ok(trace)
}

/// The matrix by its definition, into dense blocks: the oracle, and the strategy `dense`.
pub fn dense(func: &Func, matrix: Matrix) -> Result<Trace, Diagnostic> {
    dense_by(func, &func.columns, matrix)
}

/// [`dense`]; the rows of a Hessian are `sources`.
pub fn dense_by(func: &Func, sources: &[Buffer], matrix: Matrix) -> Result<Trace, Diagnostic> {
    let mut trace = dense_steps(func, sources, matrix)?;
    trace.run(&[hoist::PASS, dce::PASS, materialize::PASS])?;
    Ok(trace)
}

/// The walk from the dense loop nest to the sparse one.
pub fn walk(func: &Func, matrix: Matrix) -> Result<Sparse, Diagnostic> {
    let mut trace = dense_steps(func, &func.columns, matrix)?;
    trace.run(&[simplify::PASS, solve::PASS, simplify::PASS])?;
    sparse(trace, Road::Sweeps)
}
