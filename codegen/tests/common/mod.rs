//! Runs a program in the interpreter and compiled, with a slow prepare of its own, and compares to the bit.
//! Every unsafe block calls compiled code with an environment that [`Memory`] filled in completely.
#![allow(dead_code, unreachable_pub, unsafe_code, clippy::undocumented_unsafe_blocks, clippy::unwrap_used)]
#![allow(clippy::type_complexity, clippy::struct_field_names)]

pub mod mesh;

use spadina_codegen::jit::{JitEval, JitIndex, compile_eval_as, compile_index};
use spadina_codegen::options::Options;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, BufferData, Entries, Func, Plane, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_ir::types::{SizeExpr, Ty};
use spadina_layout::abi::{COUNTED, EnvLayout, ErrorRecord};
use spadina_layout::site::{SiteShape, SlotLayout, SlotMode, SlotWidth};
use std::collections::{BTreeMap, BTreeSet};

/// A buffer declaration.
pub fn buffer(b: &mut Builder, name: &str, elem: Ty, dims: &[SizeExpr], role: Role) -> Buffer {
    b.buffer(BufferData {
        name: name.into(),
        elem,
        dims: dims.to_vec(),
        role,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: None,
        span: (0, 0),
    })
}

/// The words of one array, in the memory format of compiled code.
pub fn words(data: &ArrayData) -> Vec<u64> {
    let bytes: Vec<u8> = match data {
        ArrayData::F64(v) => v.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        ArrayData::F32(v) => v.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        ArrayData::Int(v) => v.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        ArrayData::Bool(v) => v.iter().map(|&x| u8::from(x)).collect(),
    };
    let mut padded = bytes;
    padded.resize(padded.len().next_multiple_of(8).max(8), 0);
    padded.chunks_exact(8).map(|c| u64::from_ne_bytes(c.try_into().unwrap())).collect()
}

/// The elements of an array in the memory format of compiled code.
pub fn elements(memory: &[u64], ty: Ty, len: usize) -> ArrayData {
    let bytes: Vec<u8> = memory.iter().flat_map(|w| w.to_ne_bytes()).collect();
    match ty {
        Ty::F64 => ArrayData::F64(
            bytes.chunks_exact(8).take(len).map(|c| f64::from_ne_bytes(c.try_into().unwrap())).collect(),
        ),
        Ty::F32 => ArrayData::F32(
            bytes.chunks_exact(4).take(len).map(|c| f32::from_ne_bytes(c.try_into().unwrap())).collect(),
        ),
        Ty::Int => ArrayData::Int(
            bytes.chunks_exact(8).take(len).map(|c| i64::from_ne_bytes(c.try_into().unwrap())).collect(),
        ),
        Ty::Bool => ArrayData::Bool(bytes.iter().take(len).map(|&x| x != 0).collect()),
    }
}

/// Equal bits; any NaN equals any NaN.
pub fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Compares two arrays to the bit.
pub fn assert_same(what: &str, a: &ArrayData, b: &ArrayData) {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    let (x, y) = (a.to_f64(), b.to_f64());
    for (n, (&x, &y)) in x.iter().zip(&y).enumerate() {
        assert!(same(x, y), "{what}[{n}]: {x:?} ({:x}) is not {y:?} ({:x})", x.to_bits(), y.to_bits());
    }
}

/// All buffers of a call in memory, and the environment that names them.
pub struct Memory {
    pub layout: EnvLayout,
    pub env: Vec<u64>,
    pub buffers: BTreeMap<Buffer, Vec<u64>>,
    pub lengths: BTreeMap<Buffer, usize>,
    pub error: Box<ErrorRecord>,
}

