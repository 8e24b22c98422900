//! Stages: scratch arrays that are filled in one loop and read in later ones, and small ones local to an iteration.

use super::Generator;
use super::expr::Pool;
use super::world::{Declare, Stage};
use crate::inputs::VAR_RANGE;
use crate::range::Range;
use spadina_ir::func::{Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;

/// What the iteration around a local array stands for.
#[derive(Clone, Copy)]
pub(super) enum Site {
    /// A vertex.
    Vertex(Value),
    /// A cell of the one-dimensional grid.
    Cell(Value),
}

impl Generator<'_> {
    /// A scratch array over the vertices: mapped from them, or scattered to from the elements.
    pub(super) fn stage(&mut self) {
        let dims = vec![self.world.v.clone()];
        let buffer = Declare { b: &mut self.b }.float("stage", Role::Scratch, dims);
        let scattered = self.rng.chance(0.4);
        let size = if scattered { self.world.e.clone() } else { self.world.v.clone() };
        let (lo, hi) = (self.b.int(0), self.b.size(&size));
        let (i, _) = self.b.begin_loop(lo, hi, 1, &[]);
        let mut pool = Pool::default();
        let mut targets = vec![i];
        if scattered {
            targets.clear();
            for column in 0..2 {
                let column = self.b.int(column);
                targets.push(self.b.load(self.world.elements, &[i, column]));
            }
        }
        for &v in &targets {
            let index = match self.world.dim {
                None => vec![v],
                Some(dim) => {
                    let component = self.rng.int(0, dim - 1);
                    vec![v, self.b.int(component)]
                }
            };
            let x = self.load(self.world.x, &index, VAR_RANGE);
            pool.floats.push(x);
            pool.ints.push(v);
            for earlier in self.world.stages.clone() {
                let t = self.load(earlier.buffer, &[v], earlier.range);
                pool.floats.push(t);
            }
        }
        let value = self.expr(&mut pool, self.config.ops);
        let target = targets[self.rng.below(targets.len())];
        self.b.accum(buffer, &[target], value);
        self.b.end_loop(&[]);
        // Nothing may have been added, or (by a scatter) all elements to one vertex.
        let each = self.range(value);
        let range = if scattered { each.times(8.0) } else { each.union(Range::point(0.0)) };
        self.world.stages.push(Stage { buffer, range });
    }

    /// A scratch array of fixed length: reset, filled by a loop, read, in every iteration.
    pub(super) fn local_array(&mut self, pool: &mut Pool, site: Site) {
        let len = self.rng.int(2, 3);
        let buffer = Declare { b: &mut self.b }.float("local", Role::Scratch, vec![SizeExpr::constant(len)]);
        self.b.reset(buffer);
        let trips = self.rng.int(1, 4);
        let (lo, hi) = (self.b.int(0), self.b.int(trips));
        let (q, _) = self.b.begin_loop(lo, hi, 1, &[]);
        let mut inner = pool.clone();
        inner.ints.push(q);
        if let (Site::Cell(i), Some(y)) = (site, self.world.y) {
            let (n, moved) = (self.b.size(&self.world.n), self.b.op(Op::IntAdd, &[i, q]));
            let at = self.b.op(Op::IntMod, &[moved, n]);
            let value = self.load(y, &[at], VAR_RANGE);
            inner.floats.push(value);
        }
        if let Site::Vertex(v) = site {
            let components = self.world.dim.unwrap_or(1);
            let count = self.b.int(components);
            let component = self.b.op(Op::IntMod, &[q, count]);
            let index = if self.world.dim.is_some() { vec![v, component] } else { vec![v] };
            let value = self.load(self.world.x, &index, VAR_RANGE);
            inner.floats.push(value);
        }
        let value = self.expr(&mut inner, 3);
        let count = self.b.int(len);
        let place = self.b.op(Op::IntMod, &[q, count]);
        self.b.accum(buffer, &[place], value);
        self.b.end_loop(&[]);
        let range = self.range(value).times(4.0);
        for place in 0..2 {
            let place = self.b.int(place);
            let value = self.load(buffer, &[place], range);
            pool.floats.push(value);
        }
    }
}
