//! Programs written by hand in Rust that stand in for compiled code, and the dense sums they are compared with.
//!
//! This is the one place of the crate's tests that follows addresses: it plays the part of machine code.
#![allow(unsafe_code, reason = "plays the part of machine code")]
#![allow(unreachable_pub, clippy::unwrap_used, reason = "helpers shared by test files")]
#![allow(dead_code, reason = "every test file uses its own part")]

use spadina_layout::abi::{COUNTED, EnvLayout, ErrorRecord};
use spadina_layout::env::Env;
use spadina_layout::filter::Triangle;
use spadina_layout::program::{PhaseInfo, ProgramInfo, SiteInfo};
use spadina_layout::site::{Block, SiteShape, SlotLayout, SlotMode, SlotWidth};
use spadina_runtime::array::{Array, ArrayMut, Element};
use spadina_runtime::buffer::{BufferSpec, BufferUse};
use spadina_runtime::error::RuntimeError;
use spadina_runtime::evaluate::{Call, evaluate};
use spadina_runtime::options::{FixedRule, PrepareOptions};
use spadina_runtime::plan::Plan;
use spadina_runtime::prepare::{Inputs, prepare, rebind};
use spadina_runtime::program::{EvalProgram, IndexProgram};
use spadina_runtime::team::Team;
use spadina_runtime::workspace::Workspace;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// One emission: base positions as in the stream, values as in the shape.
#[derive(Clone, Debug, Default)]
pub struct Emission {
    pub bases: Vec<u32>,
    pub values: Vec<f64>,
}

/// What one iteration does.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// By site of the phase: matrix sites, then row sites (whose values are added to the gradient).
    pub emissions: Vec<Vec<Emission>>,
    /// By rank-0 output of the phase.
    pub sums: Vec<f64>,
    /// Added to scratch.
    pub scratch: Vec<(usize, f64)>,
}

type Body = Box<dyn Fn(usize, &[f64], &[f64]) -> Work + Sync>;

/// A phase: its iterations see the unknowns and the scratch array.
pub struct Phase {
    pub trip: usize,
    pub info: PhaseInfo,
    pub body: Body,
}

/// A program over unknowns `x`, with a gradient, one scratch array, and any number of rank-0 outputs.
pub struct Program {
    pub phases: Vec<Phase>,
    pub info: ProgramInfo,
    pub rows: usize,
    pub cols: usize,
    pub square: bool,
    pub scratch: usize,
    blank: Vec<f64>,
}

pub const X: usize = 0;
pub const GRADIENT: usize = 1;
pub const SCRATCH: usize = 2;

pub fn shape(row_widths: &[u32], col_widths: Option<&[u32]>, entries: Option<Vec<(u32, u32)>>) -> SiteShape {
    let blocks = |widths: &[u32]| {
        let mut start = 0;
        let made = widths.iter().map(|&width| {
            start += width;
            Block { start: start - width, width }
        });
        made.collect::<Vec<Block>>()
    };
    let symmetric = col_widths.is_none();
    let cols = col_widths.unwrap_or(row_widths);
    let (m, n) = (row_widths.iter().sum::<u32>(), cols.iter().sum::<u32>());
    let all = || (0..m).flat_map(|a| (0..n).map(move |b| (a, b))).filter(|&(a, b)| !symmetric || a <= b);
    SiteShape {
        row_blocks: blocks(row_widths),
        col_blocks: blocks(cols),
        entries: entries.unwrap_or_else(|| all().collect()),
        symmetric,
    }
}

/// The shape of a site that only names rows.
pub fn row_shape(widths: &[u32]) -> SiteShape {
    shape(widths, Some(&[]), Some(Vec::new()))
}

impl Program {
    /// Numbers the sites (matrix sites first).
    pub fn new(mut phases: Vec<Phase>, rows: usize, cols: usize, square: bool) -> Program {
        let mut next = 0;
        for phase in &mut phases {
            for site in &mut phase.info.sites {
                site.site = next;
                next += 1;
            }
        }
        for phase in &mut phases {
            for site in &mut phase.info.row_sites {
                site.site = next;
                next += 1;
            }
        }
        let scalar_outputs = phases.iter().flat_map(|p| &p.info.sums).max().map_or(0, |&s| s as usize + 1);
        let infos = phases.iter().map(|p| p.info.clone()).collect();
        let info = ProgramInfo {
            phases: infos,
            scalar_outputs,
            sites: next as usize,
            stored: Vec::new(),
            filled: Vec::new(),
            may_store: false,
        };
        let blank = vec![0.5; rows.max(cols)];
        Program { phases, info, rows, cols, square, scratch: rows, blank }
    }