impl Memory {
    pub fn new(func: &Func, layout: EnvLayout, inputs: &Bindings) -> Memory {
        let mut memory = Memory {
            layout,
            env: vec![0; layout.words()],
            buffers: BTreeMap::new(),
            lengths: BTreeMap::new(),
            error: Box::default(),
        };
        for (n, (size, _)) in func.sizes.iter().enumerate() {
            memory.env[layout.size(n)] = inputs.sizes[&size] as u64;
        }
        for (n, (id, data)) in func.buffers.iter().enumerate() {
            let len: i64 = data.dims.iter().map(|d| d.eval(&|s| inputs.sizes[&s]).unwrap()).product();
            let array = match inputs.arrays.get(&id) {
                Some(array) => array.clone(),
                None => match data.default {
                    Some(x) => ArrayData::scalar(data.elem, x),
                    None => ArrayData::zeros(data.elem, len as usize).unwrap(),
                },
            };
            memory.lengths.insert(id, array.len());
            let array = words(&array);
            memory.buffers.insert(id, array);
            memory.env[layout.buffer(n)] = memory.buffers[&id].as_ptr() as u64;
        }
        memory.env[layout.error()] = (&raw mut *memory.error) as u64;
        memory
    }

    pub fn clear_written(&mut self, func: &Func) {
        for (id, data) in &func.buffers {
            if matches!(data.role, Role::Scratch | Role::Output) {
                self.buffers.get_mut(&id).unwrap().fill(0);
            }
        }
    }

    pub fn array(&self, func: &Func, id: Buffer) -> ArrayData {
        elements(&self.buffers[&id], func.buffers[id].elem, self.lengths[&id])
    }
}

/// Streams of every site, and the first emission of every iteration.
pub struct Streams {
    pub trips: Vec<i64>,
    pub streams: BTreeMap<u32, Vec<u32>>,
    pub firsts: BTreeMap<u32, Vec<u32>>,
}

/// Runs an index program.
pub fn run_index(func: &Func, program: &JitIndex, inputs: &Bindings) -> Result<Streams, ErrorRecord> {
    let mut memory = Memory::new(func, program.summary.env, inputs);
    let env = memory.env.as_ptr();
    let Some(trips) = (unsafe { program.trips(env) }) else { return Err(*memory.error) };
    let mut found = Streams { trips: trips.clone(), streams: BTreeMap::new(), firsts: BTreeMap::new() };
    for (p, phase) in program.summary.info.phases.iter().enumerate() {
        let trip = trips[p] as usize;
        let sites: Vec<_> = phase.sites.iter().chain(&phase.row_sites).collect();
        let mut counts = vec![0u32; trip * sites.len()];
        if program.counts(p)
            && !unsafe { program.count(p, memory.env.as_ptr(), 0, trip as i64, counts.as_mut_ptr()) }
        {
            return Err(*memory.error);
        }
        for (s, site) in sites.iter().enumerate() {
            let mut first = vec![0u32];
            for i in 0..trip {
                let count = site.per_iteration.unwrap_or(counts[s * trip + i]);
                if program.counts(p) {
                    assert_eq!(count, counts[s * trip + i], "counts agree with what is known");
                }
                first.push(first[i] + count);
            }
            let total = first[trip] as usize;
            found.streams.insert(site.site, vec![0; total * site.shape.stream_width() + 1]);
            found.firsts.insert(site.site, first);
            let word = memory.layout.site_data(site.site as usize);
            memory.env[word] = found.streams[&site.site].as_ptr() as u64;
            let word = memory.layout.site_first(site.site as usize);
            memory.env[word] = found.firsts[&site.site].as_ptr() as u64;
            if site.per_iteration.is_some() {
                memory.env[word] = 0;
            }
        }
        // In two halves: ranges must not matter.
        for (begin, end) in [(0, trip / 2), (trip / 2, trip)] {
            if !unsafe { program.index(p, memory.env.as_ptr(), begin as i64, end as i64) } {
                return Err(*memory.error);
            }
        }
    }
    Ok(found)
}

/// The position of a local row or column of an emission.
fn position(blocks: &[spadina_layout::site::Block], bases: &[u32], local: u32) -> u32 {
    let (block, inside) = SiteShape::locate(blocks, local).unwrap();
    bases[block] + inside
}

