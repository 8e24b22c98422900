//! Prepare: from a program, sizes and frozen arrays to a plan.

use crate::array::OwnedArray;
use crate::assemble::{Choice, assemble};
use crate::buffer::{BufferSpec, BufferUse};
use crate::complete::{compact, with_rows};
use crate::corner::places;
use crate::csr::Pattern;
use crate::error::RuntimeError;
use crate::frontier::frontiers;
use crate::gaps::gaps;
use crate::options::{FixedRule, PrepareOptions};
use crate::partition::Partition;
use crate::plan::{Plan, PlanSite, next_serial};
use crate::program::IndexProgram;
use crate::streams::{SiteStream, run_index, run_trips};
use crate::team::Team;
use spadina_layout::env::Env;
use spadina_layout::filter::{DROPPED, Filter, Triangle};
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What a program is prepared for.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// Values of the symbolic sizes.
    pub sizes: &'a [i64],
    /// All buffers, by number, with their dimensions at these sizes.
    pub buffers: Vec<BufferSpec>,
    /// `(number, data)` of every buffer that is frozen; the plan keeps them.
    pub arrays: &'a [(usize, Arc<OwnedArray>)],
    /// Number of row positions.
    pub rows: usize,
    /// Number of column positions.
    pub cols: usize,
    /// Whether rows and columns are the same unknowns (a Hessian).
    pub square: bool,
}

/// Runs the index program, builds the pattern and the slot records; for a team of several also the partition for that many threads. The plan
/// does not depend on the team otherwise.
pub fn prepare(
    program: &dyn IndexProgram,
    inputs: Inputs<'_>,
    options: &PrepareOptions,
    team: Team<'_>,
) -> Result<Plan, RuntimeError> {
    make(program, inputs, options, team, None)
}

fn make(
    program: &dyn IndexProgram,
    inputs: Inputs<'_>,
    options: &PrepareOptions,
    team: Team<'_>,
    old: Option<&Arc<Pattern>>,
) -> Result<Plan, RuntimeError> {
    let env_layout = program.env_layout();
    let info = program.info().clone();
    if env_layout.sizes != inputs.sizes.len()
        || env_layout.buffers != inputs.buffers.len()
        || env_layout.sites != info.sites
    {
        return Err(RuntimeError::Mismatch("program and inputs"));
    }
    if inputs.rows >= u32::MAX as usize || inputs.cols >= u32::MAX as usize {
        return Err(RuntimeError::TooLarge { what: "unknowns" });
    }
    let shape = (inputs.rows, inputs.cols, inputs.square);
    let numbering = Numbering::new(&inputs, options)?;
    let frozen = freeze(&inputs.buffers, inputs.arrays)?;
    let mut plan = Plan {
        serial: next_serial(),
        info,
        env_layout,
        sizes: inputs.sizes.to_vec(),
        buffers: inputs.buffers,
        frozen,
        trips: Vec::new(),
        row_positions: inputs.rows,
        pattern: Arc::new(Pattern::default()),
        row_start: Vec::new(),
        cleared: None,
        gaps: Vec::new(),
        frontiers: Vec::new(),
        corner: Vec::new(),
        identity: Vec::new(),
        sites: Vec::new(),
        layout: SlotLayout { mode: SlotMode::Block, width: SlotWidth::U8, drops: false, stores: false },
        partitions: Mutex::new(BTreeMap::new()),
        made_for: Some((shape, options.clone())),
    };
    let mut env = Env::new(env_layout);
    let scratch = plan.fill_index_env(&mut env)?;
    plan.trips = run_trips(program, &env)?;
    let mut streams =
        run_index(program, &plan.buffers, &mut env, &plan.trips, (inputs.rows, inputs.cols), team)?;
    drop(scratch);
    if team.members() > 1 {
        let made = Partition::new(&plan.info, &plan.trips, &streams, plan.row_positions, team.members())?;
        plan.partitions = Mutex::new(BTreeMap::from([(team.members(), Arc::new(made))]));
    }
    plan.gaps = gaps(&plan.info.stored, &plan.buffers, &streams)?;
    streams.retain(|s| s.matrix);
    finish(&mut plan, streams, &numbering, options, (team, old))?;
    plan.corner = places(&plan)?;
    Ok(plan)
}