    pub fn buffers(&self) -> Vec<BufferSpec> {
        let spec = |name: &str, n: usize, usage| BufferSpec {
            name: name.into(),
            element: Element::F64,
            dims: vec![n as i64],
            usage,
        };
        vec![
            spec("x", self.cols, BufferUse::Data),
            spec("gradient", self.rows, BufferUse::Output),
            spec("scratch", self.scratch, BufferUse::Scratch),
        ]
    }

    pub fn inputs(&self) -> Inputs<'static> {
        Inputs {
            sizes: &[],
            buffers: self.buffers(),
            arrays: &[],
            rows: self.rows,
            cols: self.cols,
            square: self.square,
        }
    }

    pub fn prepare(&self, options: &PrepareOptions) -> Result<Plan, RuntimeError> {
        prepare(self, self.inputs(), options, Team::default())
    }

    /// Gradient, scalars and matrix values on so many threads.
    pub fn evaluate(&self, plan: &Plan, threads: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut workspace = Workspace::new(plan, self, threads).unwrap();
        let code = Compiled { program: self, layout: plan.slot_layout() };
        let mut gradient = vec![f64::NAN; self.rows];
        let mut scalars = vec![f64::NAN; self.info.scalar_outputs];
        let mut values = vec![f64::NAN; plan.pattern().nnz()];
        for _ in 0..2 {
            let call = Call {
                data: &[(X, Array::F64(x))],
                outputs: &mut [(GRADIENT, ArrayMut::F64(&mut gradient))],
                scalars: &mut scalars,
                values: &mut values,
                pool: None,
            };
            evaluate(plan, &code, &mut workspace, call).unwrap();
        }
        (gradient, scalars, values)
    }

    fn data(&self, env: &Env) -> (&[f64], &[f64]) {
        let at = |n| env.get(env.layout().buffer(n)) as usize;
        // SAFETY: the runtime put in the addresses of arrays of these lengths.
        unsafe {
            (
                std::slice::from_raw_parts(std::ptr::with_exposed_provenance(at(X)), self.cols),
                std::slice::from_raw_parts(std::ptr::with_exposed_provenance(at(SCRATCH)), self.scratch),
            )
        }
    }

    fn sites(&self, phase: usize) -> impl Iterator<Item = &SiteInfo> {
        let info = &self.phases[phase].info;
        info.sites.iter().chain(&info.row_sites)
    }

    /// Structure only: must not depend on the unknowns.
    fn structure(&self, phase: usize, iteration: usize) -> Work {
        (self.phases[phase].body)(iteration, &self.blank[..self.cols], &self.blank[..self.scratch])
    }
}

fn first_emission(env: &Env, site: &SiteInfo, iteration: usize) -> usize {
    match (site.per_iteration, env.get(env.layout().site_first(site.site as usize)) as usize) {
        (Some(count), _) => iteration * count as usize,
        (None, 0) => panic!("no first emissions"),
        // SAFETY: the runtime put in the address of `trip + 1` numbers.
        (None, at) => unsafe { *std::ptr::with_exposed_provenance::<u32>(at).add(iteration) as usize },
    }
}

impl IndexProgram for Program {
    fn info(&self) -> &ProgramInfo {
        &self.info
    }

    fn env_layout(&self) -> EnvLayout {
        EnvLayout { sizes: 0, buffers: 3, sites: self.info.sites }
    }

    fn trips(&self, _env: &Env, trips: &mut [i64]) {
        for (trip, phase) in trips.iter_mut().zip(&self.phases) {
            *trip = phase.trip as i64;
        }
    }

    fn count(&self, phase: usize, _env: &Env, range: Range<i64>, counts: &mut [u32]) -> bool {
        let len = (range.end - range.start) as usize;
        for (k, i) in range.enumerate() {
            for (s, list) in self.structure(phase, i as usize).emissions.iter().enumerate() {
                counts[s * len + k] = list.len() as u32;
            }
        }
        true
    }

