//! From a function to its SSA text.

use super::lexer::is_plain;
use super::size::show;
use crate::func::{
    Buffer, BufferData, Carry, Const, EmitData, Entries, Func, Inst, InstData, Plane, Region, Role, Value,
};
use crate::types::{Size, SizeExpr};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Positions without values are packed, this many on a line.
const PAIRS_PER_LINE: usize = 8;

/// The SSA text of a function; see [`crate::text`]. Ill-formed functions are printed too, with `%?` where a value is
/// not visible.
pub fn print(func: &Func) -> String {
    func.to_string()
}

impl Display for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer {
            func: self,
            out: String::new(),
            names: SecondaryMap::new(),
            next: 0,
            indent: 1,
            loops: 0,
        };
        printer.func()?;
        f.write_str(&printer.out)
    }
}

/// A name as it stands in the text: quoted unless it is a plain word.
pub(super) fn name(name: &str) -> Cow<'_, str> {
    if is_plain(name) {
        return Cow::Borrowed(name);
    }
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    Cow::Owned(format!("\"{escaped}\""))
}

/// A literal as it stands in the text: shortest digits that read back to the same bits.
pub fn literal(constant: Const) -> String {
    match constant {
        Const::F64(x) => float(x.is_nan(), &x),
        Const::F32(x) => float(x.is_nan(), &x) + "_f32",
        Const::Int(n) => n.to_string(),
        Const::Bool(b) => b.to_string(),
    }
}

fn float(nan: bool, x: &dyn fmt::Debug) -> String {
    if nan { "nan".to_owned() } else { format!("{x:?}") }
}

struct Printer<'a> {
    func: &'a Func,
    out: String,
    /// Names given so far; empty where a value has none yet.
    names: SecondaryMap<Value, String>,
    next: usize,
    indent: usize,
    /// Loops around the current region.
    loops: usize,
}