/// Prepares again for other frozen arrays or sizes. Where these are the very arrays and sizes of the old plan, it is the old plan; else the
/// pattern is shared with it when it has not changed.
pub fn rebind(
    old: &Arc<Plan>,
    program: &dyn IndexProgram,
    inputs: Inputs<'_>,
    options: &PrepareOptions,
    team: Team<'_>,
) -> Result<Arc<Plan>, RuntimeError> {
    if old.is_for(program, &inputs, options) {
        return Ok(Arc::clone(old));
    }
    let mut plan = make(program, inputs, options, team, Some(&old.pattern))?;
    if *plan.pattern == *old.pattern {
        plan.pattern = Arc::clone(&old.pattern);
    }
    Ok(Arc::new(plan))
}

pub(crate) fn freeze(
    buffers: &[BufferSpec],
    arrays: &[(usize, Arc<OwnedArray>)],
) -> Result<Vec<Option<Arc<OwnedArray>>>, RuntimeError> {
    let mut frozen: Vec<Option<Arc<OwnedArray>>> = vec![None; buffers.len()];
    for spec in buffers {
        spec.elements()?;
    }
    for (n, array) in arrays {
        let spec = buffers.get(*n).filter(|b| b.usage == BufferUse::Frozen);
        let spec = spec.ok_or(RuntimeError::Unexpected { buffer: *n })?;
        spec.accept(&array.view())?;
        frozen[*n] = Some(Arc::clone(array));
    }
    for (spec, array) in buffers.iter().zip(&frozen) {
        if spec.usage == BufferUse::Frozen && array.is_none() {
            return Err(RuntimeError::Missing { buffer: spec.name.clone() });
        }
    }
    Ok(frozen)
}