    fn index(&self, phase: usize, env: &Env, range: Range<i64>) -> bool {
        for i in range {
            let work = self.structure(phase, i as usize);
            for (site, list) in self.sites(phase).zip(&work.emissions) {
                let width = site.shape.stream_width();
                let start = first_emission(env, site, i as usize) * width;
                let stream = env.get(env.layout().site_data(site.site as usize)) as usize;
                for (k, &base) in list.iter().flat_map(|e| &e.bases).enumerate() {
                    let limit = if k % width < site.shape.row_blocks.len() { self.rows } else { self.cols };
                    if base as usize >= limit {
                        let record = ErrorRecord {
                            buffer: 0,
                            axis: 0,
                            index: base.into(),
                            bound: limit as i64,
                            ..ErrorRecord::default()
                        };
                        let at = env.get(env.layout().error()) as usize;
                        // SAFETY: the runtime put in the address of a record.
                        unsafe { *std::ptr::with_exposed_provenance_mut(at) = record };
                        return false;
                    }
                    // SAFETY: the stream has room for all emissions that were counted.
                    unsafe { *std::ptr::with_exposed_provenance_mut::<u32>(stream).add(start + k) = base };
                }
            }
        }
        true
    }
}

/// "Evaluation code" for one slot layout.
pub struct Compiled<'a> {
    pub program: &'a Program,
    pub layout: SlotLayout,
}

impl Compiled<'_> {
    fn owned(env: &Env, row: usize, filter: bool) -> bool {
        let at = env.get(env.layout().owner()) as usize;
        // SAFETY: the runtime put in the address of one owner per row.
        !filter
            || unsafe { u64::from(*std::ptr::with_exposed_provenance::<u8>(at).add(row)) }
                == env.get(env.layout().me())
    }

    fn slot(&self, env: &Env, site: u32, at: usize) -> Option<usize> {
        let base = env.get(env.layout().site_data(site as usize)) as usize;
        // SAFETY: the runtime put in the address of the records, of the width that the layout says.
        let offset = unsafe {
            match self.layout.width {
                SlotWidth::U8 => u32::from(*std::ptr::with_exposed_provenance::<u8>(base).add(at)),
                SlotWidth::U16 => u32::from(*std::ptr::with_exposed_provenance::<u16>(base).add(at)),
                SlotWidth::U32 => *std::ptr::with_exposed_provenance::<u32>(base).add(at),
            }
        };
        (!self.layout.drops || offset != self.layout.width.dropped()).then_some(offset as usize)
    }

    fn add(address: u64, at: usize, value: f64) {
        // SAFETY: the runtime put in the address of the array; rows of other owners are not touched.
        unsafe { *std::ptr::with_exposed_provenance_mut::<f64>(address as usize).add(at) += value };
    }

    fn iteration(&self, phase: usize, env: &Env, i: usize, filter: bool) -> Vec<f64> {
        let (x, scratch) = self.program.data(env);
        let work = (self.program.phases[phase].body)(i, x, scratch);
        for (at, value) in work.scratch {
            Self::add(env.get(env.layout().buffer(SCRATCH)), at, value);
        }
        let matrix_sites = self.program.phases[phase].info.sites.len();
        let row_start = env.get(env.layout().row_start()) as usize;
        for (s, (site, list)) in self.program.sites(phase).zip(&work.emissions).enumerate() {
            let shape = &site.shape;
            if s >= matrix_sites {
                for emission in list {
                    let rows =
                        emission.bases.iter().zip(&shape.row_blocks).flat_map(|(&b, k)| b..b + k.width);
                    for (row, &value) in rows.zip(&emission.values) {
                        if Self::owned(env, row as usize, filter) {
                            Self::add(env.get(env.layout().buffer(GRADIENT)), row as usize, value);
                        }
                    }
                }
                continue;
            }
            let first = first_emission(env, site, i);
            for (e, emission) in list.iter().enumerate() {
                let record = (first + e) * self.layout.record_len(shape);
                let block_mode = self.layout.mode_of(shape) == SlotMode::Block;
                for (place, (a, b, k)) in shape.expanded().into_iter().enumerate() {
                    let (ra, r) = SiteShape::locate(&shape.row_blocks, a).unwrap();
                    let (cb, c) = SiteShape::locate(&shape.col_blocks, b).unwrap();
                    let row = (emission.bases[ra] + r) as usize;
                    if !Self::owned(env, row, filter) {
                        continue;
                    }
                    let (at, shift) =
                        if block_mode { (ra * shape.col_blocks.len() + cb, c as usize) } else { (place, 0) };
                    let Some(offset) = self.slot(env, site.site, record + at) else { continue };
                    // SAFETY: the runtime put in the address of one start per row position.
                    let start = unsafe { *std::ptr::with_exposed_provenance::<u32>(row_start).add(row) };
                    Self::add(
                        env.get(env.layout().values()),
                        start as usize + offset + shift,
                        emission.values[k],
                    );
                }
            }
        }
        work.sums
    }
}