/// What was prepared.
pub struct Prepared {
    pub row_start: Vec<u32>,
    pub columns: Vec<Vec<u32>>,
    pub records: BTreeMap<u32, Vec<u8>>,
}

/// A slow prepare.
pub fn prepare(
    info: &spadina_layout::program::ProgramInfo,
    found: &Streams,
    rows: usize,
    slots: SlotLayout,
    dropped: &dyn Fn(u32, u32) -> bool,
) -> Prepared {
    let mut pattern: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); rows];
    let each = |visit: &mut dyn FnMut(u32, &SiteShape, &[u32], &[u32])| {
        for phase in &info.phases {
            for site in &phase.sites {
                let width = site.shape.stream_width();
                let emissions = *found.firsts[&site.site].last().unwrap() as usize;
                for e in 0..emissions {
                    let record = &found.streams[&site.site][e * width..(e + 1) * width];
                    let (r, c) = record.split_at(site.shape.row_blocks.len());
                    visit(site.site, &site.shape, r, if site.shape.symmetric { r } else { c });
                }
            }
        }
    };
    each(&mut |_, shape, r, c| {
        for (a, b, _) in shape.expanded() {
            let (row, col) = (position(&shape.row_blocks, r, a), position(&shape.col_blocks, c, b));
            if !(slots.drops && dropped(row, col)) {
                pattern[row as usize].insert(col);
            }
        }
    });
    let columns: Vec<Vec<u32>> = pattern.iter().map(|s| s.iter().copied().collect()).collect();
    let mut row_start = vec![0u32];
    for row in &columns {
        row_start.push(row_start.last().unwrap() + row.len() as u32);
    }
    let mut records: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    each(&mut |site, shape, r, c| {
        let out = records.entry(site).or_default();
        let put = |out: &mut Vec<u8>, offset: u32| match slots.width {
            SlotWidth::U8 => out.push(u8::try_from(offset).unwrap()),
            SlotWidth::U16 => out.extend(u16::try_from(offset).unwrap().to_ne_bytes()),
            SlotWidth::U32 => out.extend(offset.to_ne_bytes()),
        };
        let find = |row: u32, col: u32| columns[row as usize].binary_search(&col).unwrap() as u32;
        match slots.mode_of(shape) {
            SlotMode::Entry => {
                for (a, b, _) in shape.expanded() {
                    let (row, col) = (position(&shape.row_blocks, r, a), position(&shape.col_blocks, c, b));
                    if slots.drops && dropped(row, col) {
                        put(out, slots.width.dropped());
                    } else {
                        put(out, find(row, col));
                    }
                }
            }
            SlotMode::Block => {
                for (&row, rb) in r.iter().zip(&shape.row_blocks) {
                    for &col in c {
                        let offset = find(row, col);
                        for k in 0..rb.width {
                            assert_eq!(find(row + k, col), offset, "the case suits block records");
                        }
                        put(out, offset);
                    }
                }
            }
        }
    });
    Prepared { row_start, columns, records }
}

/// Every combination of slot layouts.
pub fn all_slots() -> Vec<SlotLayout> {
    let mut all = Vec::new();
    for width in [SlotWidth::U8, SlotWidth::U16, SlotWidth::U32] {
        all.push(SlotLayout { mode: SlotMode::Entry, width, drops: false, stores: false });
        all.push(SlotLayout { mode: SlotMode::Block, width, drops: false, stores: false });
        all.push(SlotLayout { mode: SlotMode::Entry, width, drops: true, stores: false });
    }
    all
}

/// Runs `eval` (with the index program `index`) in the interpreter and compiled, for every layout, whole and in pieces by
/// owners; everything must agree to the bit. Sums of rank-0 outputs must agree to `1e-12` with the interpreter (which adds in
/// another order) and to the bit with the sums of single iterations.
pub fn check(eval: &Func, index: &Func, inputs: &Bindings) {
    check_layouts(eval, index, inputs, &all_slots());
}

