//! Value, gradient and sparse Hessian of an energy in one loop nest, by elimination inside each element.
//!
//! # Problem
//! ```text
//! for e in .. { v = f(load x[i(e)], load x[j(e)]); accum out[] += v }
//!     ==>   for e in .. { ..; accum out[] += v; accum x_bar[i] += f_i; ..; emit (i, i), f_ii; emit (i, j), f_ij; .. }
//! ```
//! # Method
//! Copy; at `accum` into an output eliminate the graph behind the value (`ad/eliminate`): the remaining form on the loads is the
//! gradient and the Hessian of the element. With weights, the seed is the multiplier at the accumulated entry: the Hessian of the
//! Lagrangian. Marked parts are eliminated by themselves and emitted as whole blocks (`sparse/project`).
//!
//! # Why it keeps the meaning
//! The energy is the sum of what is accumulated, derivatives are linear in it, and each term depends on the unknowns only through
//! the loads that its elimination ends in.
//!
//! # Limits
//! Where `ad/eliminate` meets an obstacle the caller takes the Jacobian of the gradient instead; a program with projected terms is
//! refused (`project`).

use crate::ad::eliminate::eliminate;
use crate::ad::form::Form;
use crate::ad::forward::plane_buffer;
use crate::ad::graph::{Graph, Leaves, Obstacle};
use crate::ad::reverse::Weights;
use crate::analysis::activity::Activity;
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::element::{Elements, Homes};
use crate::sparse::places::{self, Emitting, Places};
use crate::sparse::project;
use spadina_ir::builder::Builder;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Plane, Role, Value};
use spadina_ir::walk;

/// Why there is no elimination.
#[derive(Clone, PartialEq, Debug)]
pub enum Failure {
    /// Another road may serve.
    Obstacle(Obstacle),
    /// No other road may.
    Refused(Box<Diagnostic>),
}

/// The program that computes the outputs of `func`, the adjoints of its columns, and emits the Hessian of its weighted outputs.
pub fn hessian(func: &Func, weights: Weights) -> Result<Func, Failure> {
    eliminated(func, weights, None).map(|(func, _)| func)
}

/// The same, where inner loops are kept and the Hessian of their element is gathered in a block; with the
/// number of unknowns of the largest such element. `None` if no element has such loops, or if
/// terms are projected: that takes the block of each by itself.
pub fn with_blocks(func: &Func, weights: Weights) -> Result<Option<(Func, i64)>, Failure> {
    if project::is_marked(func) || !has_inner_loops(func) {
        return Ok(None);
    }
    // The first walk finds the loops that blocks begin with.
    let (_, homes) = eliminated(func, weights, Some(Homes::default()))?;
    let Some(slots) = homes.largest() else { return Ok(None) };
    eliminated(func, weights, Some(homes)).map(|(func, _)| Some((func, slots)))
}

/// Whether any loop stands inside another.
fn has_inner_loops(func: &Func) -> bool {
    let mut found = false;
    walk::visit_insts(func, func.body, &mut |region, inst| {
        found |= region != func.body && matches!(func.insts[inst], InstData::Loop { .. });
    });
    found
}

fn eliminated(func: &Func, weights: Weights, homes: Option<Homes>) -> Result<(Func, Homes), Failure> {
    let activity = Activity::of(func, &func.columns);
    let active_scratch = func.buffers_of(Role::Scratch).filter(|&b| activity.buffer(b)).collect();
    let mut rw = Rewriter::new(func, format!("{}.hessian", func.name));
    let gradients = func
        .columns
        .iter()
        .map(|&x| (x, plane_buffer(&mut rw.b, x, Role::Output, Plane::Adjoint(x), "_bar")));
    let gradients = gradients.collect();
    let multipliers = match weights {
        Weights::One => Vec::new(),
        Weights::Inputs => func
            .buffers_of(Role::Output)
            .filter(|&y| activity.buffer(y))
            .map(|y| (y, plane_buffer(&mut rw.b, y, Role::Data, Plane::Adjoint(y), "_bar")))
            .collect(),
    };
    let elements = homes.map(|homes| Elements::new(&mut rw.b, homes));
    let mut pass = Hessian {
        elements,
        graph: Graph::new(Leaves::Columns, &func.columns, active_scratch),
        gradients,
        multipliers,
        places: Places::new(func),
        marked: project::is_marked(func),
        failure: None,
    };
    rw.b.set_rows(func.columns.clone());
    rw.region(func.body, &mut pass);
    pass.places.collector.close(&mut rw.b);
    match pass.failure {
        Some(failure) => Err(failure),
        None => Ok((rw.b.finish(), pass.elements.map(Elements::into_homes).unwrap_or_default())),
    }
}

struct Hessian {
    /// Elements whose loops are kept, where that is asked for.
    elements: Option<Elements>,
    graph: Graph,
    gradients: Vec<(Buffer, Buffer)>,
    multipliers: Vec<(Buffer, Buffer)>,
    places: Places,
    /// Whether any term is projected.
    marked: bool,
    failure: Option<Failure>,
}

