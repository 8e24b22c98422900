//! A program written as a kernel in the `.ir` language: so that random programs test the front end too.
//!
//! Each value becomes a `let`, each output and intermediate array an accumulator, each loop a `for`, a reduction or a `fold`. Effects
//! under a condition stand in a loop over `0..1 if condition`. What the language cannot say so (a loop with several kinds of carries, or
//! with a result and effects) gives no text.

use spadina_ir::func::{
    Buffer, BufferData, Carry, Const, Entries, Func, Inst, InstData, Plane, Region, Role, Value,
};
use spadina_ir::op::Op;
use spadina_ir::text::size::show;
use spadina_ir::types::{SizeExpr, Ty};
use spadina_ir::walk;
use std::fmt::Write;

/// The kernel that computes what a function computes, as text; `None` where the language has no words for it.
pub fn source(func: &Func) -> Option<String> {
    let primal = func.buffers.values().all(|data| data.plane == Plane::Primal);
    if !primal {
        return None;
    }
    let mut writer = Writer { func, text: String::new(), depth: 1, guards: 0 };
    writer.kernel()?;
    Some(writer.text)
}

struct Writer<'a> {
    func: &'a Func,
    text: String,
    depth: usize,
    guards: usize,
}

impl Writer<'_> {
    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}{text}", "    ".repeat(self.depth));
    }

    fn dims(&self, dims: &[SizeExpr]) -> String {
        let dims: Vec<String> = dims.iter().map(|d| show(d, &self.func.sizes).to_string()).collect();
        if dims.is_empty() { String::new() } else { format!("[{}]", dims.join(", ")) }
    }

    fn kernel(&mut self) -> Option<()> {
        let func = self.func;
        let sizes: Vec<&str> = func.sizes.values().map(String::as_str).collect();
        let sizes = if sizes.is_empty() { String::new() } else { format!("<{}>", sizes.join(", ")) };
        if self.attaches() {
            self.text.push_str("#[partials(1.0, p, 0.0)]\nfn attach(v: f64, a: f64, p: f64) -> f64 { v }\n");
        }
        let _ = writeln!(self.text, "kernel k{sizes}(");
        let inputs =
            func.buffers.values().filter(|d| matches!(d.role, Role::Var | Role::Data | Role::Structural));
        for data in inputs {
            let parameter = self.parameter(data)?;
            self.line(&format!("{parameter},"));
        }
        let outputs: Vec<Buffer> = func.buffers_of(Role::Output).collect();
        let result = |b: &Buffer| {
            let data = &func.buffers[*b];
            format!("{}: {}{}", data.name, scalar(data.elem), self.dims(&data.dims))
        };
        let results: Vec<String> = outputs.iter().map(result).collect();
        let _ = writeln!(self.text, ") -> ({}) {{", results.join(", "));
        let reset = |b: Buffer| {
            let mut found = false;
            walk::visit_insts(func, func.body, &mut |_, inst| {
                found |= matches!(&func.insts[inst], InstData::Reset(buffer, _) if *buffer == b);
            });
            found
        };
        let scratch = func.buffers_of(Role::Scratch).filter(|&b| !reset(b));
        for buffer in outputs.iter().copied().chain(scratch) {
            self.accumulator(buffer);
        }
        self.region(func.body)?;
        let names: Vec<String> = outputs.iter().map(|&b| self.array(b)).collect();
        self.line(&if names.len() == 1 { names[0].clone() } else { format!("({})", names.join(", ")) });
        self.text.push_str("}\n");
        Some(())
    }

    /// Whether partials are given.
    fn attaches(&self) -> bool {
        let mut found = false;
        walk::visit_insts(self.func, self.func.body, &mut |_, inst| {
            found |= matches!(self.func.insts[inst], InstData::Op(Op::Attach, _));
        });
        found
    }

    fn parameter(&self, data: &BufferData) -> Option<String> {
        let dims = self.dims(&data.dims);
        let size = |s: &SizeExpr| show(s, &self.func.sizes).to_string();
        let ty = match &data.entries {
            Entries::Any => scalar(data.elem).to_owned(),
            Entries::Index(bounds) if bounds.len() == 1 => format!("index<{}>", size(&bounds[0])),
            Entries::Index(bounds) => {
                format!("index<({})>", bounds.iter().map(size).collect::<Vec<_>>().join(", "))
            }
            Entries::Offsets(bound) => format!("offsets<{}>", size(bound)),
        };
        let mark = match data.role {
            Role::Structural if data.elem.is_float() => "#[structural] ",
            _ => "",
        };
        let var = if data.role == Role::Var { "var " } else { "" };
        let default = match data.default {
            Some(x) if data.elem.is_float() => format!(" = {}", float(x)?),
            Some(_) => return None,
            None => String::new(),
        };
        Some(format!("{mark}{}: {var}{ty}{dims}{default}", data.name))
    }

    fn array(&self, buffer: Buffer) -> String {
        let data = &self.func.buffers[buffer];
        if data.role == Role::Output { format!("{}_out", data.name) } else { data.name.clone() }
    }

    fn accumulator(&mut self, buffer: Buffer) {
        let data = &self.func.buffers[buffer];
        let (name, dims) = (self.array(buffer), self.dims(&data.dims));
        let zero = match (data.elem, dims.is_empty()) {
            (Ty::F32, true) => "f32(0.0)".to_owned(),
            (_, true) => "0.0".to_owned(),
            (_, false) => format!("zeros{dims}"),
        };
        self.line(&format!("let mut {name} = {zero};"));
    }

    fn region(&mut self, region: Region) -> Option<()> {
        for &inst in &self.func.regions[region].insts {
            self.inst(inst)?;
        }
        Some(())
    }

    /// A value where it is used: a literal, or its name.
    fn value(&self, value: Value) -> Option<String> {
        match self.func.def(value) {
            Some(InstData::Const(Const::F64(x))) => float(*x),
            Some(InstData::Const(Const::F32(x))) => Some(format!("f32({})", float(f64::from(*x))?)),
            Some(InstData::Const(Const::Int(n))) if *n < 0 => Some(format!("({n})")),
            Some(InstData::Const(Const::Int(n))) => Some(n.to_string()),
            Some(InstData::Const(Const::Bool(true))) => Some("(0 == 0)".to_owned()),
            Some(InstData::Const(Const::Bool(false))) => Some("(0 == 1)".to_owned()),
            Some(InstData::Size(expr)) => Some(format!("({})", show(expr, &self.func.sizes))),
            _ => Some(format!("v{}", value.as_u32())),
        }
    }

    fn place(&self, buffer: Buffer, index: &[Value]) -> Option<String> {
        let name = self.array(buffer);
        if index.is_empty() {
            return Some(name);
        }
        let index: Option<Vec<String>> = index.iter().map(|&v| self.value(v)).collect();
        Some(format!("{name}[{}]", index?.join(", ")))
    }

    fn inst(&mut self, inst: Inst) -> Option<()> {
        let func = self.func;
        let result = |n: usize| func.results[inst].get(n).map(|v| format!("v{}", v.as_u32()));
        match &func.insts[inst] {
            InstData::Const(_) | InstData::Size(_) => {}
            InstData::Op(op, args) => {
                let args: Vec<String> = args.iter().map(|&a| self.value(a)).collect::<Option<_>>()?;
                let text = format!("let {} = {};", result(0)?, operation(*op, &args)?);
                self.line(&text);
            }
            InstData::Load(buffer, index) => {
                let text = format!("let {} = {};", result(0)?, self.place(*buffer, index)?);
                self.line(&text);
            }
            InstData::Accum(buffer, index, value) => {
                let text = format!("{} += {};", self.place(*buffer, index)?, self.value(*value)?);
                self.line(&text);
            }
            InstData::Reset(buffer, _) => self.accumulator(*buffer),
            InstData::Loop { lo, hi, step, carries, body } => {
                let stride = if *step == 1 { String::new() } else { format!(" step {step}") };
                let iv = func.regions[*body].params[0];
                let range = format!("v{} in {}..{}{stride}", iv.as_u32(), self.value(*lo)?, self.value(*hi)?);
                self.looped(inst, &range, carries, *body)?;
            }
            InstData::If { cond, then, els } => self.branches(inst, *cond, *then, *els)?,
            InstData::Position(..) | InstData::Check(..) | InstData::Emit(_) => return None,
        }
        Some(())
    }

    fn looped(&mut self, inst: Inst, range: &str, carries: &[Carry], body: Region) -> Option<()> {
        let func = self.func;
        let effects = walk::has_effects(func, inst);
        if carries.is_empty() {
            self.line(&format!("for {range} {{"));
            self.depth += 1;
            self.region(body)?;
            self.depth -= 1;
            self.line("}");
            return Some(());
        }
        if effects {
            return None;
        }
        let names = |values: &[Value]| tuple(values.iter().map(|v| format!("v{}", v.as_u32())).collect());
        let results = names(&func.results[inst]);
        let head = match carries {
            [Carry::Sum] => format!("sum {range}"),
            [Carry::Prod] => format!("prod {range}"),
            [Carry::Min] => format!("min {range}"),
            [Carry::Max] => format!("max {range}"),
            _ => {
                let inits = carries.iter().map(|carry| match carry {
                    Carry::State(init) => self.value(*init),
                    Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => None,
                });
                let inits = inits.collect::<Option<Vec<String>>>()?;
                let states = names(&func.regions[body].params[1..]);
                format!("fold {range} with {states} = {}", tuple(inits))
            }
        };
        self.line(&format!("let {results} = {head} {{"));
        self.block(body)?;
        self.line("};");
        Some(())
    }

    /// Instructions and yields of a region, one deeper.
    fn block(&mut self, region: Region) -> Option<()> {
        self.depth += 1;
        self.region(region)?;
        let yields: Option<Vec<String>> =
            self.func.regions[region].yields.iter().map(|&y| self.value(y)).collect();
        let yields = tuple(yields?);
        self.line(&yields);
        self.depth -= 1;
        Some(())
    }

    fn branches(&mut self, inst: Inst, cond: Value, then: Region, els: Region) -> Option<()> {
        let func = self.func;
        let condition = self.value(cond)?;
        let results = &func.results[inst];
        if walk::has_effects(func, inst) {
            if !results.is_empty() {
                return None;
            }
            for (condition, region) in [(condition.clone(), then), (format!("!{condition}"), els)] {
                self.guards += 1;
                self.line(&format!("for _g{} in 0..1 if {condition} {{", self.guards));
                self.depth += 1;
                self.region(region)?;
                self.depth -= 1;
                self.line("}");
            }
            return Some(());
        }
        let names = tuple(results.iter().map(|v| format!("v{}", v.as_u32())).collect());
        self.line(&format!("let {names} = if {condition} {{"));
        self.block(then)?;
        self.line("} else {");
        self.block(els)?;
        self.line("};");
        Some(())
    }
}

