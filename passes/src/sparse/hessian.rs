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
//! Lagrangian.
//!
//! # Why it keeps the meaning
//! The energy is the sum of what is accumulated, derivatives are linear in it, and each term depends on the unknowns only through
//! the loads that its elimination ends in.
//!
//! # Limits
//! Any obstacle of `ad/eliminate` is returned: the caller then takes the Jacobian of the gradient instead.

use crate::ad::eliminate::{Form, eliminate};
use crate::ad::forward::plane_buffer;
use crate::ad::graph::{Graph, Leaves, Obstacle};
use crate::ad::reverse::Weights;
use crate::analysis::activity::Activity;
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::places::{self, Emitting, Places};
use spadina_ir::func::{Buffer, Func, Inst, InstData, Plane, Role, Value};

/// The program that computes the outputs of `func`, the adjoints of its columns, and emits the Hessian of its weighted outputs.
pub fn hessian(func: &Func, weights: Weights) -> Result<Func, Obstacle> {
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
    let mut pass = Hessian {
        graph: Graph::new(Leaves::Columns, &func.columns, active_scratch),
        gradients,
        multipliers,
        places: Places::new(func),
        obstacle: None,
    };
    rw.b.set_rows(func.columns.clone());
    rw.region(func.body, &mut pass);
    pass.places.collector.close(&mut rw.b);
    match pass.obstacle {
        Some(obstacle) => Err(obstacle),
        None => Ok(rw.b.finish()),
    }
}

struct Hessian {
    graph: Graph,
    gradients: Vec<(Buffer, Buffer)>,
    multipliers: Vec<(Buffer, Buffer)>,
    places: Places,
    obstacle: Option<Obstacle>,
}

impl Hessian {
    fn term(&mut self, rw: &mut Rewriter<'_>, buffer: Buffer, index: &[Value], value: Value) {
        if !self.graph.is_active(&rw.b, value) {
            return;
        }
        if let Some(guard) = self.places.guard {
            self.obstacle = Some(Obstacle::GuardedLoop(guard));
            return;
        }
        let seed = match self.multipliers.iter().find(|(of, _)| *of == buffer) {
            Some(&(_, multiplier)) => rw.b.load(multiplier, index),
            None => rw.b.float(rw.b.func().ty(value), 1.0),
        };
        let depth = rw.b.depth();
        match eliminate(&mut rw.b, &mut self.graph, &[(value, seed)]) {
            Ok(form) => self.write(rw, &form),
            Err(obstacle) => {
                rw.b.abandon(depth);
                self.obstacle = Some(obstacle);
            }
        }
    }

    fn write(&mut self, rw: &mut Rewriter<'_>, form: &Form) {
        let address = |rw: &Rewriter<'_>, leaf: Value| match rw.b.func().def(leaf) {
            Some(InstData::Load(buffer, index)) => (*buffer, index.clone()),
            _ => unreachable!("elimination ends in loads"),
        };
        for (&leaf, &bar) in &form.bars {
            let (buffer, index) = address(rw, leaf);
            let adjoint = self.gradients.iter().find(|(of, _)| *of == buffer);
            let &(_, adjoint) = adjoint.expect("every column has its adjoint");
            rw.b.accum(adjoint, &index, bar);
        }
        for (&u, row) in &form.arcs {
            for (&w, &weight) in row.range(u..) {
                let ((bu, iu), (bw, iw)) = (address(rw, u), address(rw, w));
                let (pu, pw) = (rw.b.position(bu, &iu), rw.b.position(bw, &iw));
                self.places.collector.push(pu, pw, weight);
                if u != w {
                    self.places.collector.push(pw, pu, weight);
                }
            }
        }
    }
}

impl Emitting for Hessian {
    fn places(&mut self) -> &mut Places {
        &mut self.places
    }
}

impl Visitor for Hessian {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if self.obstacle.is_some() {
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
