//! Conditions beside and inside conditions, loads that a condition keeps in range, and maps over the grid that later loops read
//! shifted, mirrored, clamped and through tables: what passes that know conditions, or inline maps, must not mix up.

use super::Generator;
use super::expr::Pool;
use super::world::{Declare, Stage};
use crate::inputs::{LARGEST_SIZE, VAR_RANGE};
use crate::range::{Range, binary};
use spadina_ir::func::{Buffer, Carry, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;

/// A subscript, with the condition under which it is in range where it may not be.
#[derive(Clone, Copy)]
struct Place {
    at: Value,
    inside: Option<Value>,
}

impl Generator<'_> {
    // ---- subscripts -----------------------------------------------------------------------------------------------

    fn int_op(&mut self, op: Op, a: Value, b: i64) -> Value {
        let b = self.b.int(b);
        self.b.op(op, &[a, b])
    }

    fn both(&mut self, a: Option<Value>, b: Option<Value>) -> Option<Value> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.b.op(Op::And, &[a, b])),
            (a, b) => a.or(b),
        }
    }

    /// `0 <= at < n`, one side of it where the other is known.
    fn inside(&mut self, at: Value, n: Value, below: bool, above: bool) -> Option<Value> {
        let zero = self.b.int(0);
        let low = below.then(|| self.b.op(Op::IntLe, &[zero, at]));
        let high = above.then(|| self.b.op(Op::IntLt, &[at, n]));
        self.both(low, high)
    }

    /// `min(max(at, 0), n - 1)`
    fn clamped(&mut self, at: Value, n: Value) -> Value {
        let low = self.int_op(Op::IntMax, at, 0);
        let last = self.int_op(Op::IntSub, n, 1);
        self.b.op(Op::IntMin, &[low, last])
    }

    /// A cell of a grid of `n` that has to do with cell `i`.
    fn near(&mut self, pool: &Pool, i: Value, n: Value) -> Place {
        let offset = self.rng.int(-2, 2);
        match self.rng.below(9) {
            0 => Place { at: i, inside: None },
            1 | 2 => {
                let at = self.int_op(Op::IntAdd, i, offset);
                Place { at, inside: self.inside(at, n, offset < 0, offset > 0) }
            }
            3 => {
                let moved = self.int_op(Op::IntAdd, i, offset);
                Place { at: self.b.op(Op::IntMod, &[moved, n]), inside: None }
            }
            4 => {
                let moved = self.int_op(Op::IntAdd, i, offset);
                Place { at: self.clamped(moved, n), inside: None }
            }
            5 => {
                let last = self.int_op(Op::IntSub, n, 1 - offset);
                let at = self.b.op(Op::IntSub, &[last, i]);
                Place { at, inside: self.inside(at, n, offset < 0, offset > 0) }
            }
            6 if self.rng.chance(0.5) => Place { at: self.int_op(Op::IntDiv, i, 2), inside: None },
            6 => {
                let twice = self.int_op(Op::IntMul, i, 2);
                let at = self.int_op(Op::IntAdd, twice, offset);
                Place { at, inside: self.inside(at, n, true, true) }
            }
            _ => {
                let shift = self.integer(pool);
                let at = self.b.op(Op::IntAdd, &[i, shift]);
                if self.rng.chance(0.5) {
                    return Place { at: self.clamped(at, n), inside: None };
                }
                Place { at, inside: self.inside(at, n, true, true) }
            }
        }
    }

    /// A small whole number: data, a subscript, or a choice by a condition that is known.
    fn integer(&mut self, pool: &Pool) -> Value {
        let literal = self.rng.int(-1, 2);
        let start = self.rng.pick(&pool.ints).unwrap_or_else(|| self.b.int(literal));
        match self.rng.below(5) {
            2 => self.count(pool, start),
            0 => {
                let cond = self.known(pool, 0);
                let (a, b) = (self.rng.int(-2, 2), self.rng.int(-2, 2));
                self.b.begin_if(cond);
                let then = if self.rng.chance(0.5) { start } else { self.b.int(a) };
                self.b.begin_else(&[then]);
                let els = self.int_op(Op::IntAdd, start, b);
                self.b.end_if(&[els])[0]
            }
            1 => self.int_op(Op::IntMod, start, 3),
            _ => start,
        }
    }

    /// A whole number that a loop over cells, or a short one, adds up or finds.
    fn count(&mut self, pool: &Pool, start: Value) -> Value {
        let trips = self.rng.int(1, 3);
        let (lo, hi) = match self.rng.pick(&pool.cells) {
            Some(i) if self.rng.chance(0.5) => (self.b.int(0), i),
            _ => (self.b.int(0), self.b.int(trips)),
        };
        let carry = [Carry::Sum, Carry::State(start)][self.rng.below(2)];
        let (q, states) = self.b.begin_loop(lo, hi, 1, &[carry]);
        let before = states.first().copied().unwrap_or(q);
        let next = match self.rng.below(3) {
            0 => self.int_op(Op::IntAdd, before, 2),
            1 => self.int_op(Op::IntMod, before, 2),
            _ => self.b.op(Op::IntSub, &[q, before]),
        };
        let bounded = self.int_op(Op::IntMin, next, 4);
        self.b.end_loop(&[bounded])[0]
    }

    // ---- conditions -----------------------------------------------------------------------------------------------

    /// A condition that no unknown takes part in.
    fn known(&mut self, pool: &Pool, depth: usize) -> Value {
        if depth > 0 && self.rng.chance(0.4) {
            let (a, b) = (self.known(pool, depth - 1), self.known(pool, depth - 1));
            let op = [Op::And, Op::Or][self.rng.below(2)];
            return self.b.op(op, &[a, b]);
        }
        let int = if depth > 0 {
            self.integer(pool)
        } else {
            self.rng.pick(&pool.ints).unwrap_or_else(|| self.b.int(0))
        };
        let cond = match (self.rng.below(5), self.rng.pick(&pool.bools)) {
            (0, Some(on)) => on,
            (1, _) => {
                let parity = self.int_op(Op::IntMod, int, 2);
                self.int_op(Op::IntEq, parity, 0)
            }
            (2, _) => {
                let other = self.rng.pick(&pool.ints).unwrap_or(int);
                self.b.op(Op::IntLe, &[other, int])
            }
            _ => {
                let bound = self.rng.int(-1, 3);
                let op = [Op::IntLt, Op::IntLe, Op::IntEq, Op::IntNe][self.rng.below(4)];
                self.int_op(op, int, bound)
            }
        };
        if self.rng.chance(0.2) { self.b.op(Op::Not, &[cond]) } else { cond }
    }

    /// Known, on values, or both.
    fn mixed(&mut self, pool: &Pool) -> Value {
        match self.rng.below(4) {
            0 => self.condition_on_floats(pool),
            1 => {
                let (a, b) = (self.known(pool, 1), self.condition_on_floats(pool));
                let (a, b) = if self.rng.chance(0.5) { (a, b) } else { (b, a) };
                let op = [Op::And, Op::Or][self.rng.below(2)];
                self.b.op(op, &[a, b])
            }
            _ => self.known(pool, 1),
        }
    }

    // ---- values ---------------------------------------------------------------------------------------------------

    /// What stands at a place of an array, or a number where it is out of range.
    fn at_place(&mut self, buffer: Buffer, index: &[Value], inside: Option<Value>, range: Range) -> Value {
        let Some(inside) = inside else { return self.load(buffer, index, range) };
        self.b.begin_if(inside);
        let value = self.b.load(buffer, index);
        self.b.begin_else(&[value]);
        let other = self.rng.int(-1, 1) as f64 * 0.5;
        let other_value = self.b.f64(other);
        let result = self.b.end_if(&[other_value])[0];
        self.note(result, range.union(Range::point(other)))
    }

    /// An unknown or an intermediate value near a cell.
    fn cell_value(&mut self, pool: &Pool, i: Value) -> Value {
        let n = self.b.size(&self.world.n);
        let place = self.near(pool, i, n);
        let stages = self.world.on_cells.clone();
        if let Some(stage) = self.rng.pick(&stages)
            && self.rng.chance(0.6)
        {
            return self.at_place(stage.buffer, &[place.at], place.inside, stage.range);
        }
        if let Some(z) = self.world.z
            && self.rng.chance(0.3)
        {
            let other = self.near(pool, i, n);
            let inside = self.both(place.inside, other.inside);
            return self.at_place(z, &[place.at, other.at], inside, VAR_RANGE);
        }
        match self.world.y {
            Some(y) => self.at_place(y, &[place.at], place.inside, VAR_RANGE),
            None => self.b.f64(0.5),
        }
    }

    /// Conditions around, beside and inside each other, with loads that they keep in range.
    pub(super) fn guarded(&mut self, pool: &Pool, depth: usize) -> Value {
        let leaf = |generator: &mut Self| match generator.rng.pick(&pool.cells) {
            Some(i) if generator.rng.chance(0.7) => generator.cell_value(pool, i),
            _ => generator.pick_float(pool),
        };
        if depth == 0 {
            return leaf(self);
        }
        match self.rng.below(5) {
            0 => leaf(self),
            1 | 2 => {
                let (a, b) = (self.guarded(pool, depth - 1), self.guarded(pool, depth - 1));
                let op = [Op::Add, Op::Sub, Op::Mul][self.rng.below(3)];
                match binary(op, self.range(a), self.range(b)) {
                    Some(range) => {
                        let value = self.b.op(op, &[a, b]);
                        self.note(value, range)
                    }
                    None => a,
                }
            }
            _ => {
                let cond = self.mixed(pool);
                self.b.begin_if(cond);
                let then = self.guarded(pool, depth - 1);
                let then_range = self.range(then);
                self.b.begin_else(&[then]);
                let els = self.guarded(pool, depth - 1);
                let range = then_range.union(self.range(els));
                let result = self.b.end_if(&[els])[0];
                self.note(result, range)
            }
        }
    }

    /// How deep expressions are: mostly not, for small programs are checked sooner and meet the same passes.
    fn depth(&mut self) -> usize {
        [1, 2, 2, 2, 3][self.rng.below(5)]
    }

    /// A sum over a window around a cell: clamped at the ends, or with a condition on each offset.
    fn window(&mut self, pool: &Pool, i: Value) -> Value {
        let n = self.b.size(&self.world.n);
        let conditional = self.rng.chance(0.5);
        let (lo, hi) = if conditional {
            (self.b.int(-1), self.b.int(2))
        } else {
            let (before, after) = (self.int_op(Op::IntSub, i, 1), self.int_op(Op::IntAdd, i, 2));
            (self.int_op(Op::IntMax, before, 0), self.b.op(Op::IntMin, &[after, n]))
        };
        let (q, _) = self.b.begin_loop(lo, hi, 1, &[Carry::Sum]);
        let mut inner = pool.clone();
        inner.ints.push(q);
        let term = if conditional {
            let at = self.b.op(Op::IntAdd, &[i, q]);
            let inside = self.inside(at, n, true, true);
            self.b.begin_if(inside.expect("both sides are asked for"));
            inner.cells.push(at);
            let term = self.guarded(&inner, 1);
            let range = self.range(term);
            self.b.begin_else(&[term]);
            let zero = self.b.f64(0.0);
            let term = self.b.end_if(&[zero])[0];
            self.note(term, range.union(Range::point(0.0)))
        } else {
            inner.cells.push(q);
            self.guarded(&inner, 1)
        };
        let each = self.range(term);
        let result = self.b.end_loop(&[term])[0];
        self.note(result, each.times(3.0));
        self.tame(result)
    }

    /// `fold q in 0..i with s = a { tanh(c * s + y[q]) }`: a recurrence whose length is another in each cell.
    fn chain(&mut self, pool: &Pool, i: Value) -> Value {
        let init = self.pick_float(pool);
        let init = self.tame(init);
        let zero = self.b.int(0);
        let (q, states) = self.b.begin_loop(zero, i, 1, &[Carry::State(init)]);
        let half = self.b.f64(0.5);
        let scaled = self.b.mul(half, states[0]);
        let mut inner = pool.clone();
        inner.cells.push(q);
        let other = self.cell_value(&inner, q);
        let sum = self.b.add(scaled, other);
        let next = self.b.op(Op::Tanh, &[sum]);
        let result = self.b.end_loop(&[next])[0];
        let range = self.range(init).union(Range::new(-1.0, 1.0));
        self.note(result, range)
    }

    // ---- loops ----------------------------------------------------------------------------------------------------

    /// What is at hand in cell `i` of the grid.
    fn in_cell(&mut self, i: Value) -> Pool {
        let mut pool = Pool::default();
        self.shared(&mut pool);
        pool.ints.push(i);
        pool.cells.push(i);
        let levels = self.world.v.clone();
        let at = self.b.size(&levels);
        // A number from an array of other length, where it has one for this cell.
        let cond = self.b.op(Op::IntLt, &[i, at]);
        self.b.begin_if(cond);
        let level = self.b.load(self.world.level, &[i]);
        self.b.begin_else(&[level]);
        let one = self.b.int(1);
        let level = self.b.end_if(&[one])[0];
        pool.ints.push(level);
        for _ in 0..2 {
            let value = self.cell_value(&pool, i);
            pool.floats.push(value);
        }
        if self.rng.chance(0.3) {
            let value = self.window(&pool, i);
            pool.floats.push(value);
        }
        if self.rng.chance(0.15) {
            let value = self.chain(&pool, i);
            pool.floats.push(value);
        }
        pool
    }

    /// An intermediate array over the grid: each cell adds where it stands, mirrored, or beside it where that is inside.
    pub(super) fn cell_stage(&mut self) {
        let n = self.world.n.clone();
        let buffer = Declare { b: &mut self.b }.float("cells", Role::Scratch, vec![n.clone()]);
        let (lo, hi) = (self.b.int(0), self.b.size(&n));
        let (i, _) = self.b.begin_loop(lo, hi, 1, &[]);
        let pool = self.in_cell(i);
        let depth = self.depth();
        let value = self.guarded(&pool, depth);
        let value = self.tame(value);
        let mut most = 1.0;
        match self.rng.below(5) {
            0 => {
                let last = self.int_op(Op::IntSub, hi, 1);
                let mirrored = self.b.op(Op::IntSub, &[last, i]);
                self.b.accum(buffer, &[mirrored], value);
            }
            1 => {
                let place = self.near(&pool, i, hi);
                self.add_at(buffer, place, value);
                self.b.accum(buffer, &[i], value);
                most = LARGEST_SIZE as f64 + 1.0;
            }
            _ => self.b.accum(buffer, &[i], value),
        }
        self.b.end_loop(&[]);
        let range = self.range(value).times(most);
        self.world.on_cells.push(Stage { buffer, range });
    }

    fn add_at(&mut self, buffer: Buffer, place: Place, value: Value) {
        match place.inside {
            None => self.b.accum(buffer, &[place.at], value),
            Some(inside) => {
                self.b.begin_if(inside);
                self.b.accum(buffer, &[place.at], value);
                self.b.begin_else(&[]);
                self.b.end_if(&[]);
            }
        }
    }

    /// A loop over the grid, perhaps with a filter, whose cells add to several places.
    pub(super) fn guarded_grid(&mut self, summed: bool) -> Option<Value> {
        let n = self.world.n.clone();
        let margin = if self.rng.chance(0.3) { self.rng.int(0, 2) } else { 0 };
        let last = n.checked_sub(&SizeExpr::constant(margin)).expect("small numbers do not overflow");
        let (lo, hi) = (self.b.int(margin), self.b.size(&last));
        let step = if self.rng.chance(0.15) { 2 } else { 1 };
        self.looped(lo, hi, step, summed, &mut |generator, i| {
            let filtered = generator.rng.chance(0.3);
            if filtered {
                let pool = Pool { ints: vec![i], cells: vec![i], ..Pool::default() };
                let filter = generator.known(&pool, 1);
                generator.b.begin_if(filter);
            }
            let pool = generator.in_cell(i);
            let depth = generator.depth();
            let value = generator.guarded(&pool, depth);
            let value = generator.tame(value);
            if !summed {
                generator.add_near(&pool, i, value);
            }
            if !filtered {
                return Some(value);
            }
            if summed {
                generator.b.begin_else(&[value]);
                let zero = generator.b.f64(0.0);
                return Some(generator.b.end_if(&[zero])[0]);
            }
            generator.b.begin_else(&[]);
            generator.b.end_if(&[]);
            None
        })
    }

    /// Adds to the energy, or to rows around cell `i`.
    fn add_near(&mut self, pool: &Pool, i: Value, value: Value) {
        if let Some(energy) = self.world.value {
            return self.b.accum(energy, &[], value);
        }
        let Some(rows) = self.world.on_grid else { return };
        let n = self.b.size(&self.world.n);
        for _ in 0..self.rng.int(1, 3) {
            let place = self.near(pool, i, n);
            let value = if self.rng.chance(0.6) { value } else { self.guarded(pool, 2) };
            self.add_at(rows, place, value);
        }
    }
}
