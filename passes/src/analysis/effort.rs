//! What one evaluation of a program costs, counted: the work of its loops, as often as they run.
//!
//! Two programs that compute the same are compared by it before either is run: a matrix by structure against products with
//! directions. The unit is that of `sparse/work`, where an addition weighs 2. Bounds that are expressions of sizes are known here; where
//! data decide, a loop counts as a short ring.

use crate::analysis::range::as_size;
use crate::sparse::work::{RING, SLOT, weight};
use spadina_ir::func::{Buffer, EmitData, Func, Inst, InstData, Region, Value};

/// A value loaded, an entry stored where its place is known.
const ACCESS: u64 = 1;
/// An addition to an array in memory.
const ADDED: u64 = 3;
/// What an iteration costs beside its body.
const ITERATION: u64 = 2;
/// Directions that one instruction serves.
const LANES: u64 = 2;

/// What a program is run with.
pub struct Setting<'a> {
    /// Values of the sizes.
    pub sizes: &'a [i64],
    /// Directions in a call, where there are several.
    pub directions: Option<Directions<'a>>,
}

/// Directions in a call.
#[derive(Clone, Copy)]
pub struct Directions<'a> {
    /// How many.
    pub count: usize,
    /// Whether a value is one number for each.
    pub varies: &'a dyn Fn(Value) -> bool,
    /// Whether an array holds one number for each in place of an element.
    pub holds: &'a dyn Fn(Buffer) -> bool,
}

/// The work of one evaluation.
pub fn of(func: &Func, setting: &Setting<'_>) -> u64 {
    setting.region(func, func.body)
}

impl Setting<'_> {
    fn region(&self, func: &Func, region: Region) -> u64 {
        let insts = func.regions[region].insts.iter();
        insts.map(|&inst| self.inst(func, inst)).fold(0, u64::saturating_add)
    }

    fn inst(&self, func: &Func, inst: Inst) -> u64 {
        match &func.insts[inst] {
            InstData::Op(op, _) => {
                self.several(weight(*op), func.results[inst].iter().any(|&v| self.varies(v)))
            }
            InstData::Load(buffer, _) => self.several(ACCESS, self.holds(*buffer)),
            InstData::Accum(buffer, ..) => self.several(ADDED, self.holds(*buffer)),
            InstData::Reset(buffer, _) => {
                let length = func.buffers[*buffer]
                    .dims
                    .iter()
                    .try_fold(1_i64, |n, dim| n.checked_mul(dim.eval(&|size| self.size(size.as_u32()))?));
                self.several(length.map_or(RING, |n| n.unsigned_abs() / 2), self.holds(*buffer))
            }
            InstData::Emit(emit) => emission(emit),
            InstData::Loop { lo, hi, step, body, .. } => {
                let once = self.region(func, *body).saturating_add(ITERATION);
                once.saturating_mul(self.trips(func, *lo, *hi, *step))
            }
            InstData::If { then, els, .. } => self.region(func, *then).max(self.region(func, *els)),
            InstData::Const(_) | InstData::Size(_) | InstData::Position(..) | InstData::Check(..) => 0,
        }
    }

    fn trips(&self, func: &Func, lo: Value, hi: Value, step: i64) -> u64 {
        let value = |v| as_size(func, v)?.eval(&|size| self.size(size.as_u32()));
        match (value(lo), value(hi)) {
            (Some(lo), Some(hi)) if hi > lo => (lo.abs_diff(hi) - 1) / step.unsigned_abs().max(1) + 1,
            (Some(_), Some(_)) => 0,
            _ => RING,
        }
    }

    fn size(&self, n: u32) -> i64 {
        self.sizes.get(n as usize).copied().unwrap_or(0)
    }

    fn varies(&self, value: Value) -> bool {
        self.directions.is_some_and(|directions| (directions.varies)(value))
    }

    fn holds(&self, buffer: Buffer) -> bool {
        self.directions.is_some_and(|directions| (directions.holds)(buffer))
    }

    /// The work for all directions.
    fn several(&self, work: u64, varies: bool) -> u64 {
        match self.directions {
            Some(directions) if varies => work.saturating_mul((directions.count as u64).div_ceil(LANES)),
            _ => work,
        }
    }
}

fn emission(emit: &EmitData) -> u64 {
    let mirrored = emit.entries.iter().filter(|(a, b)| emit.symmetric && a != b).count();
    let each = if emit.direct { ACCESS } else { SLOT };
    each * (emit.entries.len() + mirrored) as u64
}
