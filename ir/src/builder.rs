//! The only way programs are made: an insertion point, hash-consing and folding.
//!
//! # What building guarantees
//! - *Hash-consing*: a pure instruction equal to one that is visible from the insertion point is not made twice.
//! - *Folding*: literals are computed; neutral and absorbing elements vanish. `0 * a` is `0`: a literal zero is a structural
//!   zero here, it never becomes NaN.
//! - *Signed nodes*: a negation moves outward through products and quotients and into sums, so `a - b` and `b - a` share one
//!   node and negations cost nothing until code is emitted.
//!
//! Folding changes a result by rounding in one rule only ([`Builder::op`] on `c1 * (c2 * a)`, where the product of the literals is far from all
//! bounds), takes `a - a` for 0 whatever `a` is, and drops the sign of zeros. A product of literals that is too small for a number stays an
//! operation: a literal zero would take an entry out of the pattern.

mod fold;

use crate::func::{
    Buffer, BufferData, Carry, Const, EmitData, Func, Inst, InstData, Region, RegionData, Role, Value,
    ValueData, ValueDef, Values,
};
use crate::op::Op;
use crate::project::{Filter, Projection};
use crate::types::{Size, SizeExpr, Ty};
use rustc_hash::FxHashMap;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    F64(u64),
    F32(u32),
    Int(i64),
    Bool(bool),
    Size(SizeExpr),
    /// The operands, then [`NO_OPERAND`].
    Op(Op, [u32; MOST_OPERANDS]),
    Load(Buffer, u32, Values),
    Position(Buffer, Values),
}

/// Operations take at most so many operands.
const MOST_OPERANDS: usize = 3;
/// Fills the places behind the last operand.
const NO_OPERAND: u32 = u32::MAX;

impl Key {
    fn op(op: Op, args: &[Value]) -> Key {
        let mut operands = [NO_OPERAND; MOST_OPERANDS];
        for (operand, arg) in operands.iter_mut().zip(args) {
            *operand = arg.as_u32();
        }
        Key::Op(op, operands)
    }
}

#[derive(Clone)]
struct Scope {
    region: Region,
    open: Open,
    /// Where what opens it stands in the source.
    span: (u32, u32),
}

#[derive(Clone)]
enum Open {
    Body,
    Loop { lo: Value, hi: Value, step: i64, carries: Vec<Carry> },
    Then { cond: Value },
    Else { cond: Value, then: Region },
}

/// Builds a [`Func`] instruction by instruction. A copy is an independent attempt.
#[derive(Clone)]
pub struct Builder {
    func: Func,
    scopes: Vec<Scope>,
    /// Pure instructions and where they stand: those in a region that is closed are not visible.
    table: FxHashMap<Key, (Value, Region)>,
    resets: FxHashMap<Buffer, u32>,
    span: (u32, u32),
}

impl Builder {
    /// Continues at the end of the body of `func`. Instructions already there are not hash-consed with.
    pub fn new(func: Func) -> Builder {
        let scope = Scope { region: func.body, open: Open::Body, span: (0, 0) };
        let (table, resets) = (FxHashMap::default(), FxHashMap::default());
        Builder { func, scopes: vec![scope], table, resets, span: (0, 0) }
    }

    /// An empty function with the declarations of `func` (sizes, buffers, columns, rows): what a pass starts from.
    pub fn from_declarations(func: &Func, name: impl Into<String>) -> Builder {
        let mut copy = Func::new(name);
        copy.sizes = func.sizes.clone();
        copy.buffers = func.buffers.clone();
        copy.columns.clone_from(&func.columns);
        copy.rows.clone_from(&func.rows);
        // Most passes make about as many instructions.
        let insts = func.insts.len();
        copy.insts.reserve(insts);
        copy.values.reserve(func.values.len());
        copy.results.resize(insts);
        copy.spans.resize(insts);
        let mut builder = Builder::new(copy);
        builder.table.reserve(insts);
        builder
    }