impl Printer<'_> {
    fn func(&mut self) -> fmt::Result {
        let func = self.func;
        let sizes: Vec<String> = func.sizes.values().map(|size| format!("size {}", name(size))).collect();
        writeln!(self.out, "func @{}({}) {{", name(&func.name), sizes.join(", "))?;
        for data in func.buffers.values() {
            self.buffer(data)?;
        }
        self.buffer_list("columns", &func.columns)?;
        self.buffer_list("rows", &func.rows)?;
        if !func.buffers.is_empty() {
            self.out.push('\n');
        }
        self.region(func.body)?;
        self.out.push_str("}\n");
        Ok(())
    }

    fn buffer_list(&mut self, keyword: &str, list: &[Buffer]) -> fmt::Result {
        if list.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = list.iter().map(|&buffer| name(&self.func.buffers[buffer].name)).collect();
        writeln!(self.out, "  {keyword} {}", names.join(", "))
    }

    fn buffer(&mut self, data: &BufferData) -> fmt::Result {
        let role = match data.role {
            Role::Var => "var",
            Role::Data => "data",
            Role::Structural => "structural",
            Role::Scratch => "scratch",
            Role::Output => "output",
        };
        write!(self.out, "  buffer {}: {role} {}", name(&data.name), data.elem)?;
        if !data.dims.is_empty() {
            write!(self.out, "[{}]", sizes(&data.dims, &self.func.sizes))?;
        }
        match &data.entries {
            Entries::Any => {}
            Entries::Index(bounds) => write!(self.out, " index({})", sizes(bounds, &self.func.sizes))?,
            Entries::Offsets(bound) => write!(self.out, " offsets({})", show(bound, &self.func.sizes))?,
        }
        let of = |buffer: Buffer| name(&self.func.buffers[buffer].name);
        match data.plane {
            Plane::Primal => {}
            Plane::Tangent(a) => write!(self.out, " tangent({})", of(a))?,
            Plane::Adjoint(a) => write!(self.out, " adjoint({})", of(a))?,
            Plane::Block(a, b) => write!(self.out, " block({}, {})", of(a), of(b))?,
        }
        if let Some(default) = data.default {
            write!(self.out, " = {}", literal(Const::F64(default)))?;
        }
        self.out.push('\n');
        Ok(())
    }

    // ---- values -----------------------------------------------------------------------------------------------

    fn number(&mut self, value: Value) -> String {
        let text = format!("%{}", self.next);
        self.next += 1;
        self.names[value].clone_from(&text);
        text
    }

    fn induction_name(&mut self, value: Value) -> String {
        const LETTERS: &[u8] = b"ijklmn";
        let text = match LETTERS.get(self.loops) {
            Some(&letter) => format!("%{}", char::from(letter)),
            None => format!("%i{}", self.loops),
        };
        self.names[value].clone_from(&text);
        text
    }

    fn operand(&self, value: Value) -> String {
        match self.func.def(value) {
            Some(InstData::Const(constant)) => literal(*constant),
            Some(InstData::Size(expr)) => match (&expr.terms[..], expr.constant) {
                ([(size, 1)], 0) => name(&self.func.sizes[*size]).into_owned(),
                _ => format!("({})", show(expr, &self.func.sizes)),
            },
            _ if self.names[value].is_empty() => "%?".to_owned(),
            _ => self.names[value].clone(),
        }
    }

    fn operands(&self, values: &[Value]) -> String {
        let operands: Vec<String> = values.iter().map(|&value| self.operand(value)).collect();
        operands.join(", ")
    }

    fn place(&self, buffer: Buffer, index: &[Value]) -> String {
        let name = name(&self.func.buffers[buffer].name);
        if index.is_empty() { name.into_owned() } else { format!("{name}[{}]", self.operands(index)) }
    }

    // ---- instructions -----------------------------------------------------------------------------------------

    fn line(&mut self, text: &str) {
        self.out.extend(std::iter::repeat_n("  ", self.indent));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn region(&mut self, region: Region) -> fmt::Result {
        for &inst in &self.func.regions[region].insts {
            self.inst(inst)?;
        }
        let yields = &self.func.regions[region].yields;
        if !yields.is_empty() {
            let text = format!("yield {}", self.operands(yields));
            self.line(&text);
        }
        Ok(())
    }

    fn nested(&mut self, region: Region) -> fmt::Result {
        self.indent += 1;
        self.region(region)?;
        self.indent -= 1;
        Ok(())
    }

    fn inst(&mut self, inst: Inst) -> fmt::Result {
        let func = self.func;
        let data = &func.insts[inst];
        if matches!(data, InstData::Const(_) | InstData::Size(_)) {
            return Ok(());
        }
        // Operands first: a result is not visible to its own instruction.
        let text = match data {
            InstData::Const(_) | InstData::Size(_) => return Ok(()),
            InstData::Op(op, args) => format!("{} {}", op.name(), self.operands(args)),
            InstData::Load(buffer, index) => format!("load {}", self.place(*buffer, index)),
            InstData::Position(buffer, index) => format!("position {}", self.place(*buffer, index)),
            InstData::Accum(buffer, index, value) => {
                format!("accum {} += {}", self.place(*buffer, index), self.operand(*value))
            }
            InstData::Reset(buffer, length) => {
                let first = length.map_or(String::new(), |v| format!(" first {}", self.operand(v)));
                format!("reset {}{first}", name(&func.buffers[*buffer].name))
            }
            InstData::Check(buffer, index) => format!("check {}", self.place(*buffer, index)),
            InstData::Loop { lo, hi, .. } => format!("{} .. {}", self.operand(*lo), self.operand(*hi)),
            InstData::If { cond, .. } => format!("if {} {{", self.operand(*cond)),
            InstData::Emit(emit) => return self.emit(emit),
        };
        let results: Vec<String> = func.results[inst].iter().map(|&value| self.number(value)).collect();
        let equals = if results.is_empty() { String::new() } else { results.join(", ") + " = " };
        match data {
            InstData::Loop { step, carries, body, .. } => {
                self.run_loop(&equals, &text, *step, carries, *body)
            }
            InstData::If { then, els, .. } => {
                self.line(&format!("{equals}{text}"));
                self.nested(*then)?;
                let other = &func.regions[*els];
                if !(other.insts.is_empty() && other.yields.is_empty()) {
                    self.line("} else {");
                    self.nested(*els)?;
                }
                self.line("}");
                Ok(())
            }
            _ => {
                self.line(&format!("{equals}{text}"));
                Ok(())
            }
        }
    }

    fn run_loop(
        &mut self,
        equals: &str,
        range: &str,
        step: i64,
        carries: &[Carry],
        body: Region,
    ) -> fmt::Result {
        let inits: Vec<String> = carries
            .iter()
            .map(|carry| match carry {
                Carry::Sum => "sum".to_owned(),
                Carry::Prod => "prod".to_owned(),
                Carry::Min => "min".to_owned(),
                Carry::Max => "max".to_owned(),
                Carry::State(init) => self.operand(*init),
            })
            .collect();
        let mut params = self.func.regions[body].params.iter().copied();
        let iv = params.next().map_or_else(|| "%?".to_owned(), |iv| self.induction_name(iv));
        let mut text = format!("{equals}for {iv} in {range}");
        if step != 1 {
            write!(text, " step {step}")?;
        }
        for (k, (carry, init)) in carries.iter().zip(inits).enumerate() {
            text.push_str(if k == 0 { " with " } else { ", " });
            match carry {
                Carry::State(_) => {
                    let param = params.next().map_or_else(|| "%?".to_owned(), |param| self.number(param));
                    write!(text, "state {param} = {init}")?;
                }
                Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => text.push_str(&init),
            }
        }
        text.push_str(" {");
        self.line(&text);
        self.loops += 1;
        self.nested(body)?;
        self.loops -= 1;
        self.line("}");
        Ok(())
    }

    fn emit(&mut self, emit: &EmitData) -> fmt::Result {
        let mut text = format!("emit #{}", emit.site);
        if emit.symmetric {
            text.push_str(" symmetric");
        }
        if emit.direct {
            text.push_str(" direct");
        }
        if let Some(projection) = emit.project {
            write!(text, " project {} {}", projection.filter(), literal(Const::F64(projection.eps())))?;
        }
        if emit.rows == emit.cols {
            write!(text, " at [{}] {{", self.operands(&emit.rows))?;
        } else {
            write!(text, " rows [{}] cols [{}] {{", self.operands(&emit.rows), self.operands(&emit.cols))?;
        }
        self.line(&text);
        self.indent += 1;
        if emit.values.is_empty() {
            for chunk in emit.entries.chunks(PAIRS_PER_LINE) {
                let pairs: Vec<String> = chunk.iter().map(|(a, b)| format!("({a}, {b})")).collect();
                self.line(&pairs.join(" "));
            }
        } else {
            for (k, (a, b)) in emit.entries.iter().enumerate() {
                let value = emit.values.get(k).map_or_else(|| "%?".to_owned(), |&value| self.operand(value));
                self.line(&format!("({a}, {b}) += {value}"));
            }
        }
        self.indent -= 1;
        self.line("}");
        Ok(())
    }
}

fn sizes(list: &[SizeExpr], names: &PrimaryMap<Size, String>) -> String {
    let list: Vec<String> = list.iter().map(|expr| show(expr, names).to_string()).collect();
    list.join(", ")
}
