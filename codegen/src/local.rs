//! Which scratch arrays belong to one iteration: they live on the stack of the function, so that threads do not share them.
//!
//! An array is *local* when its size is literal and some region clears it before anything else in that region touches it, and all its
//! accesses stand in that region. Then nothing is ever read that the same run of the region has not written.

use crate::program::literal_product;
use spadina_ir::func::{Buffer, Func, InstData, Region, Role};
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of the stack that the local arrays of a function may take; what does not fit is shared.
pub(crate) const MOST_BYTES: i64 = 192 * 1024;

/// The local scratch arrays of a function.
pub(crate) fn local_scratch(func: &Func) -> BTreeSet<Buffer> {
    if func.buffers_of(Role::Scratch).next().is_none() {
        return BTreeSet::new();
    }
    let mut accesses: BTreeMap<Buffer, usize> = BTreeMap::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let Some(buffer) = touched(&func.insts[inst]) {
            *accesses.entry(buffer).or_default() += 1;
        }
    });
    let mut local = BTreeSet::new();
    let mut bytes = 0;
    find(func, func.body, &accesses, &mut |buffer| {
        let data = &func.buffers[buffer];
        let size = literal_product(&data.dims).and_then(|n| n.checked_mul(data.elem.bytes() as i64));
        if let Some(size) = size.filter(|&size| (0..=MOST_BYTES - bytes).contains(&size))
            && data.role == Role::Scratch
        {
            bytes += size;
            local.insert(buffer);
        }
    });
    local
}

fn touched(data: &InstData) -> Option<Buffer> {
    match data {
        InstData::Load(buffer, _) | InstData::Accum(buffer, ..) | InstData::Reset(buffer, _) => Some(*buffer),
        _ => None,
    }
}

/// Reports the buffers that a region (or one inside) clears first and that nothing outside of it touches; returns how often the region
/// touches each buffer.
fn find(
    func: &Func,
    region: Region,
    all: &BTreeMap<Buffer, usize>,
    report: &mut dyn FnMut(Buffer),
) -> BTreeMap<Buffer, usize> {
    let mut here: BTreeMap<Buffer, usize> = BTreeMap::new();
    let mut cleared = BTreeSet::new();
    for &inst in &func.regions[region].insts {
        let data = &func.insts[inst];
        if let Some(buffer) = touched(data) {
            if matches!(data, InstData::Reset(..)) && !here.contains_key(&buffer) {
                cleared.insert(buffer);
            }
            *here.entry(buffer).or_default() += 1;
        }
        for nested in data.regions() {
            for (buffer, count) in find(func, nested, all, report) {
                *here.entry(buffer).or_default() += count;
            }
        }
    }
    for buffer in cleared {
        // The body of the function runs once: what it clears may be large, and phases share it.
        if region != func.body && here.get(&buffer) == all.get(&buffer) {
            report(buffer);
        }
    }
    here
}

#[cfg(test)]
mod tests {
    use super::local_scratch;
    use spadina_ir::text::parse;

    #[test]
    fn only_what_its_own_iteration_clears_first() {
        let func = parse(
            "func @f(size N) {\n  buffer x: var f64[N]\n  buffer mine: scratch f64[4]\n  buffer shared: scratch f64[4]\n  \
             buffer long: scratch f64[N]\n  buffer late: scratch f64[4]\n  buffer out: output f64\n  columns x\n\n  \
             for %i in 0 .. N {\n    reset mine\n    reset shared\n    reset long\n    %0 = load x[%i]\n    \
             accum mine[0] += %0\n    accum shared[0] += %0\n    accum long[%i] += %0\n    accum late[1] += %0\n    \
             %1 = load mine[0]\n    %2 = load long[%i]\n    %3 = mul %1, %2\n    accum out += %3\n  }\n  \
             %4 = load shared[0]\n  %5 = load late[1]\n  %6 = mul %4, %5\n  accum out += %6\n}\n",
        )
        .expect("the text is legal");
        let names: Vec<&str> = local_scratch(&func).iter().map(|&b| func.buffers[b].name.as_str()).collect();
        assert_eq!(names, ["mine"]);
    }
}