    /// The finished function.
    pub fn finish(self) -> Func {
        debug_assert!(self.scopes.len() == 1, "a region is still open");
        self.func
    }

    /// The function so far.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Source location given to the instructions made from now on (byte offsets).
    pub fn set_span(&mut self, span: (u32, u32)) {
        self.span = span;
    }

    /// Current source location.
    pub fn span(&self) -> (u32, u32) {
        self.span
    }

    /// Declares a symbolic size.
    pub fn size_symbol(&mut self, name: impl Into<String>) -> Size {
        self.func.sizes.push(name.into())
    }

    /// Declares a buffer.
    pub fn buffer(&mut self, data: BufferData) -> Buffer {
        self.func.buffers.push(data)
    }

    /// Sets the unknowns that give columns.
    pub fn set_columns(&mut self, columns: Vec<Buffer>) {
        self.func.columns = columns;
    }

    /// Sets the buffers that give rows.
    pub fn set_rows(&mut self, rows: Vec<Buffer>) {
        self.func.rows = rows;
    }

    /// The number the next value will get: values made from now on are not smaller.
    pub fn next_value(&self) -> Value {
        self.func.values.next_key()
    }

    /// The nesting depth of the insertion point (1 in the body).
    pub fn depth(&self) -> usize {
        self.scopes.len()
    }

    /// The innermost region that is open.
    pub fn region(&self) -> Region {
        self.scopes.last().expect("the body is always open").region
    }

    /// Whether a region is still open: whether values made in it are visible from the insertion point.
    pub fn is_open(&self, region: Region) -> bool {
        self.scopes.iter().any(|scope| scope.region == region)
    }

    // ---- literals -------------------------------------------------------------------------------------------

    /// A literal.
    pub fn constant(&mut self, constant: Const) -> Value {
        let key = match constant {
            Const::F64(x) => Key::F64(x.to_bits()),
            Const::F32(x) => Key::F32(x.to_bits()),
            Const::Int(n) => Key::Int(n),
            Const::Bool(b) => Key::Bool(b),
        };
        self.pure(key, InstData::Const(constant), constant.ty())
    }

    /// A literal `F64`.
    pub fn f64(&mut self, x: f64) -> Value {
        self.constant(Const::F64(x))
    }

    /// A literal of the given float type.
    pub fn float(&mut self, ty: Ty, x: f64) -> Value {
        match ty {
            Ty::F32 => self.constant(Const::F32(x as f32)),
            Ty::F64 | Ty::Int | Ty::Bool => self.f64(x),
        }
    }

    /// A literal integer.
    pub fn int(&mut self, n: i64) -> Value {
        self.constant(Const::Int(n))
    }

    /// A literal truth value.
    pub fn bool(&mut self, b: bool) -> Value {
        self.constant(Const::Bool(b))
    }

    /// The run-time value of a size expression.
    pub fn size(&mut self, expr: &SizeExpr) -> Value {
        match expr.as_constant() {
            Some(n) => self.int(n),
            None => self.pure(Key::Size(expr.clone()), InstData::Size(expr.clone()), Ty::Int),
        }
    }

    // ---- scalar operations ------------------------------------------------------------------------------------

    /// A scalar operation, folded and hash-consed. The arguments must have types the operation takes.
    pub fn op(&mut self, op: Op, args: &[Value]) -> Value {
        if let Some(value) = self.fold(op, args) {
            return value;
        }
        let mut args = Values::from_slice(args);
        if op.is_commutative() && args[1] < args[0] {
            args.swap(0, 1);
        }
        let mut types = [Ty::F64; MOST_OPERANDS];
        for (ty, &arg) in types.iter_mut().zip(&args) {
            *ty = self.func.ty(arg);
        }
        let types = &types[..args.len()];
        let ty = op.result_type(types).unwrap_or_else(|| {
            unreachable!("`{}` does not take {types:?}: the caller checks types", op.name())
        });
        self.pure(Key::op(op, &args), InstData::Op(op, args), ty)
    }

