//! Value numbering up to sign: which values of an iteration are equal, or opposite, when two of its integers trade places.
//!
//! Two values get one number only if they are computed by the same operations from the same things, where arguments of commutative
//! operations may trade places and signs may move through sums, products, quotients, odd and even functions and choices. Rounding is
//! symmetric, so equal numbers mean equal bits, but for the sign of a zero and of what is computed from it.

use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashMap;
use spadina_ir::func::{Buffer, Const, Func, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::walk;

/// The number of a value, or of its opposite.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Number {
    node: u32,
    negated: bool,
}

impl Number {
    fn opposite_if(self, negated: bool) -> Number {
        Number { node: self.node, negated: self.negated ^ negated }
    }

    fn magnitude(self) -> Number {
        Number { node: self.node, negated: false }
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    /// What is the same however integers trade places.
    Fixed(Value),
    /// A literal, by its bits; a float without its sign.
    Literal(u8, u64),
    Op(Op, Vec<Number>),
    Load(Buffer, Vec<Number>),
    Position(Buffer, Vec<Number>),
    /// A branch on a condition.
    Choice(Number, Number, Number),
    /// A loop that sees the trade: equal to nothing else.
    Traded(Value),
}

/// The numbers of the values of a region.
pub(super) type Numbers = SecondaryMap<Value, Option<Number>>;

/// Gives numbers; one table serves several numberings, which are comparable.
pub(super) struct Numbering<'a> {
    func: &'a Func,
    table: FxHashMap<Key, u32>,
}

