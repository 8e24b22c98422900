//! Checks references, scopes, types and counts of instructions and regions.

use super::Report;
use super::declarations::check_size_expr;
use crate::func::{Buffer, Carry, EmitData, Func, Inst, InstData, Region, Role, Value, ValueDef};
use crate::project::MAX_LOCAL;
use crate::types::Ty;
use cranelift_entity::{EntitySet, SecondaryMap};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;

/// Of some values.
type Types = SmallVec<[Ty; 8]>;

/// False where a reference leads nowhere, or a count or a type is wrong.
pub(super) fn check(report: &mut Report<'_>) -> bool {
    let before = report.violations.len();
    let func = report.func;
    let mut checker = Checker {
        func,
        report,
        seen_insts: EntitySet::new(),
        seen_regions: EntitySet::new(),
        visible: SecondaryMap::new(),
        sites: BTreeMap::new(),
    };
    if func.regions.is_valid(func.body) {
        checker.seen_regions.insert(func.body);
        checker.region(func.body, None);
        let body = &func.regions[func.body];
        if !(body.params.is_empty() && body.yields.is_empty()) {
            checker.report.declaration((0, 0), "the body has parameters or yields");
        }
    } else {
        checker.report.declaration((0, 0), "the body does not exist");
    }
    report.violations.len() == before
}

struct Checker<'a, 'r> {
    func: &'a Func,
    report: &'r mut Report<'a>,
    seen_insts: EntitySet<Inst>,
    seen_regions: EntitySet<Region>,
    visible: SecondaryMap<Value, bool>,
    sites: BTreeMap<u32, Inst>,
}

impl Checker<'_, '_> {
    fn region(&mut self, region: Region, owner: Option<Inst>) {
        let data = &self.func.regions[region];
        let mut defined = Vec::new();
        for (n, &param) in data.params.iter().enumerate() {
            if self.defines(param, ValueDef::Param(region, n as u32)) {
                defined.push(param);
            } else {
                self.report.violations.push(super::Violation {
                    message: format!("parameter {n} of {region} does not know it"),
                    inst: owner,
                    span: owner.map_or((0, 0), |owner| self.func.spans[owner]),
                });
            }
        }
        for &inst in &data.insts {
            if !self.func.insts.is_valid(inst) {
                self.report.declaration((0, 0), format!("{region} holds {inst}, which does not exist"));
                continue;
            }
            if !self.seen_insts.insert(inst) {
                self.report.inst(inst, "stands in more than one place");
                continue;
            }
            self.inst(inst);
            for (n, &result) in self.func.results[inst].iter().enumerate() {
                if self.defines(result, ValueDef::Result(inst, n as u32)) {
                    defined.push(result);
                } else {
                    self.report.inst(inst, format!("result {n} does not know it"));
                }
            }
        }
        for &value in &data.yields {
            if !self.is_visible(value) {
                self.report.violations.push(super::Violation {
                    message: format!("{value} is yielded where it is not visible"),
                    inst: owner,
                    span: owner.map_or((0, 0), |owner| self.func.spans[owner]),
                });
            }
        }
        for value in defined {
            self.visible[value] = false;
        }
    }

    /// Makes a value visible if it has that definition.
    fn defines(&mut self, value: Value, def: ValueDef) -> bool {
        let right = self.func.values.get(value).is_some_and(|data| data.def == def);
        if right {
            self.visible[value] = true;
        }
        right
    }

    fn is_visible(&self, value: Value) -> bool {
        self.visible.get(value).copied().unwrap_or(false)
    }

    /// The type of a value; `Err` where it does not exist.
    fn ty(&self, value: Value) -> Result<Ty, String> {
        self.func.values.get(value).map(|data| data.ty).ok_or_else(|| format!("{value} does not exist"))
    }

    fn types(&self, values: &[Value]) -> Result<Types, String> {
        values.iter().map(|&value| self.ty(value)).collect()
    }

