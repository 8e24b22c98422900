//! Instructions, regions and operands of the SSA text.

use super::{Inline, Parsed, Parser, Scope, Token};
use crate::func::{
    Buffer, Carry, Const, EmitData, InstData, Region, RegionData, Value, ValueData, ValueDef, Values,
};
use crate::op::Op;
use crate::project::{Filter, Projection};
use crate::types::{SizeExpr, Ty};
use std::collections::HashMap;

/// Regions may be nested this deep: parsing, printing and running recurse.
const MAX_DEPTH: usize = 200;

impl Parser<'_> {
    // ---- operands ---------------------------------------------------------------------------------------------

    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("a region is open while its contents are read")
    }

    fn push(&mut self, data: InstData, types: &[Ty]) -> Vec<Value> {
        let inst = self.func.insts.push(data);
        let results: Vec<Value> = (0..)
            .zip(types)
            .map(|(n, &ty)| self.func.values.push(ValueData { ty, def: ValueDef::Result(inst, n) }))
            .collect();
        self.func.results[inst] = Values::from_slice(&results);
        let region = self.scope().region;
        self.func.regions[region].insts.push(inst);
        results
    }

    fn push_one(&mut self, data: InstData, ty: Ty) -> Value {
        self.push(data, &[ty])[0]
    }

    /// The literal that stands here, if one does.
    pub(super) fn literal(&mut self) -> Parsed<Option<Const>> {
        let start = self.at;
        let negative = self.eat_mark("-");
        let float = |x: f64| if negative { -x } else { x };
        let constant = match self.peek().clone() {
            Token::Word(word) => match word.as_str() {
                "true" if !negative => Const::Bool(true),
                "false" if !negative => Const::Bool(false),
                "inf" => Const::F64(float(f64::INFINITY)),
                "nan" => Const::F64(float(f64::NAN)),
                "inf_f32" => Const::F32(float(f64::INFINITY) as f32),
                "nan_f32" => Const::F32(float(f64::NAN) as f32),
                _ if negative => return self.expected("a number"),
                _ => return Ok(None),
            },
            Token::Number(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                return self.integer(negative).map(|n| Some(Const::Int(n)));
            }
            Token::Number(digits) => {
                let single = digits.strip_suffix("_f32");
                let constant = match single {
                    Some(digits) => {
                        digits.parse::<f32>().ok().map(|x| Const::F32(if negative { -x } else { x }))
                    }
                    None => digits.parse::<f64>().ok().map(|x| Const::F64(float(x))),
                };
                match constant {
                    Some(constant) => constant,
                    None => return self.error_at(start, "this number is not written right"),
                }
            }
            _ if negative => return self.expected("a number"),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(constant))
    }

    fn inline(&mut self, key: Inline, data: InstData, ty: Ty) -> Value {
        if let Some(&value) = self.scopes.iter().rev().find_map(|scope| scope.inlined.get(&key)) {
            return value;
        }
        let value = self.push_one(data, ty);
        self.scope().inlined.insert(key, value);
        value
    }

    fn constant(&mut self, constant: Const) -> Value {
        let key = match constant {
            Const::F64(x) => Inline::F64(x.to_bits()),
            Const::F32(x) => Inline::F32(x.to_bits()),
            Const::Int(n) => Inline::Int(n),
            Const::Bool(b) => Inline::Bool(b),
        };
        self.inline(key, InstData::Const(constant), constant.ty())
    }

    fn size_value(&mut self, expr: SizeExpr) -> Value {
        self.inline(Inline::Size(expr.clone()), InstData::Size(expr), Ty::Int)
    }

    fn operand(&mut self) -> Parsed<Value> {
        if let Some(constant) = self.literal()? {
            return Ok(self.constant(constant));
        }
        if self.eat_mark("(") {
            let expr = self.size_expr()?;
            self.mark(")")?;
            return Ok(self.size_value(expr));
        }
        match self.peek().clone() {
            Token::Value(name) => match self.scopes.iter().rev().find_map(|scope| scope.names.get(&name)) {
                Some(&value) => {
                    self.at += 1;
                    Ok(value)
                }
                None => self.fail(format!("`%{name}` is not visible here")),
            },
            Token::Word(_) | Token::Quoted(_) => {
                let size = self.size_name()?;
                Ok(self.size_value(SizeExpr::size(size)))
            }
            Token::Number(_) | Token::Mark(_) | Token::End => self.expected("an operand"),
        }
    }

    fn typed_operand(&mut self, ty: Ty, what: &str) -> Parsed<Value> {
        let at = self.at;
        let value = self.operand()?;
        if self.func.ty(value) == ty {
            Ok(value)
        } else {
            self.error_at(at, format!("{what} is of type {ty}, not {}", self.func.ty(value)))
        }
    }

    fn place(&mut self) -> Parsed<(Buffer, Vec<Value>)> {
        let buffer = self.buffer_name()?;
        let index = if self.eat_mark("[") { self.closed_list("]", Self::operand)? } else { Vec::new() };
        Ok((buffer, index))
    }

    // ---- instructions -----------------------------------------------------------------------------------------

    /// Reads instructions and yields up to the closing brace, which is left.
    pub(super) fn region_contents(&mut self, region: Region, params: Vec<(String, Value)>) -> Parsed<()> {
        if self.scopes.len() >= MAX_DEPTH {
            return self.fail(format!("regions are nested more than {MAX_DEPTH} deep"));
        }
        self.scopes.push(Scope { region, names: params.into_iter().collect(), inlined: HashMap::new() });
        while !self.at_mark("}") && !self.at_word("yield") {
            self.inst()?;
        }
        if self.eat_word("yield") {
            self.func.regions[region].yields = self.list(Self::operand)?;
        }
        if !self.at_mark("}") {
            return self.expected("`}` after the yield");
        }
        self.scopes.pop();
        Ok(())
    }

    fn define(&mut self, name: String, at: usize, value: Value) -> Parsed<()> {
        if self.scopes.iter().any(|scope| scope.names.contains_key(&name)) {
            return self.error_at(at, format!("`%{name}` is defined already"));
        }
        self.scope().names.insert(name, value);
        Ok(())
    }

    fn inst(&mut self) -> Parsed<()> {
        let start = self.at;
        let names = match self.peek() {
            Token::Value(_) => {
                let names = self.list(Self::value_name)?;
                self.mark("=")?;
                names
            }
            _ => Vec::new(),
        };
        let keyword_at = self.at;
        let Token::Word(keyword) = self.next() else {
            self.at = keyword_at;
            return self.expected("an instruction");
        };
        let results = match keyword.as_str() {
            "const" => match self.literal()? {
                Some(constant) => self.push(InstData::Const(constant), &[constant.ty()]),
                None => return self.expected("a literal"),
            },
            "size" => {
                let expr = self.size_expr()?;
                self.push(InstData::Size(expr), &[Ty::Int])
            }
            "load" => {
                let (buffer, index) = self.place()?;
                let ty = self.func.buffers[buffer].elem;
                self.push(InstData::Load(buffer, index.into()), &[ty])
            }
            "position" => {
                let (buffer, index) = self.place()?;
                self.push(InstData::Position(buffer, index.into()), &[Ty::Int])
            }
            "check" => {
                let (buffer, index) = self.place()?;
                self.push(InstData::Check(buffer, index.into()), &[])
            }
            "accum" => {
                let (buffer, index) = self.place()?;
                self.mark("+=")?;
                let value = self.operand()?;
                self.push(InstData::Accum(buffer, index.into(), value), &[])
            }
            "reset" => {
                let buffer = self.buffer_name()?;
                let length = if self.eat_word("first") { Some(self.operand()?) } else { None };
                self.push(InstData::Reset(buffer, length), &[])
            }
            "emit" => {
                let emit = self.emit()?;
                self.push(InstData::Emit(emit), &[])
            }
            "for" => self.run_loop()?,
            "if" => self.branch()?,
            _ => match Op::from_name(&keyword) {
                Some(op) => {
                    let args = self.list(Self::operand)?;
                    let types: Vec<Ty> = args.iter().map(|&arg| self.func.ty(arg)).collect();
                    let Some(ty) = op.result_type(&types) else {
                        let types: Vec<String> = types.iter().map(Ty::to_string).collect();
                        let message = format!("`{keyword}` does not take ({})", types.join(", "));
                        return self.error_at(keyword_at, message);
                    };
                    self.push(InstData::Op(op, args.into()), &[ty])
                }
                None => return self.error_at(keyword_at, format!("unknown operation `{keyword}`")),
            },
        };
        if names.len() != results.len() {
            let (want, have) = (results.len(), names.len());
            return self.error_at(start, format!("`{keyword}` gives {want} values, but {have} are named"));
        }
        for (name, value) in names.into_iter().zip(results) {
            self.define(name, start, value)?;
        }
        Ok(())
    }

    fn param(&mut self, region: Region, ty: Ty) -> Value {
        let n = self.func.regions[region].params.len() as u32;
        let value = self.func.values.push(ValueData { ty, def: ValueDef::Param(region, n) });
        self.func.regions[region].params.push(value);
        value
    }

    fn region_types(&self, region: Region) -> Vec<Ty> {
        self.func.regions[region].yields.iter().map(|&value| self.func.ty(value)).collect()
    }

    fn run_loop(&mut self) -> Parsed<Vec<Value>> {
        let start = self.at;
        let iv_name = self.value_name()?;
        self.word("in")?;
        let lo = self.typed_operand(Ty::Int, "the first index")?;
        self.mark("..")?;
        let hi = self.typed_operand(Ty::Int, "the bound")?;
        let step = if self.eat_word("step") {
            let negative = self.eat_mark("-");
            self.integer(negative)?
        } else {
            1
        };
        let body = self.func.regions.push(RegionData::default());
        let mut params = vec![(iv_name, self.param(body, Ty::Int))];
        let carries = if self.eat_word("with") {
            self.list(|parser| parser.carry(body, &mut params))?
        } else {
            Vec::new()
        };
        for (k, (name, _)) in params.iter().enumerate() {
            let visible = self.scopes.iter().any(|scope| scope.names.contains_key(name));
            if visible || params[..k].iter().any(|(other, _)| other == name) {
                return self.error_at(start, format!("`%{name}` is defined already"));
            }
        }
        self.mark("{")?;
        self.region_contents(body, params)?;
        let types = self.region_types(body);
        if types.len() != carries.len() {
            let (have, want) = (types.len(), carries.len());
            return self.fail(format!("{have} values are yielded to {want} carries"));
        }
        self.mark("}")?;
        Ok(self.push(InstData::Loop { lo, hi, step, carries, body }, &types))
    }

    fn carry(&mut self, body: Region, params: &mut Vec<(String, Value)>) -> Parsed<Carry> {
        for (word, carry) in
            [("sum", Carry::Sum), ("prod", Carry::Prod), ("min", Carry::Min), ("max", Carry::Max)]
        {
            if self.eat_word(word) {
                return Ok(carry);
            }
        }
        if !self.eat_word("state") {
            return self.expected("`sum`, `prod`, `min`, `max` or `state`");
        }
        let name = self.value_name()?;
        self.mark("=")?;
        let init = self.operand()?;
        params.push((name, self.param(body, self.func.ty(init))));
        Ok(Carry::State(init))
    }

    fn branch(&mut self) -> Parsed<Vec<Value>> {
        let cond = self.typed_operand(Ty::Bool, "a condition")?;
        let then = self.func.regions.push(RegionData::default());
        let els = self.func.regions.push(RegionData::default());
        self.mark("{")?;
        self.region_contents(then, Vec::new())?;
        self.mark("}")?;
        if self.eat_word("else") {
            self.mark("{")?;
            self.region_contents(els, Vec::new())?;
            if self.region_types(then) != self.region_types(els) {
                return self.fail("both branches yield values of the same types");
            }
            self.mark("}")?;
        } else if !self.func.regions[then].yields.is_empty() {
            return self.error_at(self.at - 1, "a branch that yields needs an `else`");
        }
        let types = self.region_types(then);
        Ok(self.push(InstData::If { cond, then, els }, &types))
    }

    fn projection(&mut self) -> Parsed<Projection> {
        let filter = match () {
            () if self.eat_word("clamp") => Filter::Clamp,
            () if self.eat_word("abs") => Filter::Abs,
            () => return self.expected("`clamp` or `abs`"),
        };
        let projection = match self.literal()? {
            Some(Const::F64(eps)) => Projection::new(filter, eps),
            _ => None,
        };
        projection.map_or_else(|| self.fail("expected the smallest eigenvalue, a float of at least 0"), Ok)
    }

    fn emit(&mut self) -> Parsed<EmitData> {
        self.mark("#")?;
        let site = self.number("the number of the emission site")?;
        let symmetric = self.eat_word("symmetric");
        let direct = self.eat_word("direct");
        let project = if self.eat_word("project") { Some(self.projection()?) } else { None };
        let list = |parser: &mut Self| {
            parser.mark("[")?;
            parser.closed_list("]", Self::operand)
        };
        let (rows, cols) = if self.eat_word("at") {
            let local = list(self)?;
            (local.clone(), local)
        } else {
            self.word("rows")?;
            let rows = list(self)?;
            self.word("cols")?;
            (rows, list(self)?)
        };
        self.mark("{")?;
        let mut emit = EmitData {
            site,
            rows,
            cols,
            entries: Vec::new(),
            values: Vec::new(),
            symmetric,
            direct,
            project,
        };
        while !self.eat_mark("}") {
            self.mark("(")?;
            let row = self.number("a local row")?;
            self.mark(",")?;
            let col = self.number("a local column")?;
            self.mark(")")?;
            if self.at_mark("+=") != (emit.values.len() == emit.entries.len()) && !emit.entries.is_empty() {
                return self.fail("all entries have values, or none has");
            }
            emit.entries.push((row, col));
            if self.eat_mark("+=") {
                let value = self.operand()?;
                emit.values.push(value);
            }
        }
        Ok(emit)
    }
}
