//! Elements of two vertices that play the same part: what they read comes from both alike.

use super::Generator;
use super::expr::Pool;
use crate::inputs::{DATA_RANGE, VAR_RANGE};
use crate::range::{Range, binary, unary};
use spadina_ir::func::Value;
use spadina_ir::op::Op;

impl Generator<'_> {
    /// What a pair gives: mostly a few cheap operations on squares.
    pub(super) fn pair(&mut self, e: Value, summed: bool) -> Option<Value> {
        let mut pool = self.at_ends(e);
        if self.rng.chance(0.2) {
            return self.contribution(&mut pool, Vec::new(), summed);
        }
        let square = pool.floats.last().copied()?;
        let square = self.scaled(square);
        let mut value = square;
        for _ in 0..self.rng.int(1, 2) {
            let other = self.pick_float(&pool);
            value = match self.rng.below(6) {
                0 => self.two(Op::Mul, [value, other]),
                1 => self.two(Op::Sub, [value, other]),
                2 => {
                    let one = self.b.f64(1.0);
                    let positive = self.two(Op::Mul, [value, value]);
                    let positive = self.two(Op::Add, [positive, one]);
                    let root = self.b.op(Op::Sqrt, &[positive]);
                    let largest = self.range(positive).magnitude().sqrt();
                    self.note(root, Range::new(1.0, largest.max(1.0)))
                }
                3 => self.two(Op::Add, [value, other]),
                4 if self.config.branches => {
                    let on = pool.bools[0];
                    let chosen = self.b.select(on, value, square);
                    let range = self.range(value).union(self.range(square));
                    self.note(chosen, range)
                }
                _ => self.two(Op::Mul, [value, value]),
            };
        }
        let value = self.scaled(value);
        let value = self.two(Op::Mul, [value, value]);
        match self.world.value {
            Some(energy) if !summed => {
                self.b.accum(energy, &[], value);
                None
            }
            _ => Some(value),
        }
    }

    /// A value divided by a power of two, so that it is moderate.
    fn scaled(&mut self, value: Value) -> Value {
        let mut factor = 1.0;
        while self.range(value).magnitude() * factor > 4.0 && factor > 1e-6 {
            factor *= 0.5;
        }
        let factor = self.b.f64(factor);
        self.two(Op::Mul, [value, factor])
    }

    /// Values that do not change when both ends of an element trade places; now and then one that does.
    fn at_ends(&mut self, e: Value) -> Pool {
        let mut pool = Pool::default();
        self.shared(&mut pool);
        let columns = if self.rng.chance(0.5) { [0, 1] } else { [1, 0] };
        let ends = columns.map(|column| {
            let column = self.b.int(column);
            self.b.load(self.world.elements, &[e, column])
        });
        let mut differences = Vec::new();
        for component in 0..self.world.dim.unwrap_or(1) {
            let at = ends.map(|end| match self.world.dim {
                Some(_) => {
                    let component = self.b.int(component);
                    self.load(self.world.x, &[end, component], VAR_RANGE)
                }
                None => self.load(self.world.x, &[end], VAR_RANGE),
            });
            differences.push(self.two(Op::Sub, at));
            let both = if self.rng.chance(0.5) { Op::Mul } else { Op::Add };
            pool.floats.extend((self.rng.chance(0.4)).then(|| self.two(both, at)));
            // The ends need not play the same part.
            pool.floats.extend(self.rng.chance(0.05).then_some(at[0]));
        }
        let mut total: Option<Value> = None;
        for &difference in &differences {
            let other = differences[self.rng.below(differences.len())];
            let square = self.two(Op::Mul, [difference, difference]);
            pool.floats.extend(self.rng.chance(0.3).then(|| self.two(Op::Mul, [difference, other])));
            if self.config.kinks && self.rng.chance(0.3) {
                let size = self.b.op(Op::Abs, &[difference]);
                let range = unary(Op::Abs, self.range(difference)).unwrap_or(Range::new(0.0, 3.0));
                let size = self.note(size, range);
                pool.floats.push(size);
            }
            total = Some(total.map_or(square, |total| self.two(Op::Add, [total, square])));
        }
        pool.floats.extend(total);
        let (w, gap) =
            (self.load(self.world.w, &[e], DATA_RANGE), self.load(self.world.gap, &[e], DATA_RANGE));
        pool.floats.extend([w, gap]);
        let on = self.b.load(self.world.on, &[e]);
        pool.bools.push(on);
        pool.ints.push(e);
        if let Some(mass) = self.world.mass {
            let masses = ends.map(|end| {
                let single = self.b.load(mass, &[end]);
                let wide = self.b.op(Op::Widen, &[single]);
                self.note(wide, Range::new(DATA_RANGE.lo - 1e-6, DATA_RANGE.hi + 1e-6))
            });
            let both = self.two(Op::Add, masses);
            pool.floats.push(both);
        }
        // Squares are what most pairs are about.
        pool.floats.extend(total);
        pool
    }

    /// A sum, difference or product.
    fn two(&mut self, op: Op, values: [Value; 2]) -> Value {
        let [a, b] = values.map(|value| self.range(value));
        // Large values are allowed here, but what is told of them is true: domains of functions depend on it.
        let bound = if op == Op::Mul { a.magnitude() * b.magnitude() } else { a.magnitude() + b.magnitude() };
        let value = self.b.op(op, &values);
        self.note(value, binary(op, a, b).unwrap_or(Range::new(-bound, bound)))
    }
}
