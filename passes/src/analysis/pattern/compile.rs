//! From a function to the compact code of pattern detection.
//!
//! Values that neither depend on unknowns nor decide anything become no code. A float that depends on unknowns gets a set
//! register; where its index set and pairs are those of an argument (`-a`, `a + data`, and for first order every function of one
//! argument) it shares the argument's register. Integers, truth values and floats that are frozen at prepare (in the local scope:
//! all) get a register with their number.

use super::classes::{Class, class};
use super::code::{Branch, CarryCode, Code, Loop, Place, Program, Target};
use super::detect::{Order, Scope};
use super::error::DetectError;
use crate::analysis::activity::Activity;
use crate::analysis::structural::Structural;
use cranelift_entity::SecondaryMap;
use spadina_ir::func::{Buffer, Carry, Const, Func, Inst, InstData, Region, Role, Value};
use spadina_ir::interp::InterpError;
use spadina_ir::math;
use spadina_ir::op::{Op, Signature};
use spadina_ir::types::{SizeExpr, Ty};

/// Compiles a function for detection; `size` gives the values of size expressions.
pub(super) fn compile(
    func: &Func,
    scope: Scope,
    order: Order,
    size: &dyn Fn(&SizeExpr) -> Result<Option<i64>, InterpError>,
) -> Result<Program, DetectError> {
    let activity = Activity::of(func, &func.columns);
    let active = func.buffers.keys().map(|buffer| activity.buffer(buffer)).collect();
    let mut compiler = Compiler {
        func,
        scope,
        order,
        size,
        activity,
        structural: Structural::of(func),
        ints: SecondaryMap::new(),
        floats: SecondaryMap::new(),
        sets: SecondaryMap::new(),
        int_count: vec![0],
        float_count: vec![0.0],
        set_count: 1,
        code: Vec::new(),
        span: (0, 0),
    };
    let body = compiler.region(func.body)?;
    Ok(Program {
        body,
        ints: compiler.int_count,
        floats: compiler.float_count,
        sets: compiler.set_count,
        active,
    })
}

struct Compiler<'a> {
    func: &'a Func,
    scope: Scope,
    order: Order,
    size: &'a dyn Fn(&SizeExpr) -> Result<Option<i64>, InterpError>,
    activity: Activity,
    structural: Structural,
    /// Registers; 0 where a value has none.
    ints: SecondaryMap<Value, u32>,
    floats: SecondaryMap<Value, u32>,
    sets: SecondaryMap<Value, u32>,
    int_count: Vec<i64>,
    float_count: Vec<f64>,
    set_count: usize,
    code: Vec<Code>,
    span: (u32, u32),
}