/// [`check`] for some layouts.
pub fn check_layouts(eval: &Func, index: &Func, inputs: &Bindings, layouts: &[SlotLayout]) {
    let expected = run(eval, inputs).expect("the interpreter takes the program");
    let index_program = compile_index(index, &Options::default()).unwrap();
    let found = run_index(index, &index_program, inputs).unwrap();
    let dims = |b: &Buffer| -> usize {
        eval.buffers[*b].dims.iter().map(|d| d.eval(&|s| inputs.sizes[&s]).unwrap() as usize).product()
    };
    let rows: usize = eval.rows.iter().map(dims).sum();
    for &slots in layouts {
        let options = Options::default();
        let program = compile_eval_as(eval, &index_program.summary.info, slots, &options).unwrap();
        let dropped = |row: u32, col: u32| row % 3 == 1 || col > row;
        let prepared = prepare(&program.summary.info, &found, rows, slots, &dropped);
        let nnz = *prepared.row_start.last().unwrap() as usize;
        let mut memory = Memory::new(eval, program.summary.env, inputs);
        let mut values = vec![0.0f64; nnz];
        let layout = memory.layout;
        memory.env[layout.values()] = values.as_mut_ptr() as u64;
        memory.env[layout.row_start()] = prepared.row_start.as_ptr() as u64;
        for (&site, record) in &prepared.records {
            memory.env[layout.site_data(site as usize)] = record.as_ptr() as u64;
        }
        for (&site, first) in &found.firsts {
            if (site as usize) < layout.sites {
                memory.env[layout.site_first(site as usize)] = first.as_ptr() as u64;
            }
        }
        let trips = unsafe { program.trips(memory.env.as_ptr()) };
        assert_eq!(trips, found.trips, "both programs count alike");
        // Whole phases, in ranges of different lengths.
        let mut single = Vec::new();
        for (p, phase) in program.summary.info.phases.iter().enumerate() {
            let mut begin = 0;
            let mut sums = vec![0.0; phase.sums.len()];
            while begin < trips[p] {
                let end = (begin + 1).min(trips[p]);
                let mut part = vec![f64::NAN; phase.sums.len()];
                unsafe { program.eval(p, memory.env.as_ptr(), begin, end, part.as_mut_ptr()) };
                sums.iter_mut().zip(&part).for_each(|(s, x)| *s += x);
                begin = end;
            }
            single.push(sums);
        }
        let first_values = std::mem::replace(&mut values, vec![0.0; nnz]);
        memory.env[layout.values()] = values.as_mut_ptr() as u64;
        let first_arrays: Vec<ArrayData> =
            eval.buffers_of(Role::Output).map(|b| memory.array(eval, b)).collect();
        memory.clear_written(eval);
        let mut totals = vec![0.0; program.summary.info.scalar_outputs];
        for (p, phase) in program.summary.info.phases.iter().enumerate() {
            let mut sums = vec![f64::NAN; phase.sums.len()];
            unsafe { program.eval(p, memory.env.as_ptr(), 0, trips[p], sums.as_mut_ptr()) };
            for ((&n, &x), &y) in phase.sums.iter().zip(&sums).zip(&single[p]) {
                totals[n as usize] += x;
                assert!(same(x, y), "sum {n} of phase {p}: {x:?} in one go, {y:?} by iterations");
            }
        }
        assert_eq!(
            first_values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            "values do not depend on ranges"
        );
        // The interpreter.
        let mut scalars = totals.iter();
        for (n, b) in eval.buffers_of(Role::Output).enumerate() {
            if eval.buffers[b].dims.is_empty() {
                let (x, y) = (*scalars.next().unwrap(), expected.arrays[&b].to_f64()[0]);
                let close = same(x, y)
                    || (x - y).abs() <= 1e-12 * y.abs().max(1.0)
                    || eval.buffers[b].elem == Ty::F32;
                assert!(close, "output {}: {x:?} is not {y:?}", eval.buffers[b].name);
                continue;
            }
            let name = &eval.buffers[b].name;
            assert_same(name, &memory.array(eval, b), &expected.arrays[&b]);
            assert_same(name, &first_arrays[n], &expected.arrays[&b]);
        }
        let mut matrix: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for &(r, c, x) in &expected.triplets {
            let (r, c) = (r as u32, c as u32);
            if !(slots.drops && dropped(r, c)) {
                *matrix.entry((r, c)).or_insert(0.0) += x;
            }
        }
        let mut entries = matrix.iter();
        for (row, columns) in prepared.columns.iter().enumerate() {
            for (k, &col) in columns.iter().enumerate() {
                let x = values[prepared.row_start[row] as usize + k];
                let (&place, &y) = entries.next().unwrap();
                assert_eq!(place, (row as u32, col), "the pattern is that of the interpreter");
                assert!(same(x, y), "{slots:?} ({row}, {col}): {x:?} is not {y:?}");
            }
        }
        assert!(entries.next().is_none());
        for owners in [1, 3] {
            check_lists(eval, &program, &mut memory, &trips, &values, &single, rows, owners);
        }
    }
}

