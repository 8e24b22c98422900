//! Checks that arrays are finished before they are read.
//!
//! Method: for each written buffer, a region is summed up by three bits (see [`Summary`]), from the inside out. A loop
//! is its region followed by itself.

use super::Report;
use crate::func::{Buffer, Func, Inst, InstData, Region, Role, Value, ValueDef};
use crate::op::Op;
use crate::walk::visit_insts;
use std::collections::BTreeMap;

/// What running something does to one buffer.
#[derive(Clone, Copy, Default)]
struct Summary {
    /// Some accumulation may come before every reset.
    accumulates: Option<Inst>,
    /// Some load may come after every reset.
    loads: bool,
    /// It is certainly reset.
    resets: bool,
}

pub(super) fn check(report: &mut Report<'_>) {
    let mut found = Vec::new();
    summarize(report.func, report.func.body, &mut found);
    for (inst, buffer, message) in found {
        let name = &report.func.buffers[buffer].name;
        report.inst(inst, message.replace("{}", name));
    }
}

type Found = Vec<(Inst, Buffer, &'static str)>;

fn summarize(func: &Func, region: Region, found: &mut Found) -> BTreeMap<Buffer, Summary> {
    let mut total: BTreeMap<Buffer, Summary> = BTreeMap::new();
    for &inst in &func.regions[region].insts {
        for (buffer, step) in summarize_inst(func, inst, found) {
            let so_far = total.entry(buffer).or_default();
            if let (true, Some(accum)) = (so_far.loads, step.accumulates) {
                found.push((accum, buffer, "accumulates into `{}` after it was loaded"));
            }
            if !so_far.resets && so_far.accumulates.is_none() {
                so_far.accumulates = step.accumulates;
            }
            so_far.loads = step.loads || (so_far.loads && !step.resets);
            so_far.resets |= step.resets;
        }
    }
    total
}

fn summarize_inst(func: &Func, inst: Inst, found: &mut Found) -> BTreeMap<Buffer, Summary> {
    let one = |buffer: Buffer, summary: Summary| match func.buffers[buffer].role {
        Role::Scratch | Role::Output => BTreeMap::from([(buffer, summary)]),
        Role::Var | Role::Data | Role::Structural => BTreeMap::new(),
    };
    match &func.insts[inst] {
        InstData::Load(buffer, _) => one(*buffer, Summary { loads: true, ..Summary::default() }),
        InstData::Accum(buffer, ..) => {
            one(*buffer, Summary { accumulates: Some(inst), ..Summary::default() })
        }
        InstData::Reset(buffer, _) => one(*buffer, Summary { resets: true, ..Summary::default() }),
        InstData::Loop { body, .. } => {
            let mut summaries = summarize(func, *body, found);
            for (&buffer, summary) in &mut summaries {
                if let (true, Some(accum)) = (summary.loads, summary.accumulates)
                    && !iterations_are_apart(func, *body, buffer)
                {
                    found.push((accum, buffer, "accumulates into `{}`, which an earlier iteration loaded"));
                }
                summary.resets = false; // The loop may be empty.
            }
            summaries
        }
        InstData::If { then, els, .. } => {
            let (mut then, els) = (summarize(func, *then, found), summarize(func, *els, found));
            for summary in then.iter_mut().filter(|(buffer, _)| !els.contains_key(buffer)) {
                summary.1.resets = false;
            }
            for (buffer, other) in els {
                let summary = then.entry(buffer).or_default();
                summary.accumulates = summary.accumulates.or(other.accumulates);
                summary.loads |= other.loads;
                summary.resets &= other.resets;
            }
            then
        }
        InstData::Const(_)
        | InstData::Size(_)
        | InstData::Op(..)
        | InstData::Position(..)
        | InstData::Check(..)
        | InstData::Emit(_) => BTreeMap::new(),
    }
}

/// True where two iterations never touch the same element: on some axis, every access has one and the same subscript,
/// and that subscript is another in each iteration.
fn iterations_are_apart(func: &Func, body: Region, buffer: Buffer) -> bool {
    let Some(&iv) = func.regions[body].params.first() else { return false };
    let mut inside = Vec::new();
    let mut accesses: Vec<&[Value]> = Vec::new();
    visit_insts(func, body, &mut |_, inst| {
        inside.push(inst);
        match &func.insts[inst] {
            InstData::Load(b, index) | InstData::Accum(b, index, _) if *b == buffer => accesses.push(index),
            _ => {}
        }
    });
    let invariant = |value: Value| match func.values[value].def {
        ValueDef::Result(inst, _) => {
            !inside.contains(&inst) || matches!(func.insts[inst], InstData::Const(_) | InstData::Size(_))
        }
        // A parameter of the loop itself or of one inside changes; the others do not.
        ValueDef::Param(region, _) => {
            region != body && !inside.iter().any(|&i| func.insts[i].regions().contains(&region))
        }
    };
    let moves = |value: Value| match func.def(value) {
        _ if value == iv => true,
        Some(InstData::Op(Op::IntAdd | Op::IntSub, args)) => {
            args.contains(&iv)
                && args.iter().filter(|&&arg| arg != iv).all(|&arg| invariant(arg))
                && args[0] != args[1]
        }
        _ => false,
    };
    let Some(first) = accesses.first() else { return true };
    (0..first.len()).any(|axis| moves(first[axis]) && accesses.iter().all(|index| index[axis] == first[axis]))
}