    fn inst(&mut self, inst: Inst) {
        let data = &self.func.insts[inst];
        for operand in data.operands() {
            if !self.is_visible(operand) {
                self.report.inst(inst, format!("uses {operand} where it is not visible"));
            }
        }
        for region in data.regions() {
            if !self.func.regions.is_valid(region) {
                self.report.inst(inst, format!("owns {region}, which does not exist"));
                return;
            }
            if !self.seen_regions.insert(region) {
                self.report.inst(inst, format!("owns {region}, which has another owner"));
                return;
            }
            self.region(region, Some(inst));
        }
        match self.result_types(inst, data) {
            Err(message) => self.report.inst(inst, message),
            Ok(expected) => match self.types(&self.func.results[inst]) {
                Ok(types) if types == expected => {}
                Ok(types) => self.report.inst(inst, format!("has results {types:?} instead of {expected:?}")),
                Err(message) => self.report.inst(inst, message),
            },
        }
    }

    /// Checks an instruction's own shape; the types its results must have.
    fn result_types(&mut self, inst: Inst, data: &InstData) -> Result<Types, String> {
        match data {
            InstData::Const(constant) => Ok(smallvec![constant.ty()]),
            InstData::Size(expr) => match check_size_expr(self.report, expr) {
                Ok(()) => Ok(smallvec![Ty::Int]),
                Err(problem) => Err(problem.to_owned()),
            },
            InstData::Op(op, args) => {
                let types = self.types(args)?;
                let ty = op.result_type(&types);
                ty.map(|ty| smallvec![ty]).ok_or_else(|| format!("`{}` does not take {types:?}", op.name()))
            }
            InstData::Load(buffer, index) => {
                self.access(*buffer, index)?;
                Ok(smallvec![self.func.buffers[*buffer].elem])
            }
            InstData::Position(buffer, index) => {
                self.access(*buffer, index)?;
                let placed = self.func.columns.iter().chain(&self.func.rows).any(|listed| listed == buffer);
                let name = &self.func.buffers[*buffer].name;
                if placed {
                    Ok(smallvec![Ty::Int])
                } else {
                    Err(format!("`{name}` gives neither columns nor rows"))
                }
            }
            InstData::Check(buffer, index) => self.access(*buffer, index).map(|()| Types::new()),
            InstData::Accum(buffer, index, value) => {
                self.access(*buffer, index)?;
                let data = &self.func.buffers[*buffer];
                let ty = self.ty(*value)?;
                if !matches!(data.role, Role::Scratch | Role::Output) {
                    return Err(format!("writes the input `{}`", data.name));
                }
                if ty != data.elem || ty == Ty::Bool {
                    return Err(format!("accumulates {ty} into `{}`, which holds {}", data.name, data.elem));
                }
                Ok(Types::new())
            }
            InstData::Reset(buffer, length) => match self.func.buffers.get(*buffer) {
                Some(data) if data.role == Role::Scratch => match length.map(|v| self.ty(v)).transpose()? {
                    None | Some(Ty::Int) => Ok(Types::new()),
                    Some(ty) => Err(format!("resets {ty} entries")),
                },
                Some(data) => Err(format!("resets `{}`, which is no scratch", data.name)),
                None => Err(format!("{buffer} does not exist")),
            },
            InstData::Loop { lo, hi, step, carries, body } => {
                self.run_loop([*lo, *hi], *step, carries, *body)
            }
            InstData::If { cond, then, els } => {
                let (then, els) = (&self.func.regions[*then], &self.func.regions[*els]);
                if self.ty(*cond)? != Ty::Bool {
                    return Err("the condition is no bool".to_owned());
                }
                if !(then.params.is_empty() && els.params.is_empty()) {
                    return Err("a branch has parameters".to_owned());
                }
                let (then, els) = (self.types(&then.yields)?, self.types(&els.yields)?);
                if then != els {
                    return Err(format!("the branches yield {then:?} and {els:?}"));
                }
                Ok(then)
            }
            InstData::Emit(emit) => {
                if let Some(other) = self.sites.insert(emit.site, inst) {
                    let message = format!("has the emission site {} of {other}", emit.site);
                    self.report.inst(inst, message);
                }
                self.emit(emit).map(|()| Types::new())
            }
        }
    }