impl EvalProgram for Compiled<'_> {
    fn slot_layout(&self) -> SlotLayout {
        self.layout
    }

    fn eval(&self, phase: usize, env: &Env, range: Range<i64>, sums: &mut [f64]) {
        sums.fill(0.0);
        for i in range {
            let here = self.iteration(phase, env, i as usize, false);
            sums.iter_mut().zip(here).for_each(|(sum, x)| *sum += x);
        }
    }

    fn eval_owned(&self, phase: usize, env: &Env, elements: &[u32]) {
        let trip = self.program.phases[phase].trip;
        for &element in elements {
            let i = (element & !COUNTED) as usize;
            let sums = self.iteration(phase, env, i, true);
            if element & COUNTED != 0 {
                let at = env.get(env.layout().element_sums()) as usize;
                for (k, sum) in sums.into_iter().enumerate() {
                    // SAFETY: the runtime put in the address of one row of `trip` per sum.
                    unsafe { *std::ptr::with_exposed_provenance_mut::<f64>(at).add(k * trip + i) = sum };
                }
            }
        }
    }
}

/// What the dense sums say: gradient, sums per output (in order), entries by `(row, column)` in final numbers.
pub struct Dense {
    pub gradient: Vec<f64>,
    pub scalars: Vec<f64>,
    pub entries: BTreeMap<(usize, usize), f64>,
    pub rows: usize,
    pub cols: usize,
}

pub fn dense(program: &Program, options: &PrepareOptions, x: &[f64]) -> Dense {
    let number = |positions: usize, order: &Option<Vec<u32>>, fixed: &[bool]| {
        let mut list: Vec<u32> = (0..positions as u32).collect();
        if let Some(order) = order {
            list.sort_by_key(|&p| order[p as usize]);
        }
        let keep = options.fixed_rule == FixedRule::Identity;
        let kept: Vec<u32> = list.into_iter().filter(|p| keep || !fixed[*p as usize]).collect();
        let map: BTreeMap<u32, usize> = kept.iter().enumerate().map(|(k, &p)| (p, k)).collect();
        (map, kept.len())
    };
    let mask = |n: usize, on: bool| -> Vec<bool> {
        (0..n as u32).map(|p| on && options.fixed.contains(&p)).collect()
    };
    let (row_fixed, col_fixed) = (mask(program.rows, program.square), mask(program.cols, true));
    let (row_map, rows) = number(program.rows, &options.row_order, &row_fixed);
    let (col_map, cols) = number(program.cols, &options.col_order, &col_fixed);
    let mut result = Dense {
        gradient: vec![0.0; program.rows],
        scalars: vec![0.0; program.info.scalar_outputs],
        entries: BTreeMap::new(),
        rows,
        cols,
    };
    let mut scratch = vec![0.0; program.scratch];
    for phase in &program.phases {
        for i in 0..phase.trip {
            let work = (phase.body)(i, x, &scratch);
            for (at, value) in work.scratch {
                scratch[at] += value;
            }
            for (&output, sum) in phase.info.sums.iter().zip(&work.sums) {
                result.scalars[output as usize] += sum;
            }
            let (matrix, rows_only) = work.emissions.split_at(phase.info.sites.len());
            for (site, list) in phase.info.row_sites.iter().zip(rows_only) {
                for emission in list {
                    let rows =
                        emission.bases.iter().zip(&site.shape.row_blocks).flat_map(|(&b, k)| b..b + k.width);
                    for (row, value) in rows.zip(&emission.values) {
                        result.gradient[row as usize] += value;
                    }
                }
            }
            for (site, list) in phase.info.sites.iter().zip(matrix) {
                let col_base = if site.shape.symmetric { 0 } else { site.shape.row_blocks.len() };
                for emission in list {
                    for (a, b, k) in site.shape.expanded() {
                        let (ra, r) = SiteShape::locate(&site.shape.row_blocks, a).unwrap();
                        let (cb, c) = SiteShape::locate(&site.shape.col_blocks, b).unwrap();
                        let (row, col) = (emission.bases[ra] + r, emission.bases[col_base + cb] + c);
                        if row_fixed[row as usize] || col_fixed[col as usize] {
                            continue;
                        }
                        let (row, col) = (row_map[&row], col_map[&col]);
                        let kept = match options.triangle {
                            Triangle::Full => true,
                            Triangle::Lower => col <= row,
                            Triangle::Upper => col >= row,
                        };
                        if kept {
                            *result.entries.entry((row, col)).or_default() += emission.values[k];
                        }
                    }
                }
            }
        }
    }
    if options.fixed_rule == FixedRule::Identity {
        for position in &options.fixed {
            result.entries.insert((row_map[position], col_map[position]), 1.0);
        }
    }
    result
}