impl Hessian {
    fn term(&mut self, rw: &mut Rewriter<'_>, buffer: Buffer, index: &[Value], value: Value) {
        if !self.graph.is_active(&rw.b, value) {
            return;
        }
        if let Some(guard) = self.places.guard {
            let obstacle = Obstacle::GuardedLoop(guard);
            self.failure = Some(if self.marked {
                Failure::Refused(Box::new(project::refuse(rw.src, obstacle)))
            } else {
                Failure::Obstacle(obstacle)
            });
            return;
        }
        let seed = match self.multipliers.iter().find(|(of, _)| *of == buffer) {
            Some(&(_, multiplier)) => rw.b.load(multiplier, index),
            None => rw.b.float(rw.b.func().ty(value), 1.0),
        };
        let depth = rw.b.depth();
        if let Err(obstacle) = self.parts(rw, value, seed) {
            rw.b.abandon(depth);
            self.failure.get_or_insert_with(|| {
                if self.marked {
                    Failure::Refused(Box::new(project::refuse(rw.b.func(), obstacle)))
                } else {
                    Failure::Obstacle(obstacle)
                }
            });
        }
    }

    /// Eliminates `seed * value`, each projected part by itself.
    fn parts(&mut self, rw: &mut Rewriter<'_>, value: Value, seed: Value) -> Result<(), Obstacle> {
        if !self.marked {
            if self.kept(rw, value, seed)? {
                return Ok(());
            }
            let form = eliminate(&mut rw.b, &mut self.graph, &[(value, seed)])?;
            self.write_gradient(rw, &form);
            self.write_entries(rw, &form);
            return Ok(());
        }
        for part in project::parts(&mut rw.b, &mut self.graph, value, seed)? {
            let form = eliminate(&mut rw.b, &mut self.graph, &[(part.value, part.factor)])?;
            self.write_gradient(rw, &form);
            let Some(projection) = part.projection else {
                self.write_entries(rw, &form);
                continue;
            };
            let Some(block) = project::block(&mut rw.b, &form, projection) else { continue };
            if project::fits(&block) {
                self.places.collector.block(&mut rw.b, block);
            } else {
                let refused = project::too_large(rw.b.span(), block.rows.len());
                self.failure.get_or_insert(Failure::Refused(Box::new(refused)));
            }
        }
        Ok(())
    }

    /// Hands the value to the elements that keep their loops, if that is asked for and it has such loops.
    fn kept(&mut self, rw: &mut Rewriter<'_>, value: Value, seed: Value) -> Result<bool, Obstacle> {
        let Some(elements) = &mut self.elements else { return Ok(false) };
        let (gradients, known) = (&self.gradients, &self.places.known);
        elements.term(
            rw,
            &mut self.graph,
            (value, seed),
            &|b, leaf, bar| add_gradient(b, gradients, leaf, bar),
            &|b, cond| known.holds(b, cond),
        )
    }

    fn write_gradient(&mut self, rw: &mut Rewriter<'_>, form: &Form) {
        for (&leaf, &bar) in &form.bars {
            add_gradient(&mut rw.b, &self.gradients, leaf, bar);
        }
    }

    fn write_entries(&mut self, rw: &mut Rewriter<'_>, form: &Form) {
        for (&u, row) in &form.arcs {
            for (&w, &weight) in row.range(u..) {
                let ((bu, iu), (bw, iw)) = (address(&rw.b, u), address(&rw.b, w));
                let (pu, pw) = (rw.b.position(bu, &iu), rw.b.position(bw, &iw));
                self.places.collector.push(pu, pw, weight);
                if u != w {
                    self.places.collector.push(pw, pu, weight);
                }
            }
        }
    }
}

/// The buffer and the subscripts of a load.
fn address(b: &Builder, load: Value) -> (Buffer, Vec<Value>) {
    match b.func().def(load) {
        Some(InstData::Load(buffer, index)) => (*buffer, index.to_vec()),
        _ => unreachable!("elimination ends in loads"),
    }
}

fn add_gradient(b: &mut Builder, gradients: &[(Buffer, Buffer)], leaf: Value, bar: Value) {
    let (buffer, index) = address(b, leaf);
    let &(_, adjoint) = gradients.iter().find(|(of, _)| *of == buffer).expect("every column has its adjoint");
    b.accum(adjoint, &index, bar);
}

impl Emitting for Hessian {
    fn places(&mut self) -> &mut Places {
        &mut self.places
    }

    fn opened(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if let Some(elements) = &mut self.elements {
            elements.opened(rw, inst);
        }
    }

    fn closing(&mut self, rw: &mut Rewriter<'_>) {
        if let Some(elements) = &mut self.elements {
            elements.closing(rw, &mut self.places.collector);
        }
    }
}

impl Visitor for Hessian {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if self.failure.is_some() {
            rw.copy(inst, self);
            return;
        }
        match &src.insts[inst] {
            InstData::Accum(buffer, index, value) => {
                rw.copy(inst, self);
                if src.buffers[*buffer].role == Role::Output {
                    let (index, value) = (rw.map.all(index), rw.map.get(*value));
                    self.term(rw, *buffer, &index, value);
                }
            }
            _ => places::copy(rw, self, inst),
        }
    }
}
