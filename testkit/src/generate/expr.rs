//! Random expressions over a pool of values.

use super::Generator;
use crate::range::{Range, binary, unary};
use spadina_ir::func::{Carry, InstData, Role, Value};
use spadina_ir::op::{Op, Signature, Smoothness};
use spadina_ir::types::Ty;

/// What an iteration can use.
#[derive(Clone, Default)]
pub(super) struct Pool {
    pub(super) floats: Vec<Value>,
    pub(super) ints: Vec<Value>,
    pub(super) bools: Vec<Value>,
    /// Those of the integers that are cells of the grid.
    pub(super) cells: Vec<Value>,
}

/// An interval on which an operation is smooth.
fn unary_home(op: Op) -> Range {
    match op {
        Op::Tan | Op::Asin | Op::Acos | Op::Atanh => Range::new(-0.8, 0.8),
        Op::Acosh => Range::new(1.3, 4.0),
        _ => Range::new(0.3, 2.0),
    }
}

/// How often a generator tries another operation before it gives up.
const TRIES: usize = 12;

impl Generator<'_> {
    /// A float that depends on the pool; grows the pool.
    pub(super) fn expr(&mut self, pool: &mut Pool, ops: usize) -> Value {
        let mut last = self.pick_float(pool);
        for _ in 0..=self.rng.below(ops) {
            last = match self.rng.below(14) {
                _ if self.config.given && self.rng.chance(0.3) => self.given(pool, last),
                0 if self.config.branches => self.branch(pool),
                1 if self.config.branches => self.choice(pool),
                2 if self.config.states => self.recurrence(pool),
                3 => self.literal_sum(pool),
                4..=7 => self.smooth_unary(pool, last),
                _ => self.combine(pool, last),
            };
            pool.floats.push(last);
        }
        self.tame(last)
    }

    pub(super) fn pick_float(&mut self, pool: &Pool) -> Value {
        // Half the time something recent, so that programs are deep and little is left unused.
        let recent = pool.floats.len().saturating_sub(4);
        let from = if self.rng.chance(0.5) { recent } else { 0 };
        match self.rng.pick(&pool.floats[from..]) {
            Some(value) if !self.rng.chance(0.1) => value,
            _ => {
                let x = (self.rng.float(0.25, 2.0) * 64.0).round() / 64.0;
                self.b.f64(x)
            }
        }
    }

    fn allowed(&self, op: Op, arity: usize) -> bool {
        const UNSEEN: &[Op] = &[Op::StopGradient, Op::Hidden, Op::Attach, Op::ProjectClamp, Op::ProjectAbs];
        const KINKS: &[Op] = &[Op::Rem, Op::Abs, Op::Copysign, Op::Min, Op::Max];
        let kinked = op.smoothness() == Smoothness::Flat || KINKS.contains(&op);
        let takes = op.signature() == Signature::Float && op.arity() == arity;
        // Differences see neither `stop_gradient` nor projections, so nothing could be compared.
        takes && !UNSEEN.contains(&op) && (self.config.kinks || !kinked)
    }

    /// One of the operations; where nothing would be left of the derivative, the choice is made once more.
    fn pick_op(&mut self, candidates: &[Op]) -> Op {
        let op = self.rng.pick(candidates).unwrap_or(Op::Sin);
        if op.smoothness() == Smoothness::Flat { self.rng.pick(candidates).unwrap_or(op) } else { op }
    }

    /// An expression in which two expressions meet: what a term adds to the outputs.
    pub(super) fn meeting(&mut self, pool: &mut Pool) -> Value {
        let is_unknown = |value: &Value| match self.b.func().def(*value) {
            Some(InstData::Load(buffer, _)) => {
                let role = self.b.func().buffers[*buffer].role;
                matches!(role, Role::Var | Role::Scratch)
            }
            _ => false,
        };
        let unknowns: Vec<Value> = pool.floats.iter().copied().filter(is_unknown).collect();
        let first = self.expr(pool, self.config.ops);
        let other = match self.rng.pick(&unknowns) {
            Some(value) if self.rng.chance(0.6) => value,
            _ => self.expr(pool, 2),
        };
        let op = [Op::Mul, Op::Mul, Op::Add, Op::Sub][self.rng.below(4)];
        match binary(op, self.range(first), self.range(other)) {
            Some(range) => {
                let value = self.b.op(op, &[first, other]);
                self.note(value, range);
                self.tame(value)
            }
            None => first,
        }
    }

    fn smooth_unary(&mut self, pool: &Pool, last: Value) -> Value {
        let candidates: Vec<Op> = Op::ALL.iter().copied().filter(|&op| self.allowed(op, 1)).collect();
        for _ in 0..TRIES {
            let a = if self.rng.chance(0.7) { last } else { self.pick_float(pool) };
            let op = self.pick_op(&candidates);
            let a = if unary(op, self.range(a)).is_none() { self.fit(a, unary_home(op)) } else { a };
            if let Some(range) = unary(op, self.range(a)) {
                let value = self.b.op(op, &[a]);
                return self.note(value, range);
            }
        }
        last
    }

    /// A value through which no derivative passes, with the partials that it has.
    fn given(&mut self, pool: &Pool, a: Value) -> Value {
        let b = self.pick_float(pool);
        match (self.rng.below(3), binary(Op::Mul, self.range(a), self.range(b))) {
            (0, Some(range)) => {
                let (hidden_a, hidden_b) = (self.b.op(Op::Hidden, &[a]), self.b.op(Op::Hidden, &[b]));
                let product = self.b.mul(hidden_a, hidden_b);
                let half = self.b.attach(product, a, b);
                let value = self.b.attach(half, b, a);
                self.note(value, range)
            }
            (1, _) => {
                let (hidden, slope) = (self.b.op(Op::Hidden, &[a]), self.b.op(Op::Cos, &[a]));
                let sine = self.b.op(Op::Sin, &[hidden]);
                let value = self.b.attach(sine, a, slope);
                self.note(value, Range::new(-1.0, 1.0))
            }
            _ => {
                // The partial in terms of the result, for three orders.
                let hidden = self.b.op(Op::Hidden, &[a]);
                let bare = self.b.op(Op::Tanh, &[hidden]);
                let (mut value, one) = (bare, self.b.f64(1.0));
                for _ in 0..3 {
                    let square = self.b.mul(value, value);
                    let slope = self.b.sub(one, square);
                    value = self.b.attach(bare, a, slope);
                }
                self.note(value, Range::new(-1.0, 1.0))
            }
        }
    }

    /// `scale * a + offset` inside `home`.
    fn fit(&mut self, a: Value, home: Range) -> Value {
        let range = self.range(a);
        let grid = |x: f64| (x * 64.0).floor() / 64.0;
        let scale = grid((home.hi - home.lo) / (range.hi - range.lo).max(1e-3)).min(2.0);
        if scale <= 0.0 {
            return a;
        }
        let offset = (f64::midpoint(home.lo, home.hi) - scale * f64::midpoint(range.lo, range.hi)) * 64.0;
        let offset = offset.round() / 64.0;
        let (factor, shift) = (self.b.f64(scale), self.b.f64(offset));
        let scaled = self.b.mul(factor, a);
        let scaled = self.note(scaled, Range::new(scale * range.lo - 1e-9, scale * range.hi + 1e-9));
        let moved = self.b.add(scaled, shift);
        self.note(moved, Range::new(scale * range.lo + offset - 1e-9, scale * range.hi + offset + 1e-9))
    }

    /// A two-argument operation of `last` and another value.
    fn combine(&mut self, pool: &Pool, last: Value) -> Value {
        let rare: Vec<Op> = Op::ALL.iter().copied().filter(|&op| self.allowed(op, 2)).collect();
        for _ in 0..TRIES {
            let other = self.pick_float(pool);
            let (a, b) = if self.rng.chance(0.5) { (last, other) } else { (other, last) };
            let op = match self.rng.below(8) {
                0 | 1 => Op::Add,
                2 | 3 => Op::Sub,
                4 | 5 => Op::Mul,
                _ => self.pick_op(&rare),
            };
            let picky = matches!(op, Op::Div | Op::Rem | Op::Atan2 | Op::Pow | Op::Hypot);
            let (a, b) = match binary(op, self.range(a), self.range(b)) {
                None if op == Op::Pow => {
                    (self.fit(a, Range::new(0.5, 2.0)), self.fit(b, Range::new(-2.0, 2.0)))
                }
                None if picky => (a, self.fit(b, Range::new(0.5, 2.0))),
                _ => (a, b),
            };
            if let Some(range) = binary(op, self.range(a), self.range(b)) {
                let value = self.b.op(op, &[a, b]);
                return self.note(value, range);
            }
        }
        self.tame(last)
    }

    /// A truth value: data, a comparison of indices, or one of floats.
    pub(super) fn condition(&mut self, pool: &Pool) -> Value {
        let (i, j) = (self.rng.pick(&pool.ints), self.rng.pick(&pool.ints));
        match (self.rng.below(6), self.rng.pick(&pool.bools), i, j) {
            (0, Some(on), ..) => on,
            (1, Some(on), ..) => self.b.op(Op::Not, &[on]),
            (2, _, Some(i), _) => {
                let (two, zero) = (self.b.int(2), self.b.int(0));
                let parity = self.b.op(Op::IntMod, &[i, two]);
                self.b.op(Op::IntEq, &[parity, zero])
            }
            (3, _, Some(i), Some(j)) => {
                let op = [Op::IntLt, Op::IntLe, Op::IntEq, Op::IntNe][self.rng.below(4)];
                self.b.op(op, &[i, j])
            }
            (4, _, Some(i), _) => {
                let (bound, near) = (self.b.int(2), self.condition_on_floats(pool));
                let low = self.b.op(Op::IntLt, &[i, bound]);
                let op = [Op::And, Op::Or][self.rng.below(2)];
                self.b.op(op, &[low, near])
            }
            _ => self.condition_on_floats(pool),
        }
    }

    pub(super) fn condition_on_floats(&mut self, pool: &Pool) -> Value {
        let a = self.pick_float(pool);
        let threshold = (self.rng.float(-0.5, 1.0) * 32.0).round() / 32.0;
        let threshold = self.b.f64(threshold);
        let op = [Op::FloatLt, Op::FloatLe][self.rng.below(2)];
        if self.rng.chance(0.5) { self.b.op(op, &[threshold, a]) } else { self.b.op(op, &[a, threshold]) }
    }

    /// An `if` whose branches compute; sometimes one that keeps a logarithm from arguments it must not see.
    fn branch(&mut self, pool: &Pool) -> Value {
        if self.config.guards && self.rng.chance(0.7) {
            return self.guarded(pool, 2);
        }
        if self.rng.chance(0.3) {
            return self.guarded_log(pool);
        }
        let cond = self.condition(pool);
        self.b.begin_if(cond);
        let then = self.branch_value(pool);
        let then_range = self.range(then);
        self.b.begin_else(&[then]);
        let els = self.branch_value(pool);
        let range = then_range.union(self.range(els));
        let result = self.b.end_if(&[els])[0];
        self.note(result, range)
    }

    fn branch_value(&mut self, pool: &Pool) -> Value {
        let start = self.pick_float(pool);
        let mut last = start;
        for _ in 0..self.rng.below(3) {
            last =
                if self.rng.chance(0.5) { self.smooth_unary(pool, last) } else { self.combine(pool, last) };
        }
        last
    }

    /// `if 0.25 < a { log(a) } else { c * a }`
    fn guarded_log(&mut self, pool: &Pool) -> Value {
        let a = self.pick_float(pool);
        let range = self.range(a);
        let edge = self.b.f64(0.25);
        let safe = self.b.op(Op::FloatLt, &[edge, a]);
        self.b.begin_if(safe);
        let log = self.b.op(Op::Log, &[a]);
        self.b.begin_else(&[log]);
        let half = self.b.f64(0.5);
        let scaled = self.b.mul(half, a);
        let result = self.b.end_if(&[scaled])[0];
        let logs = Range::new(0.25_f64.ln(), range.hi.max(0.25).ln());
        self.note(result, logs.union(Range::new(0.5 * range.lo, 0.5 * range.hi)))
    }

    fn choice(&mut self, pool: &Pool) -> Value {
        let cond = self.condition(pool);
        let (a, b) = (self.pick_float(pool), self.pick_float(pool));
        let range = self.range(a).union(self.range(b));
        let value = self.b.select(cond, a, b);
        self.note(value, range)
    }

    /// `fold q in 0..K with s = a { tanh(c * s + b) }`
    fn recurrence(&mut self, pool: &Pool) -> Value {
        let (init, other) = (self.pick_float(pool), self.pick_float(pool));
        let (init, other) = (self.tame(init), self.tame(other));
        let trips = self.rng.int(1, 3);
        let (lo, hi) = (self.b.int(0), self.b.int(trips));
        let (q, states) = self.b.begin_loop(lo, hi, 1, &[Carry::State(init)]);
        let weight = self.b.op(Op::IntToFloat, &[q]);
        self.note(weight, Range::new(0.0, 2.0));
        let half = self.b.f64(0.5);
        let scaled = self.b.mul(half, states[0]);
        let mut sum = self.b.add(scaled, other);
        if self.rng.chance(0.5) {
            sum = self.b.add(sum, weight);
        }
        let next = self.b.op(Op::Tanh, &[sum]);
        let result = self.b.end_loop(&[next])[0];
        let range = self.range(init).union(Range::new(-1.0, 1.0));
        self.note(result, range)
    }

    /// A loop of fixed length whose body uses the pool: a quadrature, or another reduction.
    fn literal_sum(&mut self, pool: &Pool) -> Value {
        let trips = self.rng.int(2, 3);
        let carry = match self.rng.below(6) {
            0 if self.config.reductions => Carry::Prod,
            1 if self.config.reductions && self.config.kinks => Carry::Min,
            2 if self.config.reductions && self.config.kinks => Carry::Max,
            _ => Carry::Sum,
        };
        let (lo, hi) = (self.b.int(0), self.b.int(trips));
        let (q, _) = self.b.begin_loop(lo, hi, 1, &[carry]);
        let weight = self.b.op(Op::IntToFloat, &[q]);
        self.note(weight, Range::new(0.0, 2.0));
        let mut inner = pool.clone();
        inner.floats.push(weight);
        inner.ints.push(q);
        let a = self.pick_float(&inner);
        let shifted = self.combine(&inner, a);
        let mixed = self.b.add(shifted, weight);
        let wide = self.range(shifted);
        self.note(mixed, Range::new(wide.lo, wide.hi + 2.0));
        let term = self.b.op(Op::Sin, &[mixed]);
        let result = self.b.end_loop(&[term])[0];
        let range = match carry {
            Carry::Sum => Range::new(-3.0, 3.0),
            Carry::Prod | Carry::Min | Carry::Max | Carry::State(_) => Range::new(-1.0, 1.0),
        };
        self.note(result, range)
    }

    /// What a loop over data sums up, made moderate whatever the number of iterations was.
    pub(super) fn reduced(&mut self, carry: Carry, result: Value, each: Range) -> Value {
        match carry {
            // Empty loops give infinities; a bound on the other side keeps them out.
            Carry::Min => {
                let most = self.b.f64(2.0);
                let value = self.b.op(Op::Min, &[result, most]);
                self.note(value, each.union(Range::point(2.0)))
            }
            Carry::Max => {
                let least = self.b.f64(-2.0);
                let value = self.b.op(Op::Max, &[result, least]);
                self.note(value, each.union(Range::point(-2.0)))
            }
            Carry::Prod => {
                let reach = each.magnitude().max(1.0).powi(8);
                self.note(result, Range::new(-reach, reach));
                self.tame(result)
            }
            Carry::Sum | Carry::State(_) => {
                self.note(result, each.times(16.0));
                self.tame(result)
            }
        }
    }

    /// Asserts (in debug builds) that pools hold what they say.
    pub(super) fn check_pool(&self, pool: &Pool) {
        let all = |values: &[Value], ty: Ty| values.iter().all(|&value| self.b.func().ty(value) == ty);
        debug_assert!(all(&pool.floats, Ty::F64) && all(&pool.ints, Ty::Int) && all(&pool.bools, Ty::Bool));
    }
}