fn finish(
    plan: &mut Plan,
    streams: Vec<SiteStream>,
    numbering: &Numbering,
    options: &PrepareOptions,
    (team, old): (Team<'_>, Option<&Arc<Pattern>>),
) -> Result<(), RuntimeError> {
    let mut filter = numbering.filter(options.triangle);
    let (stored, mut streams): (Vec<_>, Vec<_>) = streams.into_iter().partition(|s| s.direct);
    if !stored.is_empty() && (numbering.moves() || filter.drops()) {
        return Err(RuntimeError::Options("a program that stores complete rows keeps all unknowns in order"));
    }
    let mut named = None;
    if !stored.is_empty() {
        let positions = (numbering.row_positions, numbering.col_positions);
        let borders = compact(&mut streams, positions, numbering.square);
        (filter.rows, filter.cols) = (borders.rows.len(), borders.cols.len());
        (filter.row_positions, filter.col_positions) = (filter.rows, filter.cols);
        named = Some(borders);
    }
    let views: Vec<_> = streams.iter().map(SiteStream::view).collect();
    let may_store = plan.info.may_store && stored.is_empty() && !options.entry_slots;
    let choice = Choice { entry_slots: options.entry_slots, min_width: options.min_width, may_store };
    let made = assemble(&views, &filter, &numbering.forced, choice, team, old.filter(|_| stored.is_empty()))?;
    plan.layout = made.layout;
    let mut pattern = made.pattern;
    let renumbered = named.as_ref().is_some_and(|named| !named.all);
    if let Some(named) = named {
        let shape = (numbering.rows, numbering.cols);
        let complete = with_rows(&pattern, &named, shape, &stored)?;
        pattern = Arc::new(complete.0);
        plan.cleared = Some(complete.1);
    }
    let row_ptr = pattern.row_ptr();
    if let Some(map) = &numbering.row_map {
        let start = |&row: &u32| if row == DROPPED { 0 } else { row_ptr[row as usize] };
        plan.row_start = map.iter().map(start).collect();
    }
    if !renumbered && !numbering.moves() {
        plan.frontiers = frontiers(&streams, &plan.trips, pattern.row_ptr());
    }
    drop(stored);
    let forced = numbering.forced.iter().enumerate().filter(|&(_, &f)| f);
    plan.identity = forced.map(|(row, _)| row_ptr[row]).collect();
    plan.pattern = pattern;
    let with_slots = streams.into_iter().zip(made.slots);
    plan.sites = with_slots.map(|(s, slots)| PlanSite { site: s.site, slots, first: s.first }).collect();
    debug_assert!(plan.sites.iter().all(|s: &PlanSite| s.slots.width() == plan.layout.width));
    Ok(())
}

/// From positions to numbers, by order and fixed unknowns.
struct Numbering {
    row_map: Option<Vec<u32>>,
    col_map: Option<Vec<u32>>,
    row_positions: usize,
    col_positions: usize,
    rows: usize,
    cols: usize,
    /// Whether rows and columns are the same unknowns.
    square: bool,
    /// Rows that are rows of the identity; empty where none is.
    forced: Vec<bool>,
}

impl Numbering {
    fn new(inputs: &Inputs<'_>, options: &PrepareOptions) -> Result<Numbering, RuntimeError> {
        if inputs.square && inputs.rows != inputs.cols {
            return Err(RuntimeError::Mismatch("a square matrix and its rows and columns"));
        }
        if inputs.square && options.row_order != options.col_order {
            return Err(RuntimeError::Options("row and column order of a Hessian must be the same"));
        }
        if !inputs.square && options.triangle != Triangle::Full {
            return Err(RuntimeError::Options("only a matrix whose rows are its columns has triangles"));
        }
        let identity = options.fixed_rule == FixedRule::Identity && !options.fixed.is_empty();
        if identity && !inputs.square {
            return Err(RuntimeError::Options(
                "only a matrix whose rows are its columns can keep fixed ones",
            ));
        }
        let mut fixed = vec![false; if options.fixed.is_empty() { 0 } else { inputs.cols }];
        for &position in &options.fixed {
            let place = fixed.get_mut(position as usize);
            *place.ok_or(RuntimeError::Options("a fixed unknown does not exist"))? = true;
        }
        let (cols, col_map) = number(inputs.cols, options.col_order.as_deref(), &fixed, identity)?;
        let (rows, row_map) = if inputs.square {
            (cols, col_map.clone())
        } else {
            number(inputs.rows, options.row_order.as_deref(), &[], false)?
        };
        let mut forced = Vec::new();
        if identity {
            forced = vec![false; rows];
            for &position in &options.fixed {
                let order = options.row_order.as_deref();
                forced[order.map_or(position, |o| o[position as usize]) as usize] = true;
            }
        }
        let (row_positions, col_positions) = (inputs.rows, inputs.cols);
        let square = inputs.square;
        Ok(Numbering { row_map, col_map, row_positions, col_positions, rows, cols, square, forced })
    }

    /// Whether a position is not its own number.
    fn moves(&self) -> bool {
        self.row_map.is_some() || self.col_map.is_some() || !self.forced.is_empty()
    }

    fn filter(&self, triangle: Triangle) -> Filter<'_> {
        Filter {
            row_map: self.row_map.as_deref(),
            col_map: self.col_map.as_deref(),
            row_positions: self.row_positions,
            col_positions: self.col_positions,
            rows: self.rows,
            cols: self.cols,
            triangle,
        }
    }
}

/// The number of each position: in the given order, without the fixed ones (whose numbers stay unused with `keep`).
fn number(
    positions: usize,
    order: Option<&[u32]>,
    fixed: &[bool],
    keep: bool,
) -> Result<(usize, Option<Vec<u32>>), RuntimeError> {
    if order.is_none() && fixed.is_empty() {
        return Ok((positions, None));
    }
    let mut at = vec![DROPPED; positions];
    if let Some(order) = order {
        let bad = RuntimeError::Options("an order must be a permutation of the positions");
        if order.len() != positions {
            return Err(bad);
        }
        for (position, &number) in order.iter().enumerate() {
            match at.get_mut(number as usize) {
                Some(place) if *place == DROPPED => *place = position as u32,
                _ => return Err(bad),
            }
        }
    } else {
        at = (0..positions as u32).collect();
    }
    let is_fixed = |position: u32| fixed.get(position as usize).copied().unwrap_or(false);
    let mut map = vec![DROPPED; positions];
    let mut next = 0;
    for (number, &position) in (0..).zip(&at) {
        if is_fixed(position) {
            continue;
        }
        map[position as usize] = if keep { number } else { next };
        next += 1;
    }
    Ok((if keep { positions } else { next as usize }, Some(map)))
}