    /// `a + b`
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.op(Op::Add, &[a, b])
    }

    /// `a - b`
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.op(Op::Sub, &[a, b])
    }

    /// `a * b`
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.op(Op::Mul, &[a, b])
    }

    /// `a / b`
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.op(Op::Div, &[a, b])
    }

    /// `-a`
    pub fn neg(&mut self, a: Value) -> Value {
        self.op(Op::Neg, &[a])
    }

    /// `condition ? a : b`; both are evaluated
    pub fn select(&mut self, condition: Value, a: Value, b: Value) -> Value {
        self.op(Op::Select, &[condition, a, b])
    }

    // ---- buffers ----------------------------------------------------------------------------------------------

    /// `buffer[index]`
    pub fn load(&mut self, buffer: Buffer, index: &[Value]) -> Value {
        debug_assert_eq!(index.len(), self.func.buffers[buffer].dims.len(), "one index per dimension");
        let ty = self.func.buffers[buffer].elem;
        let version = self.resets.get(&buffer).copied().unwrap_or(0);
        let key = Key::Load(buffer, version, Values::from_slice(index));
        self.pure(key, InstData::Load(buffer, Values::from_slice(index)), ty)
    }

    /// The row or column position of `buffer[index]`.
    pub fn position(&mut self, buffer: Buffer, index: &[Value]) -> Value {
        let key = Key::Position(buffer, Values::from_slice(index));
        self.pure(key, InstData::Position(buffer, Values::from_slice(index)), Ty::Int)
    }

    /// The float `value`, marked: the Hessian of an energy that it is added to is projected in this part.
    pub fn project(&mut self, value: Value, projection: Projection) -> Value {
        let op = match projection.filter() {
            Filter::Clamp => Op::ProjectClamp,
            Filter::Abs => Op::ProjectAbs,
        };
        let ty = self.func.ty(value);
        let eps = self.float(ty, projection.eps());
        self.op(op, &[value, eps])
    }

    /// The float `value` with the partial `slope` by `argument`, beside the derivatives that it has. A literal NaN says that the partial
    /// is not known.
    pub fn attach(&mut self, value: Value, argument: Value, slope: Value) -> Value {
        self.op(Op::Attach, &[value, argument, slope])
    }

    /// The float `value` without a usable derivative: none is taken, or what is taken is not a number.
    pub fn seal(&mut self, value: Value) -> Value {
        let bare = self.op(Op::StopGradient, &[value]);
        let unknown = self.float(self.func.ty(value), f64::NAN);
        self.attach(bare, value, unknown)
    }

    /// `buffer[index] += value`; nothing for a literal zero.
    pub fn accum(&mut self, buffer: Buffer, index: &[Value], value: Value) {
        debug_assert_eq!(index.len(), self.func.buffers[buffer].dims.len(), "one index per dimension");
        debug_assert!(
            matches!(self.func.buffers[buffer].role, Role::Scratch | Role::Output),
            "inputs are not written"
        );
        if !self.is_float(value, 0.0) {
            self.push(InstData::Accum(buffer, Values::from_slice(index), value), &[]);
        }
    }

    /// Every entry of a scratch buffer becomes zero.
    pub fn reset(&mut self, buffer: Buffer) {
        *self.resets.entry(buffer).or_insert(0) += 1;
        self.push(InstData::Reset(buffer, None), &[]);
    }

    /// The first `length` entries of a scratch buffer become zero; the others are not to be read before the next reset.
    pub fn reset_first(&mut self, buffer: Buffer, length: Value) {
        *self.resets.entry(buffer).or_insert(0) += 1;
        self.push(InstData::Reset(buffer, Some(length)), &[]);
    }

    /// Refuses to go on unless every subscript lies inside the buffer.
    pub fn check(&mut self, buffer: Buffer, index: &[Value]) {
        self.push(InstData::Check(buffer, Values::from_slice(index)), &[]);
    }

    /// The positions of an emission without its values: what index programs are made of.
    pub fn emit_positions(&mut self, mut emit: EmitData) {
        emit.values.clear();
        self.push(InstData::Emit(emit), &[]);
    }

    /// Entries of the matrix; literal zeros are left out (but not of a projected block), nothing is made when none remains.
    pub fn emit(&mut self, mut emit: EmitData) {
        debug_assert_eq!(emit.entries.len(), emit.values.len(), "one value per entry");
        if emit.project.is_some() {
            if !emit.values.is_empty() {
                self.push(InstData::Emit(emit), &[]);
            }
            return;
        }
        let keep: Vec<bool> = emit.values.iter().map(|&v| !self.is_float(v, 0.0)).collect();
        let mut kept = keep.iter();
        emit.entries.retain(|_| *kept.next().expect("as many flags as entries"));
        let mut kept = keep.iter();
        emit.values.retain(|_| *kept.next().expect("as many flags as values"));
        if !emit.values.is_empty() {
            self.push(InstData::Emit(emit), &[]);
        }
    }

    // ---- structure --------------------------------------------------------------------------------------------

    /// Opens a loop; returns the induction variable and the state parameters. Close it with [`Builder::end_loop`].
    pub fn begin_loop(&mut self, lo: Value, hi: Value, step: i64, carries: &[Carry]) -> (Value, Vec<Value>) {
        debug_assert!(step > 0, "strides are positive");
        let region = self.func.regions.push(RegionData::default());
        let iv = self.param(region, Ty::Int);
        let mut states = Vec::new();
        for carry in carries {
            if let Carry::State(init) = carry {
                states.push(self.param(region, self.func.ty(*init)));
            }
        }
        let open = Open::Loop { lo, hi, step, carries: carries.to_vec() };
        self.scopes.push(Scope { region, open, span: self.span });
        (iv, states)
    }

    /// Closes a loop with one yield per carry; returns its results. A loop without carries and effects is dropped; a sum of zeros is the
    /// literal zero.
    pub fn end_loop(&mut self, yields: &[Value]) -> Values {
        let scope = self.scopes.pop().expect("a loop is open");
        self.span = scope.span;
        let Open::Loop { lo, hi, step, carries } = scope.open else {
            unreachable!("the innermost open region is a loop");
        };
        debug_assert_eq!(yields.len(), carries.len(), "one yield per carry");
        self.func.regions[scope.region].yields = yields.to_vec();
        let body = scope.region;
        if carries.is_empty() && !self.region_has_effects(body) {
            return Values::new();
        }
        let types: Vec<Ty> = yields.iter().map(|&v| self.func.ty(v)).collect();
        let zeros = carries.iter().zip(yields).map(|(c, &y)| *c == Carry::Sum && self.is_float(y, 0.0));
        let zeros: Vec<bool> = zeros.collect();
        let mut results = self.push(InstData::Loop { lo, hi, step, carries, body }, &types);
        for ((result, &ty), _) in results.iter_mut().zip(&types).zip(zeros).filter(|(_, zero)| *zero) {
            *result = self.float(ty, 0.0);
        }
        results
    }

    /// Opens the first branch of an `if`.
    pub fn begin_if(&mut self, cond: Value) {
        let region = self.func.regions.push(RegionData::default());
        self.scopes.push(Scope { region, open: Open::Then { cond }, span: self.span });
    }

    /// Closes the first branch with its yields and opens the second.
    pub fn begin_else(&mut self, yields: &[Value]) {
        let scope = self.scopes.pop().expect("an if is open");
        self.span = scope.span;
        let Open::Then { cond } = scope.open else {
            unreachable!("the innermost open region is the first branch of an if");
        };
        self.func.regions[scope.region].yields = yields.to_vec();
        let region = self.func.regions.push(RegionData::default());
        let open = Open::Else { cond, then: scope.region };
        self.scopes.push(Scope { region, open, span: self.span });
    }

    /// Closes the second branch with its yields; returns the results.
    pub fn end_if(&mut self, yields: &[Value]) -> Values {
        let scope = self.scopes.pop().expect("an if is open");
        self.span = scope.span;
        let Open::Else { cond, then } = scope.open else {
            unreachable!("the innermost open region is the second branch of an if");
        };
        let els = scope.region;
        self.func.regions[els].yields = yields.to_vec();
        debug_assert_eq!(self.func.regions[then].yields.len(), yields.len(), "both branches yield alike");
        if yields.is_empty() && !self.region_has_effects(then) && !self.region_has_effects(els) {
            return Values::new();
        }
        let types: Vec<Ty> = yields.iter().map(|&v| self.func.ty(v)).collect();
        self.push(InstData::If { cond, then, els }, &types)
    }

    /// Like [`Builder::end_if`], replacing the yields given for the first branch: for passes that learn only in the second branch
    /// what must be yielded.
    pub fn end_if_with(&mut self, then_yields: &[Value], else_yields: &[Value]) -> Values {
        let Some(Scope { open: Open::Else { then, .. }, .. }) = self.scopes.last() else {
            unreachable!("the innermost open region is the second branch of an if");
        };
        let then = *then;
        self.func.regions[then].yields = then_yields.to_vec();
        self.end_if(else_yields)
    }

    /// Like [`Builder::end_loop`], adding further `Sum` carries after those the loop was opened with: for passes that learn only
    /// inside the loop what must be summed.
    pub fn end_loop_with_sums(&mut self, yields: &[Value], sums: &[Value]) -> Values {
        let Some(Scope { open: Open::Loop { carries, .. }, .. }) = self.scopes.last_mut() else {
            unreachable!("the innermost open region is a loop");
        };
        carries.extend(sums.iter().map(|_| Carry::Sum));
        let all: Vec<Value> = yields.iter().chain(sums).copied().collect();
        self.end_loop(&all)
    }

    /// Drops the regions opened beyond `depth` as if they had never been: for passes that give up in the middle.
    pub fn abandon(&mut self, depth: usize) {
        self.scopes.truncate(depth.max(1));
    }

    fn region_has_effects(&self, region: Region) -> bool {
        let insts = &self.func.regions[region].insts;
        insts.iter().any(|&inst| crate::walk::has_effects(&self.func, inst))
    }

    // ---- making instructions ------------------------------------------------------------------------------------

    fn param(&mut self, region: Region, ty: Ty) -> Value {
        let n = self.func.regions[region].params.len() as u32;
        let value = self.func.values.push(ValueData { ty, def: ValueDef::Param(region, n) });
        self.func.regions[region].params.push(value);
        value
    }

    fn push(&mut self, data: InstData, types: &[Ty]) -> Values {
        let inst: Inst = self.func.insts.push(data);
        self.func.spans[inst] = self.span;
        let results: Values = (0..)
            .zip(types)
            .map(|(n, &ty)| self.func.values.push(ValueData { ty, def: ValueDef::Result(inst, n) }))
            .collect();
        self.func.results[inst] = Values::from_slice(&results);
        let region = self.scopes.last().expect("the body is always open").region;
        self.func.regions[region].insts.push(inst);
        results
    }

    fn find(&self, key: &Key) -> Option<Value> {
        self.table.get(key).filter(|(_, region)| self.is_open(*region)).map(|&(value, _)| value)
    }

    fn pure(&mut self, key: Key, data: InstData, ty: Ty) -> Value {
        let new = (self.next_value(), self.region());
        let known = self.table.entry(key).or_insert(new);
        if *known != new {
            if self.scopes.iter().any(|scope| scope.region == known.1) {
                return known.0;
            }
            *known = new;
        }
        self.push(data, &[ty]);
        new.0
    }
}