fn tuple(mut items: Vec<String>) -> String {
    if items.len() == 1 { items.remove(0) } else { format!("({})", items.join(", ")) }
}

fn scalar(ty: Ty) -> &'static str {
    match ty {
        Ty::F64 => "f64",
        Ty::F32 => "f32",
        Ty::Int => "int",
        Ty::Bool => "bool",
    }
}

fn float(x: f64) -> Option<String> {
    if x.is_nan() {
        return None;
    }
    if x.is_infinite() {
        return Some(if x > 0.0 { "inf" } else { "(-inf)" }.to_owned());
    }
    let text = format!("{:?}", x.abs());
    Some(if x.is_sign_negative() { format!("(-{text})") } else { text })
}

fn operation(op: Op, args: &[String]) -> Option<String> {
    let infix = |sign: &str| Some(format!("({} {sign} {})", args[0], args[1]));
    match op {
        Op::Add | Op::IntAdd => infix("+"),
        Op::Sub | Op::IntSub => infix("-"),
        Op::Mul | Op::IntMul => infix("*"),
        Op::Div | Op::IntDiv => infix("/"),
        Op::Rem | Op::IntMod => infix("%"),
        Op::Neg => Some(format!("(-{})", args[0])),
        Op::FloatEq | Op::IntEq => infix("=="),
        Op::FloatNe | Op::IntNe => infix("!="),
        Op::FloatLt | Op::IntLt => infix("<"),
        Op::FloatLe | Op::IntLe => infix("<="),
        Op::And => infix("&&"),
        Op::Or => infix("||"),
        Op::Not => Some(format!("(!{})", args[0])),
        Op::Select => Some(format!("if {} {{ {} }} else {{ {} }}", args[0], args[1], args[2])),
        Op::IntToFloat | Op::BoolToFloat | Op::Widen => Some(format!("f64({})", args[0])),
        Op::FloatToInt => Some(format!("int({})", args[0])),
        Op::Narrow => Some(format!("f32({})", args[0])),
        Op::IntMin => Some(format!("min({})", args.join(", "))),
        Op::IntMax => Some(format!("max({})", args.join(", "))),
        Op::Hidden => Some(format!("stop_gradient({})", args[0])),
        Op::Indicator | Op::ProjectClamp | Op::ProjectAbs => None,
        named => Some(format!("{}({})", named.name(), args.join(", "))),
    }
}