impl Compiler<'_> {
    // ---- registers --------------------------------------------------------------------------------------------

    fn known(&self, value: Value) -> bool {
        self.scope == Scope::Local || self.structural.holds(value)
    }

    fn new_int(&mut self, value: Value) -> u32 {
        let register = self.int_count.len() as u32;
        self.int_count.push(0);
        self.ints[value] = register;
        register
    }

    fn new_float(&mut self, value: Value) -> u32 {
        let register = self.float_count.len() as u32;
        self.float_count.push(0.0);
        self.floats[value] = register;
        register
    }

    fn new_set(&mut self, value: Value) -> u32 {
        let register = self.set_count as u32;
        self.set_count += 1;
        self.sets[value] = register;
        register
    }

    /// Registers for all parts of a value that are of interest.
    fn new_target(&mut self, value: Value) -> Target {
        let mut target = Target::default();
        if self.func.ty(value).is_float() {
            target.float = self.known(value).then(|| self.new_float(value));
            target.set = self.activity.value(value).then(|| self.new_set(value));
        } else {
            target.int = self.known(value).then(|| self.new_int(value));
        }
        target
    }

    /// The registers of a value, those that `like` has.
    fn target(&self, value: Value, like: Target) -> Target {
        Target {
            int: like.int.map(|_| self.ints[value]),
            float: like.float.map(|_| self.floats[value]),
            set: like.set.map(|_| self.sets[value]),
        }
    }

    fn known_int(&self, value: Value, what: &'static str) -> Result<u32, DetectError> {
        if self.known(value) {
            Ok(self.ints[value])
        } else {
            Err(DetectError::ValueDependent { what, span: self.span })
        }
    }

    fn place(&self, buffer: Buffer, index: &[Value]) -> Result<Place, DetectError> {
        let index: Result<Vec<u32>, _> = index.iter().map(|&v| self.known_int(v, "a subscript")).collect();
        Ok(Place { buffer: buffer.as_u32(), index: index?, span: self.span })
    }

    // ---- structure --------------------------------------------------------------------------------------------

    fn region(&mut self, region: Region) -> Result<Vec<Code>, DetectError> {
        let outer = std::mem::take(&mut self.code);
        for &inst in &self.func.regions[region].insts {
            self.inst(inst)?;
        }
        Ok(std::mem::replace(&mut self.code, outer))
    }

    fn inst(&mut self, inst: Inst) -> Result<(), DetectError> {
        self.span = self.func.spans[inst];
        let results = &self.func.results[inst];
        match &self.func.insts[inst] {
            InstData::Const(constant) => self.constant(results[0], *constant),
            InstData::Size(expr) => {
                let what = || "a size expression overflows".to_owned();
                let value = (self.size)(expr)?;
                let value = value.ok_or_else(|| InterpError::IllFormed { what: what(), span: self.span })?;
                self.constant(results[0], Const::Int(value));
            }
            InstData::Op(op, args) => self.op(*op, args, results[0]),
            InstData::Load(buffer, index) => {
                let into = self.new_target(results[0]);
                if !into.is_nothing() {
                    let at = self.place(*buffer, index)?;
                    self.code.push(Code::Load { at, into });
                }
            }
            InstData::Accum(buffer, index, value) => {
                let mut from = Target::default();
                let local = self.scope == Scope::Local;
                if self.func.ty(*value).is_float() {
                    from.float = local.then(|| self.floats[*value]);
                    from.set = Some(self.sets[*value]).filter(|&set| set != 0);
                } else {
                    from.int = local.then(|| self.ints[*value]);
                }
                if !from.is_nothing() {
                    let at = self.place(*buffer, index)?;
                    self.code.push(Code::Accum { at, from });
                }
            }
            InstData::Check(buffer, index) => {
                let at = self.place(*buffer, index)?;
                self.code.push(Code::Check { at });
            }
            InstData::Reset(buffer, _) => {
                if self.func.buffers[*buffer].role == Role::Scratch {
                    self.code.push(Code::Reset { buffer: buffer.as_u32() });
                }
            }
            InstData::Loop { lo, hi, step, carries, body } => {
                self.loop_((*lo, *hi, *step), carries, *body, results)?;
            }
            InstData::If { cond, then, els } => {
                let register = self.known(*cond).then(|| self.ints[*cond]);
                let (then, then_yields) = (self.region(*then)?, &self.func.regions[*then].yields);
                let (els, els_yields) = (self.region(*els)?, &self.func.regions[*els].yields);
                let mut joined = Vec::new();
                for (n, &result) in results.iter().enumerate() {
                    let target = self.new_target(result);
                    joined.push((
                        target,
                        self.target(then_yields[n], target),
                        self.target(els_yields[n], target),
                    ));
                }
                joined.retain(|(target, ..)| !target.is_nothing());
                if !(then.is_empty() && els.is_empty() && joined.is_empty()) {
                    self.code.push(Code::Branch(Box::new(Branch {
                        cond: register,
                        then,
                        els,
                        results: joined,
                    })));
                }
            }
            // Matrix emissions have no part in the pattern of the results.
            InstData::Position(..) | InstData::Emit(_) => {}
        }
        Ok(())
    }

    fn constant(&mut self, value: Value, constant: Const) {
        match constant {
            Const::Int(n) => {
                let register = self.new_int(value);
                self.int_count[register as usize] = n;
            }
            Const::Bool(truth) => {
                let register = self.new_int(value);
                self.int_count[register as usize] = i64::from(truth);
            }
            Const::F64(x) => {
                let register = self.new_float(value);
                self.float_count[register as usize] = x;
            }
            Const::F32(x) => {
                let register = self.new_float(value);
                self.float_count[register as usize] = f64::from(x);
            }
        }
    }

    fn loop_(
        &mut self,
        (lo, hi, step): (Value, Value, i64),
        carries: &[Carry],
        body: Region,
        results: &[Value],
    ) -> Result<(), DetectError> {
        let region = &self.func.regions[body];
        if step <= 0 || region.yields.len() != carries.len() {
            let what = "a loop with a bad stride or number of yields".to_owned();
            return Err(InterpError::IllFormed { what, span: self.span }.into());
        }
        let (lo, hi) = (self.known_int(lo, "a loop bound")?, self.known_int(hi, "a loop bound")?);
        let iv = self.new_int(region.params[0]);
        let mut params = region.params[1..].iter();
        let states: Vec<Option<Value>> = carries
            .iter()
            .map(|carry| if let Carry::State(_) = carry { params.next().copied() } else { None })
            .collect();
        let params: Vec<Target> = states
            .iter()
            .map(|state| state.map_or(Target::default(), |param| self.new_target(param)))
            .collect();
        let code = self.region(body)?;
        let mut carried = Vec::new();
        for (n, &kind) in carries.iter().enumerate() {
            let result = self.new_target(results[n]);
            let yielded = self.func.regions[body].yields[n];
            // A state whose parameter is known has a known initial value; its result has registers only where the loop's has.
            let like = if let Carry::State(_) = kind { params[n] } else { result };
            let yielded = self.target(yielded, like);
            let init = match kind {
                Carry::State(init) => self.target(init, like),
                Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => Target::default(),
            };
            if !(result.is_nothing() && like.is_nothing()) {
                carried.push(CarryCode { kind, result, yielded, init, param: params[n] });
            }
        }
        if !(code.is_empty() && carried.is_empty()) {
            self.code.push(Code::Loop(Box::new(Loop { lo, hi, step, iv, carries: carried, body: code })));
        }
        Ok(())
    }

    // ---- operations -------------------------------------------------------------------------------------------

    fn op(&mut self, op: Op, args: &[Value], result: Value) {
        let is_float = self.func.ty(result).is_float();
        if self.known(result) {
            self.number(op, args, result);
        }
        if is_float && self.activity.value(result) {
            self.set(op, args, result);
        }
    }

    /// Code for the number of a result.
    fn number(&mut self, op: Op, args: &[Value], result: Value) {
        let (a, b) = (args[0], args.get(1).copied().unwrap_or(args[0]));
        let c = args.get(2).copied().unwrap_or(b);
        let is_float = self.func.ty(result).is_float();
        let dst = if is_float { self.new_float(result) } else { self.new_int(result) };
        let (int_a, int_b) = (self.ints[a], self.ints[b]);
        let (float_a, float_b) = (self.floats[a], self.floats[b]);
        let code = match op.signature() {
            // Its value is that of its first argument.
            Signature::Float if op == Op::Attach => Code::Float1 { function: |x| x, dst, a: float_a },
            Signature::Float => match (math::unary_fn(op), math::binary_fn(op)) {
                (Some(function), _) => Code::Float1 { function, dst, a: float_a },
                (None, Some(function)) => Code::Float2 { function, dst, a: float_a, b: float_b },
                (None, None) => unreachable!("every float operation takes one or two arguments"),
            },
            Signature::FloatCompare => Code::Compare { op, dst, a: float_a, b: float_b },
            Signature::Int | Signature::IntCompare | Signature::Bool => {
                Code::Int { op, dst, a: int_a, b: int_b }
            }
            Signature::Select if is_float => {
                Code::PickFloat { dst, cond: int_a, a: float_b, b: self.floats[c] }
            }
            Signature::Select => Code::PickInt { dst, cond: int_a, a: int_b, b: self.ints[c] },
            Signature::IntToFloat | Signature::BoolToFloat => Code::FromInt { dst, a: int_a },
            Signature::FloatToInt => Code::ToInt { dst, a: float_a },
            Signature::Indicator => Code::Indicator { dst, a: int_a, b: int_b },
            Signature::Narrow => Code::Narrow { dst, a: float_a },
            Signature::Widen => Code::Float1 { function: |x| x, dst, a: float_a },
        };
        self.code.push(code);
        if op.signature() == Signature::Float && self.func.ty(result) == Ty::F32 {
            self.code.push(Code::Narrow { dst, a: dst });
        }
    }

    /// The literal or constant in a float register, if it is one.
    fn literal(&self, value: Value) -> Option<f64> {
        match self.func.as_const(value)? {
            Const::F64(x) => Some(x),
            Const::F32(x) => Some(f64::from(x)),
            Const::Int(_) | Const::Bool(_) => None,
        }
    }

    /// Code for the index set (and pairs) of a result that depends on unknowns.
    fn set(&mut self, op: Op, args: &[Value], result: Value) {
        let (first, second) = (args[0], args.get(1).copied().unwrap_or(args[0]));
        let (a, b) = (self.sets[first], self.sets[second]);
        match class(op) {
            // Activity leaves flat operations out.
            Class::Flat => {}
            Class::Linear | Class::First if op.arity() == 1 || class(op) == Class::First => {
                self.sets[result] = a;
            }
            Class::Extremum if self.scope == Scope::Local => {
                let (x, y) = (self.floats[first], self.floats[second]);
                let dst = self.new_set(result);
                self.code.push(Code::Extremum { dst, a, b, x, y, least: op == Op::Min });
            }
            Class::Linear | Class::First | Class::Extremum => self.join(result, a, b),
            Class::Choice => {
                let c = self.sets[args[2]];
                if self.known(first) {
                    let dst = self.new_set(result);
                    self.code.push(Code::Pick { dst, cond: self.ints[first], a: b, b: c });
                } else {
                    self.join(result, b, c);
                }
            }
            Class::Product if a != 0 && b != 0 => {
                let numbers = (self.scope == Scope::Local).then(|| (self.floats[first], self.floats[second]));
                if numbers.is_none() && self.order == Order::First {
                    self.join(result, a, b);
                } else {
                    let dst = self.new_set(result);
                    self.code.push(Code::Product { dst, a, b, numbers });
                }
            }
            Class::Product if a != 0 => self.scale(result, a, second),
            Class::Product => self.scale(result, b, first),
            Class::Quotient if b == 0 => self.sets[result] = a,
            Class::Quotient => {
                let number = self.known(first).then(|| self.floats[first]);
                if number.is_none() && self.order == Order::First {
                    self.join(result, a, b);
                } else {
                    let dst = self.new_set(result);
                    self.code.push(Code::Quotient { dst, a, b, number });
                }
            }
            Class::Power if b == 0 => match self.literal(second) {
                Some(0.0) => self.sets[result] = 0,
                Some(1.0) => self.sets[result] = a,
                None if self.known(second) => {
                    let dst = self.new_set(result);
                    self.code.push(Code::Power { dst, a, exponent: self.floats[second] });
                }
                Some(_) | None => self.curve(result, a),
            },
            Class::Given => {
                let slope = self.sets[args[2]];
                if b == 0 || slope == 0 || self.order == Order::First {
                    self.join(result, a, b);
                } else {
                    let dst = self.new_set(result);
                    self.code.push(Code::Given { dst, a, b, slope });
                }
            }
            Class::Power | Class::Smooth => {
                if a == 0 || b == 0 || a == b {
                    self.curve(result, a.max(b));
                } else if self.order == Order::First {
                    self.join(result, a, b);
                } else {
                    let dst = self.new_set(result);
                    self.code.push(Code::Surface { dst, a, b });
                }
            }
        }
    }

    fn join(&mut self, result: Value, a: u32, b: u32) {
        if a == 0 || b == 0 || a == b {
            self.sets[result] = a.max(b);
        } else {
            let dst = self.new_set(result);
            self.code.push(Code::Join { dst, a, b });
        }
    }

    fn scale(&mut self, result: Value, set: u32, factor: Value) {
        match self.literal(factor) {
            Some(0.0) => self.sets[result] = 0,
            None if self.known(factor) => {
                let dst = self.new_set(result);
                self.code.push(Code::Scale { dst, a: set, factor: self.floats[factor] });
            }
            Some(_) | None => self.sets[result] = set,
        }
    }

    fn curve(&mut self, result: Value, a: u32) {
        match self.order {
            Order::First => self.sets[result] = a,
            Order::Second => {
                let dst = self.new_set(result);
                self.code.push(Code::Curve { dst, a });
            }
        }
    }
}