/// Relative error of sums that are added in another order.
pub const SUM_TOLERANCE: f64 = 1e-12;

/// Prepares, evaluates on several numbers of threads, and compares with the dense sums, entry by entry and bit by bit (sums,
/// whose order differs, up to rounding). Returns the plan.
pub fn check(program: &Program, options: &PrepareOptions) -> Plan {
    let x: Vec<f64> = (0..program.cols).map(|i| (i as f64 * 0.7).sin()).collect();
    let want = dense(program, options, &x);
    let plan = program.prepare(options).unwrap();
    let pattern = plan.pattern();
    assert_eq!((pattern.rows(), pattern.cols()), (want.rows, want.cols));
    let stored: Vec<(usize, usize)> = (0..pattern.rows())
        .flat_map(|row| pattern.row(row).iter().map(move |&col| (row, col as usize)))
        .collect();
    assert_eq!(stored, want.entries.keys().copied().collect::<Vec<_>>());
    let mut bits: Option<Vec<u64>> = None;
    for threads in [1, 2, 3, 8] {
        let (gradient, scalars, values) = program.evaluate(&plan, threads, &x);
        assert_eq!(gradient, want.gradient, "{threads} threads");
        let dense_values: Vec<f64> = want.entries.values().copied().collect();
        assert_eq!(values, dense_values, "{threads} threads");
        for (got, want) in scalars.iter().zip(&want.scalars) {
            assert!((got - want).abs() <= SUM_TOLERANCE * want.abs().max(1.0), "{got} {want}");
        }
        let all = gradient.iter().chain(&scalars).chain(&values).map(|v| v.to_bits()).collect::<Vec<u64>>();
        assert_eq!(*bits.get_or_insert(all.clone()), all, "{threads} threads");
    }
    again(program, options, plan)
}

/// Teams of all sizes prepare the same plan; preparing again keeps what has not changed. Gives the plan back.
fn again(program: &Program, options: &PrepareOptions, plan: Plan) -> Plan {
    let words = plan.to_words();
    for members in [2, 3, 8] {
        let made = prepare(program, program.inputs(), options, Team::new(members, None)).unwrap();
        assert_eq!(made.to_words(), words, "a team of {members}");
        assert_eq!(made.sites(), plan.sites(), "a team of {members}");
    }
    let plan = Arc::new(plan);
    let team = Team::new(2, None);
    let same = rebind(&plan, program, program.inputs(), options, team).unwrap();
    assert!(Arc::ptr_eq(&same, &plan));
    drop(same);
    let others = PrepareOptions { entry_slots: !options.entry_slots, ..options.clone() };
    let other = rebind(&plan, program, program.inputs(), &others, team).unwrap();
    assert!(!Arc::ptr_eq(&other, &plan) && Arc::ptr_eq(other.pattern(), plan.pattern()));
    assert_eq!(other.to_words(), program.prepare(&others).unwrap().to_words());
    let fresh = rebind(&other, program, program.inputs(), options, team).unwrap();
    assert_eq!(fresh.to_words(), words);
    drop(fresh);
    Arc::into_inner(plan).unwrap()
}

/// A small random number generator (`splitmix64`, Steele, Lea and Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut list: Vec<u32> = (0..n as u32).collect();
        for k in (1..n).rev() {
            list.swap(k, self.below(k + 1));
        }
        list
    }
}