impl<'a> Numbering<'a> {
    pub(super) fn new(func: &'a Func) -> Numbering<'a> {
        Numbering { func, table: FxHashMap::default() }
    }

    /// The values of a region as they are.
    pub(super) fn plain(&mut self, region: Region) -> Numbers {
        let mut numbers = Numbers::new();
        self.region(region, &mut numbers, None);
        numbers
    }

    /// The values of a region where two integers that it computes trade places.
    pub(super) fn traded(&mut self, region: Region, plain: &Numbers, (a, b): (Value, Value)) -> Numbers {
        let mut numbers = Numbers::new();
        let trade = Trade { plain, places: [(a, plain[b]), (b, plain[a])] };
        self.region(region, &mut numbers, Some(&trade));
        numbers
    }

    fn region(&mut self, region: Region, numbers: &mut Numbers, trade: Option<&Trade<'_>>) {
        for &inst in &self.func.regions[region].insts {
            self.inst(inst, numbers, trade);
        }
    }

    fn inst(&mut self, inst: Inst, numbers: &mut Numbers, trade: Option<&Trade<'_>>) {
        let results = &self.func.results[inst];
        match &self.func.insts[inst] {
            InstData::If { cond, then, els } if !walk::has_effects(self.func, inst) => {
                self.region(*then, numbers, trade);
                self.region(*els, numbers, trade);
                let cond = self.of(*cond, numbers);
                for (n, &result) in results.iter().enumerate() {
                    let [x, y] =
                        [then, els].map(|region| self.of(self.func.regions[*region].yields[n], numbers));
                    let choice = self.choice(cond, x, y);
                    numbers[result] = Some(choice);
                }
            }
            InstData::Loop { .. } | InstData::If { .. } => {
                let mut used = self.func.insts[inst].operands();
                used.extend(walk::captures(self.func, inst));
                let sees = trade.is_some_and(|trade| {
                    used.iter().any(|&value| numbers[value].is_some() && numbers[value] != trade.plain[value])
                });
                for &result in results {
                    let key = if sees { Key::Traded(result) } else { Key::Fixed(result) };
                    numbers[result] = Some(self.intern(key));
                }
            }
            data => {
                let [result] = results[..] else { return };
                let traded = trade.and_then(|trade| trade.of(result));
                numbers[result] = Some(traded.unwrap_or_else(|| self.single(data, result, numbers)));
            }
        }
    }

    /// What an instruction without regions gives.
    fn single(&mut self, data: &InstData, result: Value, numbers: &Numbers) -> Number {
        match data {
            InstData::Op(op, args) => {
                let args = args.iter().map(|&arg| self.of(arg, numbers)).collect();
                self.op(*op, args)
            }
            InstData::Load(buffer, index) => {
                let index = index.iter().map(|&v| self.of(v, numbers)).collect();
                self.intern(Key::Load(*buffer, index))
            }
            InstData::Position(buffer, index) => {
                let index = index.iter().map(|&v| self.of(v, numbers)).collect();
                self.intern(Key::Position(*buffer, index))
            }
            InstData::Const(literal) => self.literal(*literal),
            _ => self.intern(Key::Fixed(result)),
        }
    }

    /// The number of a value of the region, or of one from outside.
    pub(super) fn of(&mut self, value: Value, numbers: &Numbers) -> Number {
        if let Some(number) = numbers[value] {
            return number;
        }
        match self.func.values[value].def {
            ValueDef::Result(inst, _) => match self.func.insts[inst] {
                InstData::Const(literal) => self.literal(literal),
                _ => self.intern(Key::Fixed(value)),
            },
            ValueDef::Param(..) => self.intern(Key::Fixed(value)),
        }
    }

    fn literal(&mut self, literal: Const) -> Number {
        let (kind, bits, negated) = match literal {
            Const::F64(x) => (0, x.abs().to_bits(), x.is_sign_negative()),
            Const::F32(x) => (1, u64::from(x.abs().to_bits()), x.is_sign_negative()),
            Const::Int(n) => (2, n as u64, false),
            Const::Bool(b) => (3, u64::from(b), false),
        };
        self.intern(Key::Literal(kind, bits)).opposite_if(negated)
    }

    fn op(&mut self, op: Op, mut args: Vec<Number>) -> Number {
        match op {
            Op::Neg => args[0].opposite_if(true),
            Op::Sub => self.sum(args[0], args[1].opposite_if(true)),
            Op::Add => self.sum(args[0], args[1]),
            Op::Mul | Op::Div => {
                let negated = args[0].negated ^ args[1].negated;
                for arg in &mut args {
                    *arg = arg.magnitude();
                }
                if op == Op::Mul {
                    args.sort_unstable();
                }
                self.intern(Key::Op(op, args)).opposite_if(negated)
            }
            Op::Select => self.choice(args[0], args[1], args[2]),
            _ if is_odd(op) => {
                let negated = args[0].negated;
                self.intern(Key::Op(op, vec![args[0].magnitude()])).opposite_if(negated)
            }
            _ if is_even(op) => self.intern(Key::Op(op, vec![args[0].magnitude()])),
            _ => {
                if op.is_commutative() || matches!(op, Op::Min | Op::Max) {
                    args.sort_unstable();
                }
                self.intern(Key::Op(op, args))
            }
        }
    }

    fn sum(&mut self, x: Number, y: Number) -> Number {
        let (first, second) = if x <= y { (x, y) } else { (y, x) };
        let args = [first.magnitude(), second.opposite_if(first.negated)];
        self.intern(Key::Op(Op::Add, args.to_vec())).opposite_if(first.negated)
    }

    fn choice(&mut self, cond: Number, x: Number, y: Number) -> Number {
        self.intern(Key::Choice(cond, x.magnitude(), y.opposite_if(x.negated))).opposite_if(x.negated)
    }

    fn intern(&mut self, key: Key) -> Number {
        let next = self.table.len() as u32;
        Number { node: *self.table.entry(key).or_insert(next), negated: false }
    }
}

/// Two integers in each other's place.
struct Trade<'a> {
    plain: &'a Numbers,
    places: [(Value, Option<Number>); 2],
}

impl Trade<'_> {
    fn of(&self, value: Value) -> Option<Number> {
        self.places.iter().find(|(place, _)| *place == value).and_then(|(_, number)| *number)
    }
}

/// `f(-a) = -f(a)`, to the last bit.
fn is_odd(op: Op) -> bool {
    matches!(
        op,
        Op::Sign
            | Op::Cbrt
            | Op::Sin
            | Op::Tan
            | Op::Asin
            | Op::Atan
            | Op::Sinh
            | Op::Tanh
            | Op::Asinh
            | Op::Atanh
            | Op::Erf
            | Op::StopGradient
            | Op::Hidden
            | Op::Narrow
            | Op::Widen
    )
}

/// `f(-a) = f(a)`, to the last bit.
fn is_even(op: Op) -> bool {
    matches!(op, Op::Abs | Op::Cos | Op::Cosh)
}