    fn access(&self, buffer: Buffer, index: &[Value]) -> Result<(), String> {
        let data = self.func.buffers.get(buffer).ok_or_else(|| format!("{buffer} does not exist"))?;
        let (have, want) = (index.len(), data.dims.len());
        if have != want {
            return Err(format!("has {have} subscripts for the {want} dimensions of `{}`", data.name));
        }
        if self.types(index)?.iter().any(|&ty| ty != Ty::Int) {
            return Err(format!("a subscript of `{}` is no int", data.name));
        }
        Ok(())
    }

    fn run_loop(
        &self,
        bounds: [Value; 2],
        step: i64,
        carries: &[Carry],
        body: Region,
    ) -> Result<Types, String> {
        let data = &self.func.regions[body];
        if step <= 0 {
            return Err(format!("has the stride {step}"));
        }
        if self.types(&bounds)?[..] != [Ty::Int, Ty::Int] {
            return Err("a bound is no int".to_owned());
        }
        let (params, yields) = (self.types(&data.params)?, self.types(&data.yields)?);
        if yields.len() != carries.len() {
            return Err(format!("yields {} values to {} carries", yields.len(), carries.len()));
        }
        let mut expected: Types = smallvec![Ty::Int];
        for (carry, &yielded) in carries.iter().zip(&yields) {
            match carry {
                Carry::State(init) if self.ty(*init)? != yielded => {
                    return Err(format!("a state changes its type to {yielded}"));
                }
                Carry::State(_) => expected.push(yielded),
                Carry::Sum | Carry::Prod | Carry::Min | Carry::Max if yielded == Ty::Bool => {
                    return Err("reduces truth values".to_owned());
                }
                Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => {}
            }
        }
        if params != expected {
            return Err(format!("its region takes {params:?} instead of {expected:?}"));
        }
        Ok(yields)
    }

    fn emit(&self, emit: &EmitData) -> Result<(), String> {
        let ints = self.types(&emit.rows)?.into_iter().chain(self.types(&emit.cols)?);
        if ints.into_iter().any(|ty| ty != Ty::Int) {
            return Err("a row or column is no int".to_owned());
        }
        if self.types(&emit.values)?.iter().any(|ty| !ty.is_float()) {
            return Err("emits something that is no float".to_owned());
        }
        let (entries, values) = (emit.entries.len(), emit.values.len());
        if values != 0 && values != entries {
            return Err(format!("emits {values} values at {entries} entries"));
        }
        let (rows, cols) = (emit.rows.len(), emit.cols.len());
        let outside = |&&(a, b): &&(u32, u32)| a as usize >= rows || b as usize >= cols;
        if let Some((a, b)) = emit.entries.iter().find(outside) {
            return Err(format!("the entry ({a}, {b}) is outside the {rows} rows and {cols} columns"));
        }
        if emit.direct
            && (emit.symmetric || !emit.entries.is_sorted_by(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 != b.1)))
        {
            return Err("stores rows directly, but its entries are not listed row by row".to_owned());
        }
        if emit.project.is_some() {
            let whole = (0..rows as u32).flat_map(|a| (a..rows as u32).map(move |b| (a, b)));
            if !emit.symmetric || !emit.entries.iter().copied().eq(whole) {
                return Err("is projected, but is not the whole upper triangle of a block".to_owned());
            }
            if rows > MAX_LOCAL {
                return Err(format!("projects {rows} rows, more than {MAX_LOCAL}"));
            }
        }
        if emit.symmetric {
            if emit.rows != emit.cols || self.func.rows != self.func.columns {
                return Err("is symmetric, but rows and columns differ".to_owned());
            }
            if let Some((a, b)) = emit.entries.iter().find(|(a, b)| a > b) {
                return Err(format!("is symmetric, but has the entry ({a}, {b}) below the diagonal"));
            }
        }
        Ok(())
    }
}
