//! Terms: loops over elements, vertices, grids and pairs that add to the outputs.

use super::Generator;
use super::expr::Pool;
use super::stage::Site;
use crate::inputs::{DATA_RANGE, VAR_RANGE};
use crate::range::Range;
use spadina_ir::func::{Buffer, Carry, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;

/// Where an iteration may add to: an output and subscripts in range.
type Sinks = Vec<(Buffer, Vec<Value>)>;

/// The sets that terms loop over.
#[derive(Clone, Copy)]
enum Domain {
    Elements,
    Vertices,
    Grid,
    Plane,
    Pairs,
    Wide,
    Ends,
    Guarded,
    Once,
}

impl Generator<'_> {
    /// One term.
    pub(super) fn term(&mut self) {
        // Only loops that have somewhere to add to.
        let world = &self.world;
        let energy = world.value.is_some();
        let mut domains = Vec::new();
        if energy || world.on_elements.is_some() || world.on_vertices.is_some() {
            domains.extend([Domain::Elements, Domain::Elements]);
        }
        if energy || world.on_vertices.is_some() {
            domains.push(Domain::Vertices);
        }
        if energy || world.on_grid.is_some() {
            if world.y.is_some() {
                domains.extend([Domain::Grid, Domain::Grid, Domain::Pairs]);
            }
            if world.z.is_some() {
                domains.push(Domain::Plane);
            }
        }
        if energy && world.c.is_some() {
            domains.push(Domain::Once);
        }
        let domain = if self.world.wide.is_some() && self.rng.chance(0.8) {
            Domain::Wide
        } else if self.config.pairs && self.rng.chance(0.8) {
            Domain::Ends
        } else if self.config.guards && self.rng.chance(0.6) {
            Domain::Guarded
        } else {
            self.rng.pick(&domains).unwrap_or(Domain::Elements)
        };
        // An energy is summed by the loops, or added up inside them.
        let summed = self.world.value.is_some() && self.rng.chance(0.7);
        let total = match domain {
            Domain::Elements => {
                let (lo, hi, step) = self.whole(|world| &world.e);
                self.looped(lo, hi, step, summed, &mut |generator, e| {
                    let (mut pool, sinks) = generator.at_element(e);
                    generator.contribution(&mut pool, sinks, summed)
                })
            }
            Domain::Vertices => {
                let (lo, hi, step) = self.whole(|world| &world.v);
                self.looped(lo, hi, step, summed, &mut |generator, v| {
                    let (mut pool, sinks) = generator.at_vertex(v);
                    generator.contribution(&mut pool, sinks, summed)
                })
            }
            Domain::Wide => {
                let (lo, hi, step) = self.whole(|world| &world.e);
                self.looped(lo, hi, step, summed, &mut |generator, e| generator.wide(e, summed))
            }
            Domain::Ends => {
                let size = self.world.e.clone();
                let (lo, hi) = (self.b.int(0), self.b.size(&size));
                self.looped(lo, hi, 1, summed, &mut |generator, e| generator.pair(e, summed))
            }
            Domain::Guarded => self.guarded_grid(summed),
            Domain::Grid => self.grid(summed),
            Domain::Plane => self.plane(summed),
            Domain::Pairs => self.pairs(summed),
            Domain::Once => {
                let mut pool = Pool::default();
                self.shared(&mut pool);
                self.contribution(&mut pool, Vec::new(), true)
            }
        };
        if let (Some(total), Some(value)) = (total, self.world.value) {
            let total = if self.config.global_sums && self.rng.chance(0.15) {
                self.b.op(Op::Tanh, &[total])
            } else {
                total
            };
            self.b.accum(value, &[], total);
        }
    }

    fn whole(&mut self, size: impl Fn(&super::World) -> &SizeExpr) -> (Value, Value, i64) {
        let step = if self.rng.chance(0.15) { self.rng.int(2, 3) } else { 1 };
        let size = size(&self.world).clone();
        (self.b.int(0), self.b.size(&size), step)
    }

    /// A loop that sums what `body` gives, or runs for its effects.
    pub(super) fn looped(
        &mut self,
        lo: Value,
        hi: Value,
        step: i64,
        summed: bool,
        body: &mut dyn FnMut(&mut Self, Value) -> Option<Value>,
    ) -> Option<Value> {
        let carries: &[Carry] = if summed { &[Carry::Sum] } else { &[] };
        let (iv, _) = self.b.begin_loop(lo, hi, step, carries);
        let given = body(self, iv);
        if !summed {
            self.b.end_loop(&[]);
            return None;
        }
        let yielded = match given {
            Some(value) => value,
            None => self.b.f64(0.0),
        };
        self.b.end_loop(&[yielded]).first().copied()
    }

    /// An expression over the pool: given back where it is summed, else added to a sink, perhaps under a condition.
    pub(super) fn contribution(&mut self, pool: &mut Pool, sinks: Sinks, summed: bool) -> Option<Value> {
        self.check_pool(pool);
        let value = self.meeting(pool);
        let mut sinks = sinks;
        if let Some(energy) = self.world.value {
            if summed {
                return Some(value);
            }
            sinks = vec![(energy, Vec::new())];
        }
        if sinks.is_empty() {
            return Some(value);
        }
        for _ in 0..self.rng.int(1, 2) {
            let (buffer, index) = sinks[self.rng.below(sinks.len())].clone();
            let value = if self.rng.chance(0.7) { value } else { self.expr(pool, 2) };
            if self.config.branches && self.rng.chance(0.15) {
                let cond = self.condition(pool);
                self.b.begin_if(cond);
                self.b.accum(buffer, &index, value);
                self.b.begin_else(&[]);
                self.b.end_if(&[]);
            } else {
                self.b.accum(buffer, &index, value);
            }
        }
        None
    }

    // ---- what can be read at a place ----------------------------------------------------------------------------

    pub(super) fn load(&mut self, buffer: Buffer, index: &[Value], range: Range) -> Value {
        let value = self.b.load(buffer, index);
        self.note(value, range)
    }

    /// The shared unknown and parameter.
    pub(super) fn shared(&mut self, pool: &mut Pool) {
        let k = self.load(self.world.k, &[], DATA_RANGE);
        pool.floats.push(k);
        if let Some(c) = self.world.c {
            let c = self.load(c, &[], VAR_RANGE);
            pool.floats.push(c);
        }
    }

    fn vertex_subscripts(&mut self, v: Value) -> Vec<Value> {
        match self.world.dim {
            None => vec![v],
            Some(dim) => {
                let component = self.rng.int(0, dim - 1);
                vec![v, self.b.int(component)]
            }
        }
    }

    /// Loads of what stands at a vertex: unknowns, stages, mass.
    fn vertex_values(&mut self, v: Value, pool: &mut Pool) {
        for _ in 0..self.rng.int(1, 2) {
            let index = self.vertex_subscripts(v);
            let x = self.load(self.world.x, &index, VAR_RANGE);
            pool.floats.push(x);
        }
        for stage in self.world.stages.clone() {
            if self.rng.chance(0.6) {
                let t = self.load(stage.buffer, &[v], stage.range);
                pool.floats.push(t);
            }
        }
        if let Some(mass) = self.world.mass
            && self.rng.chance(0.4)
        {
            let single = self.b.load(mass, &[v]);
            let wide = self.b.op(Op::Widen, &[single]);
            let wide = self.note(wide, Range::new(DATA_RANGE.lo - 1e-6, DATA_RANGE.hi + 1e-6));
            pool.floats.push(wide);
        }
    }

    fn at_element(&mut self, e: Value) -> (Pool, Sinks) {
        let mut pool = Pool::default();
        self.shared(&mut pool);
        let mut sinks = Vec::new();
        if let Some(buffer) = self.world.on_elements {
            let component = self.rng.int(0, 1);
            sinks.push((buffer, vec![e, self.b.int(component)]));
        }
        for column in 0..self.world.arity {
            let column = self.b.int(column);
            let v = self.b.load(self.world.elements, &[e, column]);
            pool.ints.push(v);
            self.vertex_values(v, &mut pool);
            sinks.extend(self.world.on_vertices.map(|buffer| (buffer, vec![v])));
        }
        let w = self.load(self.world.w, &[e], DATA_RANGE);
        let gap = self.load(self.world.gap, &[e], DATA_RANGE);
        pool.floats.extend([w, gap]);
        let on = self.b.load(self.world.on, &[e]);
        pool.bools.push(on);
        pool.ints.push(e);
        if self.rng.chance(0.3) {
            let weight = self.b.op(Op::BoolToFloat, &[on]);
            let weight = self.note(weight, Range::new(0.0, 1.0));
            pool.floats.push(weight);
        }
        if self.rng.chance(0.3) {
            let indicator = self.b.op(Op::Indicator, &[pool.ints[0], pool.ints[1]]);
            let indicator = self.note(indicator, Range::new(0.0, 1.0));
            pool.floats.push(indicator);
        }
        if let Some(y) = self.world.y
            && self.rng.chance(0.5)
        {
            let cell = self.b.load(self.world.cell, &[e]);
            pool.cells.push(cell);
            let here = self.load(y, &[cell], VAR_RANGE);
            pool.floats.push(here);
            sinks.extend(self.world.on_grid.map(|buffer| (buffer, vec![cell])));
        }
        (pool, sinks)
    }

    fn at_vertex(&mut self, v: Value) -> (Pool, Sinks) {
        let mut pool = Pool::default();
        self.shared(&mut pool);
        self.vertex_values(v, &mut pool);
        let level = self.b.load(self.world.level, &[v]);
        pool.ints.extend([v, level]);
        if self.rng.chance(0.3) {
            let depth = self.b.op(Op::IntToFloat, &[level]);
            let depth = self.note(depth, Range::new(-2.0, 3.0));
            pool.floats.push(depth);
        }
        if self.world.neighbors.is_some() && self.rng.chance(0.8) {
            self.ring(v, &mut pool);
        }
        if self.config.local_arrays && self.rng.chance(0.3) {
            self.local_array(&mut pool, Site::Vertex(v));
        }
        (pool, self.world.on_vertices.map(|buffer| (buffer, vec![v])).into_iter().collect())
    }

    /// A reduction over the neighbors of a vertex.
    fn ring(&mut self, v: Value, pool: &mut Pool) {
        let Some((ptr, nbr)) = self.world.neighbors else { return };
        let one = self.b.int(1);
        let next = self.b.op(Op::IntAdd, &[v, one]);
        let (lo, hi) = (self.b.load(ptr, &[v]), self.b.load(ptr, &[next]));
        let carry = match self.rng.below(5) {
            0 if self.config.reductions => Carry::Prod,
            1 if self.config.reductions && self.config.kinks => [Carry::Min, Carry::Max][self.rng.below(2)],
            _ => Carry::Sum,
        };
        let several = carry == Carry::Sum && self.rng.chance(0.4);
        let carries = if several { vec![carry, Carry::Sum] } else { vec![carry] };
        let (p, _) = self.b.begin_loop(lo, hi, 1, &carries);
        let q = self.b.load(nbr, &[p]);
        let mut inner = pool.clone();
        inner.ints.push(q);
        self.vertex_values(q, &mut inner);
        let term = self.expr(&mut inner, 3);
        let mut yields = vec![term];
        if several {
            yields.push(self.expr(&mut inner, 2));
        }
        let each: Vec<Range> = yields.iter().map(|&value| self.range(value)).collect();
        let results = self.b.end_loop(&yields);
        for ((result, each), carry) in results.into_iter().zip(each).zip(carries) {
            let value = self.reduced(carry, result, each);
            pool.floats.push(value);
        }
    }

    // ---- elements with many unknowns ------------------------------------------------------------------------------

    /// What one element adds: perhaps at every point of a quadrature.
    fn wide(&mut self, e: Value, summed: bool) -> Option<Value> {
        if self.rng.chance(0.5) {
            let (zero, points) = (self.b.int(0), self.b.int(super::world::POINTS));
            return self.looped(zero, points, 1, summed, &mut |generator, q| {
                let (mut pool, sinks) = generator.at_nodes(e, q);
                generator.contribution(&mut pool, sinks, summed)
            });
        }
        let q = self.b.int(0);
        let (mut pool, sinks) = self.at_nodes(e, q);
        self.contribution(&mut pool, sinks, summed)
    }

    /// Sums over the nodes of an element, the second one perhaps of what the first one gave.
    fn at_nodes(&mut self, e: Value, q: Value) -> (Pool, Sinks) {
        let mut pool = Pool::default();
        self.shared(&mut pool);
        let on = self.b.load(self.world.on, &[e]);
        pool.bools.push(on);
        let w = self.load(self.world.w, &[e], DATA_RANGE);
        pool.floats.push(w);
        let Some((nodes_of, count, slopes)) = self.world.wide else { return (pool, Vec::new()) };
        for _ in 0..self.rng.int(1, 2) {
            let (zero, count) = (self.b.int(0), self.b.int(count));
            let several = self.rng.chance(0.4);
            let carries = if several { vec![Carry::Sum; 2] } else { vec![Carry::Sum] };
            let (a, _) = self.b.begin_loop(zero, count, 1, &carries);
            let node = self.b.load(nodes_of, &[e, a]);
            let mut inner = pool.clone();
            inner.ints.push(node);
            let slope = self.load(slopes, &[e, q, a], DATA_RANGE);
            inner.floats.push(slope);
            self.vertex_values(node, &mut inner);
            let mut yields = vec![self.expr(&mut inner, 3)];
            if several {
                yields.push(self.expr(&mut inner, 2));
            }
            let each: Vec<Range> = yields.iter().map(|&value| self.range(value)).collect();
            let results = self.b.end_loop(&yields);
            for (result, each) in results.into_iter().zip(each) {
                let length = super::world::POINTS as f64 + 1.0;
                let value =
                    self.note(result, Range::new((each.lo * length).min(0.0), (each.hi * length).max(0.0)));
                let value = self.tame(value);
                pool.floats.push(value);
            }
        }
        (pool, Vec::new())
    }

    // ---- grids --------------------------------------------------------------------------------------------------

    /// `i + offset`, wrapped around.
    fn wrapped(&mut self, i: Value, offset: i64) -> Value {
        let (n, offset) = (self.b.size(&self.world.n), self.b.int(offset));
        let moved = self.b.op(Op::IntAdd, &[i, offset]);
        self.b.op(Op::IntMod, &[moved, n])
    }

    /// A one-dimensional stencil: wrapped, in the interior, or mirrored.
    fn grid(&mut self, summed: bool) -> Option<Value> {
        let y = self.world.y?;
        let n = self.world.n.clone();
        let style = self.rng.below(3);
        let margin = if style == 1 { self.rng.int(1, 2) } else { 0 };
        let last = n.checked_sub(&SizeExpr::constant(margin)).expect("small numbers do not overflow");
        let (lo, hi) = (self.b.int(margin), self.b.size(&last));
        let step = if self.rng.chance(0.15) { 2 } else { 1 };
        self.looped(lo, hi, step, summed, &mut |generator, i| {
            let mut pool = Pool::default();
            generator.shared(&mut pool);
            pool.ints.push(i);
            pool.cells.push(i);
            let mut sinks: Sinks = Vec::new();
            for _ in 0..generator.rng.int(2, 3) {
                let at = match style {
                    0 => {
                        let offset = generator.rng.int(-2, 2);
                        generator.wrapped(i, offset)
                    }
                    1 => {
                        let offset = generator.rng.int(-margin, margin);
                        let offset = generator.b.int(offset);
                        generator.b.op(Op::IntAdd, &[i, offset])
                    }
                    _ if generator.rng.chance(0.5) => i,
                    _ => {
                        let end =
                            n.checked_sub(&SizeExpr::constant(1)).expect("small numbers do not overflow");
                        let end = generator.b.size(&end);
                        generator.b.op(Op::IntSub, &[end, i])
                    }
                };
                let value = generator.load(y, &[at], VAR_RANGE);
                pool.floats.push(value);
                sinks.extend(generator.world.on_grid.map(|buffer| (buffer, vec![at])));
            }
            if let Some(buffer) = generator.world.on_grid {
                let one = generator.b.int(1);
                sinks.push((buffer, vec![generator.b.op(Op::IntAdd, &[i, one])]));
            }
            if generator.config.local_arrays && generator.rng.chance(0.3) {
                generator.local_array(&mut pool, Site::Cell(i));
            }
            generator.contribution(&mut pool, sinks, summed)
        })
    }

    /// A two-dimensional stencil with wrapped neighbors.
    fn plane(&mut self, summed: bool) -> Option<Value> {
        let z = self.world.z?;
        let (zero, n) = (self.b.int(0), self.b.size(&self.world.n));
        self.looped(zero, n, 1, summed, &mut |generator, i| {
            generator.looped(zero, n, 1, summed, &mut |generator, j| {
                let mut pool = Pool::default();
                generator.shared(&mut pool);
                pool.ints.extend([i, j]);
                pool.cells.extend([i, j]);
                for _ in 0..generator.rng.int(2, 3) {
                    let (di, dj) = (generator.rng.int(-1, 1), generator.rng.int(-1, 1));
                    let index = [generator.wrapped(i, di), generator.wrapped(j, dj)];
                    let value = generator.load(z, &index, VAR_RANGE);
                    pool.floats.push(value);
                }
                if let Some(y) = generator.world.y {
                    let value = generator.load(y, &[j], VAR_RANGE);
                    pool.floats.push(value);
                }
                let sinks = generator.world.on_grid.map(|buffer| (buffer, vec![i]));
                generator.contribution(&mut pool, sinks.into_iter().collect(), summed)
            })
        })
    }

    /// All pairs `j < i`, or `j <= i`.
    fn pairs(&mut self, summed: bool) -> Option<Value> {
        let y = self.world.y?;
        let (zero, n) = (self.b.int(0), self.b.size(&self.world.n));
        let inclusive = self.rng.int(0, 1);
        self.looped(zero, n, 1, summed, &mut |generator, i| {
            let inclusive = generator.b.int(inclusive);
            let end = generator.b.op(Op::IntAdd, &[i, inclusive]);
            generator.looped(zero, end, 1, summed, &mut |generator, j| {
                let mut pool = Pool::default();
                generator.shared(&mut pool);
                pool.ints.extend([i, j]);
                pool.cells.extend([i, j]);
                for at in [i, j] {
                    let value = generator.load(y, &[at], VAR_RANGE);
                    pool.floats.push(value);
                }
                let sinks = generator.world.on_grid.map(|buffer| (buffer, vec![j]));
                generator.contribution(&mut pool, sinks.into_iter().collect(), summed)
            })
        })
    }
}