/// Lists give the same bits: one of all iterations that writes all rows, or several owners, each evaluating every iteration and writing its
/// own rows. Iterations that store complete rows have one owner each.
#[allow(clippy::too_many_arguments)]
fn check_lists(
    eval: &Func,
    program: &JitEval,
    memory: &mut Memory,
    trips: &[i64],
    values: &[f64],
    single: &[Vec<f64>],
    rows: usize,
    owners: u32,
) {
    let layout = memory.layout;
    let whole: Vec<ArrayData> = eval.buffers_of(Role::Output).map(|b| memory.array(eval, b)).collect();
    memory.clear_written(eval);
    let mut mine = vec![0.0; values.len()];
    memory.env[layout.values()] = mine.as_mut_ptr() as u64;
    // Without rows, positions count through the outputs.
    let positions = rows + memory.lengths.values().sum::<usize>();
    let owner: Vec<u8> = (0..positions).map(|r| (r * 7 % 5 % 3) as u8).collect();
    memory.env[layout.owner()] = owner.as_ptr() as u64;
    for (p, phase) in program.summary.info.phases.iter().enumerate() {
        if phase.serial || phase.stores_rows() {
            let mut sums = vec![0.0; phase.sums.len()];
            unsafe { program.eval(p, memory.env.as_ptr(), 0, trips[p], sums.as_mut_ptr()) };
            continue;
        }
        let trip = trips[p] as usize;
        let mut element_sums = vec![f64::NAN; trip * phase.sums.len() + 1];
        memory.env[layout.element_sums()] = element_sums.as_mut_ptr() as u64;
        for me in 0..owners {
            memory.env[layout.me()] = u64::from(me);
            let listed: Vec<u32> =
                (0..trip as u32).map(|i| if i % owners == me { i | COUNTED } else { i }).collect();
            let (env, list, count) = (memory.env.as_ptr(), listed.as_ptr(), listed.len() as i64);
            let run = match owners {
                1 => unsafe { program.eval_listed(p, env, list, count) },
                _ => unsafe { program.eval_owned(p, env, list, count) },
            };
            assert!(run);
        }
        for (n, &sum) in single[p].iter().enumerate() {
            let mut total = 0.0;
            element_sums[n * trip..(n + 1) * trip].iter().for_each(|x| total += x);
            assert!(same(total, sum), "sums of iterations: {total:?} is not {sum:?}");
        }
    }
    for (x, y) in mine.iter().zip(values) {
        assert!(same(*x, *y), "owners give other values: {x:?} is not {y:?}");
    }
    for (b, before) in eval.buffers_of(Role::Output).zip(&whole) {
        assert_same(&eval.buffers[b].name, &memory.array(eval, b), before);
    }
}
