//! Elements of two vertices that play the same part, computed vertex by vertex: each vertex gathers its rows over its incidence list.
//!
//! # Problem
//! An element program scatters: each edge adds to the rows of both its ends, which other edges add to as well.
//! ```text
//! for e in 0..E { i, j = edges[e]; h = f(x[i], x[j]);  emit [x[i], x[j]]: (i,i) h, (i,j) -h, (j,i) -h, (j,j) h }
//! ```
//! If both ends compute the same with their parts traded, one end computes its own rows alone:
//! ```text
//! for p in 0..P { v = vertex[p]; d = sum n in start[p]..start[p+1] { w = other[n]; e = element[n]; h = f(x[v], x[w]);
//!                                                                    emit x[v]: (x[w]) -h;  yield h };  emit x[v]: (x[v]) d }
//! ```
//! Each entry is written once where no two elements have the same ends: it is stored, not added to what was zeroed before, and threads own
//! what they compute. An element is computed twice for it.
//! # Method
//! 1. A phase qualifies if it has one emission, whose rows are its columns, and are named by two integers `a` and `b` of the iteration, in pairs: each
//!    row of `a` has a partner with `b` in its place; if it accumulates to such rows and to scalars only, and has no other effect.
//! 2. The iteration is numbered (`numbering.rs`) as it is and with `a` and `b` traded. Every entry and every accumulation must be what the
//!    traded iteration gives to its partner. Values that are summed up into scalars must not change.
//! 3. The rows of `a` are computed with `a` the vertex and `b` the other end, over both kinds of ends; sums into scalars are halved.
//! 4. Prepare makes the lists. What they are made of, both ends of every element, it learns from the *ends program*: the same loop, which
//!    emits nothing but one pair (a, b) an element.
//! # Why it keeps the meaning
//! Emissions and accumulations only add. Of an element with the ends (i, j), the list of i holds (other j), that of j holds (other i): the
//! first computes what the element gives to the rows of i; the second what the traded element gives to the rows of j in the place of i,
//! which by 2 is what the element gives to them. With i = j both are in one list, and both parts are added.
//! # Limits
//! Inner loops that depend on the ends, projected blocks, further unknowns in the element (a scalar in every element) and results of the
//! loop: the element program serves them. It also serves where computing twice costs more than slots do.

mod numbering;

use crate::dce;
use crate::rewrite::{CopyAll, Rewriter, Visitor};
use crate::sparse::work;
use cranelift_entity::EntitySet;
use numbering::{Number, Numbering, Numbers};
use spadina_ir::builder::Builder;
use spadina_ir::func::{
    Buffer, BufferData, Carry, EmitData, Entries, Func, Inst, InstData, Plane, Region, Role, Value, ValueDef,
    Values,
};
use spadina_ir::op::Op;
use spadina_ir::types::{Size, SizeExpr, Ty};
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// What an end costs beyond its element: it is looked up, its sums begin and end. Measured on springs and other pairs in one, two and three
/// dimensions, in units of [`work`].
const LIST: u64 = 1200;

/// What prepare makes of the elements of one phase: a list of incident ends for every vertex that has some.
#[derive(Clone, Debug)]
pub struct Lists {
    /// Emits one pair, the ends of the element, in each iteration; its only column is an array over all vertices.
    pub ends: Func,
    /// The site of the entries between both ends.
    pub site: u32,
    /// How many vertices have ends.
    pub vertices: Size,
    /// How many ends there are.
    pub total: Size,
    /// These vertices, ascending.
    pub vertex: Buffer,
    /// Where the list of each begins, and the end of the last.
    pub start: Buffer,
    /// The other end of each end, ascending within a list.
    pub other: Buffer,
    /// Its element.
    pub element: Buffer,
}

/// The program vertex by vertex, and the lists that it runs over; `None` where no phase qualifies.
pub fn by_vertex(func: &Func) -> Option<(Func, Vec<Lists>)> {
    let phases: BTreeMap<Inst, Pairwise> = func.regions[func.body]
        .insts
        .iter()
        .filter_map(|&root| Some((root, Pairwise::of(func, root).filter(|p| p.is_worth_it(func))?)))
        .collect();
    if phases.is_empty() {
        return None;
    }
    let mut sites = 0;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Emit(emit) = &func.insts[inst] {
            sites = sites.max(emit.site + 1);
        }
    });
    let mut rw = Rewriter::new(func, format!("{}.vertices", func.name));
    let mut lists = Vec::new();
    let mut done = EntitySet::new();
    let insts = &func.regions[func.body].insts;
    // What is stored comes before what is added to it, unless it reads what comes in between.
    if func.buffers_of(Role::Scratch).next().is_none() {
        for &inst in insts.iter().filter(|&&inst| !walk::has_effects(func, inst)) {
            if uses(func, inst).all(|value| rw.map.find(value).is_some()) {
                rw.b.set_span(func.spans[inst]);
                rw.copy(inst, &mut CopyAll);
                done.insert(inst);
            }
        }
        for (&inst, phase) in &phases {
            if uses(func, inst).all(|value| rw.map.find(value).is_some()) {
                lists.push(phase.gather(&mut rw, sites + lists.len() as u32)?);
                done.insert(inst);
            }
        }
    }
    for &inst in insts.iter().filter(|&&inst| !done.contains(inst)) {
        rw.b.set_span(func.spans[inst]);
        match phases.get(&inst) {
            Some(phase) => lists.push(phase.gather(&mut rw, sites + lists.len() as u32)?),
            None => rw.copy(inst, &mut CopyAll),
        }
    }
    Some((rw.b.finish(), lists))
}

/// What an instruction needs.
fn uses(func: &Func, inst: Inst) -> impl Iterator<Item = Value> {
    func.insts[inst].operands().into_iter().chain(walk::captures(func, inst))
}

/// A loop whose elements have two ends that play the same part.
struct Pairwise {
    root: Inst,
    body: Region,
    emit: Inst,
    /// The integers that name the ends.
    ends: (Value, Value),
    /// The local rows of the first end.
    mine: Vec<u32>,
    /// Their partners.
    theirs: Vec<u32>,
    /// Accumulations to rows of the first end.
    rows: Vec<Inst>,
    /// Accumulations to scalars.
    scalars: Vec<Inst>,
    /// The length of the axis that ends count through.
    length: SizeExpr,
}

impl Pairwise {
    fn of(func: &Func, root: Inst) -> Option<Pairwise> {
        let InstData::Loop { lo, hi: _, step: 1, carries, body } = &func.insts[root] else { return None };
        if func.as_int(*lo) != Some(0) || !carries.is_empty() {
            return None;
        }
        let insts = &func.regions[*body].insts;
        let effects: Vec<Inst> =
            insts.iter().copied().filter(|&inst| walk::has_effects(func, inst)).collect();
        let (accums, others): (Vec<Inst>, Vec<Inst>) =
            effects.into_iter().partition(|&inst| matches!(func.insts[inst], InstData::Accum(..)));
        let [emit] = others[..] else { return None };
        let InstData::Emit(data) = &func.insts[emit] else { return None };
        if data.rows != data.cols || data.direct || data.project.is_some() {
            return None;
        }
        let named = data.rows.iter().map(|&row| named_by(func, row)).collect::<Option<Vec<Named<'_>>>>()?;
        let first = named.first()?;
        let second = named.iter().find(|other| other.end != first.end)?;
        let ends = (first.end, second.end);
        let here = |end: Value| match func.values[end].def {
            ValueDef::Result(inst, _) => insts.contains(&inst),
            ValueDef::Param(..) => false,
        };
        let length = first.length(func).clone();
        let known = |row: &Named<'_>| [ends.0, ends.1].contains(&row.end) && *row.length(func) == length;
        if !here(ends.0) || !here(ends.1) || !named.iter().all(known) {
            return None;
        }
        let of = |end: Value| (0..).zip(&named).filter(move |(_, row)| row.end == end);
        let mine: Vec<u32> = of(ends.0).map(|(n, _)| n).collect();
        let partner =
            |&n: &u32| of(ends.1).find(|(_, row)| row.trades_with(&named[n as usize])).map(|(n, _)| n);
        let theirs = mine.iter().map(partner).collect::<Option<Vec<u32>>>()?;
        if mine.len() + theirs.len() != named.len()
            || theirs.iter().collect::<BTreeSet<_>>().len() != mine.len()
        {
            return None;
        }
        let mut phase = Pairwise {
            root,
            body: *body,
            emit,
            ends,
            mine,
            theirs,
            rows: Vec::new(),
            scalars: Vec::new(),
            length,
        };
        phase.is_symmetric(func, data, &accums).then_some(phase)
    }

    /// Whether the traded iteration gives to each partner what this one gives; sorts accumulations on the way.
    fn is_symmetric(&mut self, func: &Func, emit: &EmitData, accums: &[Inst]) -> bool {
        let mut numbering = Numbering::new(func);
        let plain = numbering.plain(self.body);
        let traded = numbering.traded(self.body, &plain, self.ends);
        let mut partner = vec![0; emit.rows.len()];
        for (&a, &b) in self.mine.iter().zip(&self.theirs) {
            (partner[a as usize], partner[b as usize]) = (b, a);
        }
        let mut values = BTreeMap::new();
        for (&entry, &value) in emit.entries.iter().zip(&emit.values) {
            if values.insert(entry, numbering.of(value, &plain)).is_some() {
                return false;
            }
        }
        for (&(a, b), &value) in emit.entries.iter().zip(&emit.values) {
            let opposite = stored(emit, partner[a as usize], partner[b as usize]);
            if values.get(&opposite) != Some(&numbering.of(value, &traded)) {
                return false;
            }
        }
        self.sort_accumulations(func, accums, &mut numbering, (&plain, &traded)).is_some()
    }

    fn sort_accumulations(
        &mut self,
        func: &Func,
        accums: &[Inst],
        numbering: &mut Numbering<'_>,
        (plain, traded): (&Numbers, &Numbers),
    ) -> Option<()> {
        let mut sums = |numbers: &Numbers| {
            let sum = |&inst: &Inst| {
                let InstData::Accum(buffer, index, value) = &func.insts[inst] else { return None };
                let index = index.iter().map(|&v| numbering.of(v, numbers)).collect::<Vec<Number>>();
                Some((*buffer, index, numbering.of(*value, numbers)))
            };
            let mut all = accums.iter().map(sum).collect::<Option<Vec<_>>>()?;
            all.sort_unstable();
            Some(all)
        };
        if sums(plain)? != sums(traded)? {
            return None;
        }
        for &inst in accums {
            let InstData::Accum(buffer, index, _) = &func.insts[inst] else { return None };
            if func.buffers[*buffer].role != Role::Output {
                return None;
            }
            if index.is_empty() {
                self.scalars.push(inst);
                continue;
            }
            let end = only_name(func, index)?.1;
            if end == self.ends.0 {
                self.rows.push(inst);
            } else if end != self.ends.1 {
                return None;
            }
        }
        Some(())
    }

    fn emission<'f>(&self, func: &'f Func) -> &'f EmitData {
        let InstData::Emit(emit) = &func.insts[self.emit] else {
            unreachable!("a phase is made of an emission")
        };
        emit
    }

    /// The value of an entry.
    fn entry(emit: &EmitData, a: u32, b: u32) -> Option<Value> {
        let wanted = stored(emit, a, b);
        emit.entries.iter().position(|&entry| entry == wanted).map(|n| emit.values[n])
    }

    /// Entries between the rows of the first end: their numbers among these rows, and the value.
    fn diagonal(&self, func: &Func) -> Vec<((u32, u32), Value)> {
        let emit = self.emission(func);
        let mut found = Vec::new();
        for (n, &a) in (0..).zip(&self.mine) {
            for (m, &b) in (0..).zip(&self.mine).skip(if emit.symmetric { n as usize } else { 0 }) {
                found.extend(Pairwise::entry(emit, a, b).map(|value| ((n, m), value)));
            }
        }
        found
    }

    /// Entries between rows of the first end and rows of the second.
    fn across(&self, func: &Func) -> Vec<((u32, u32), Value)> {
        let emit = self.emission(func);
        let mut found = Vec::new();
        for (n, &a) in (0..).zip(&self.mine) {
            for (m, &b) in (0..).zip(&self.theirs) {
                found.extend(Pairwise::entry(emit, a, b).map(|value| ((n, m), value)));
            }
        }
        found
    }

    /// Whether computing an element twice costs less than adding to the rows of both its ends.
    fn is_worth_it(&self, func: &Func) -> bool {
        let needed = self.diagonal(func).into_iter().chain(self.across(func)).map(|(_, value)| value);
        let sums = self.rows.iter().chain(&self.scalars).filter_map(|&inst| match &func.insts[inst] {
            InstData::Accum(_, _, value) => Some(*value),
            _ => None,
        });
        let needed: Vec<Value> = needed.chain(sums).collect();
        let once = work::of_values(func, self.body, &needed);
        once + LIST <= work::emission(self.emission(func))
    }

    /// Builds the loop over vertices; the lists that it needs.
    fn gather(&self, rw: &mut Rewriter<'_>, site: u32) -> Option<Lists> {
        let func = rw.src;
        let lists = self.declare(rw, site)?;
        rw.b.set_span(func.spans[self.root]);
        let b = &mut rw.b;
        let (zero, one) = (b.int(0), b.int(1));
        let count = b.size(&SizeExpr::size(lists.vertices));
        let (p, _) = b.begin_loop(zero, count, 1, &[]);
        let next = b.op(Op::IntAdd, &[p, one]);
        let vertex = b.load(lists.vertex, &[p]);
        let (first, end) = (b.load(lists.start, &[p]), b.load(lists.start, &[next]));
        self.hoist(rw, vertex);
        // Values that several sums need are added up once.
        let diagonal = self.diagonal(func);
        let accumulated = |&inst: &Inst| match &func.insts[inst] {
            InstData::Accum(buffer, index, value) => Some((*buffer, index, *value)),
            _ => None,
        };
        let rows: Vec<_> = self.rows.iter().filter_map(accumulated).collect();
        let scalars: Vec<_> = self.scalars.iter().filter_map(accumulated).collect();
        let mut summed: Vec<Value> = Vec::new();
        let all = diagonal.iter().map(|entry| entry.1).chain(rows.iter().chain(&scalars).map(|sum| sum.2));
        for value in all {
            if !summed.contains(&value) {
                summed.push(value);
            }
        }
        let b = &mut rw.b;
        let (n, _) = b.begin_loop(first, end, 1, &vec![Carry::Sum; summed.len()]);
        let (other, element) = (b.load(lists.other, &[n]), b.load(lists.element, &[n]));
        self.copy(rw, element, (vertex, other));
        let emit = self.emission(func);
        let [row_places, col_places] = [&self.mine, &self.theirs]
            .map(|places| places.iter().map(|&n| rw.map.get(emit.rows[n as usize])).collect::<Vec<Value>>());
        let (entries, values) =
            self.across(func).into_iter().map(|(entry, value)| (entry, rw.map.get(value))).unzip();
        let off = EmitData {
            site,
            rows: row_places,
            cols: col_places,
            entries,
            values,
            symmetric: false,
            direct: false,
            project: None,
        };
        rw.b.emit(off);
        let yields = rw.map.all(&summed);
        let sums = rw.b.end_loop(&yields);
        let total =
            |value: Value| sums[summed.iter().position(|&other| other == value).expect("all are summed up")];
        let places: Vec<Value> = self
            .mine
            .iter()
            .map(|&n| {
                let Some(InstData::Position(buffer, index)) = func.def(emit.rows[n as usize]) else {
                    unreachable!("rows are positions")
                };
                let index = Pairwise::at_vertex(rw, index, vertex);
                rw.b.position(*buffer, &index)
            })
            .collect();
        let (entries, values) = diagonal.into_iter().map(|(entry, value)| (entry, total(value))).unzip();
        let own = EmitData {
            site: emit.site,
            rows: places.clone(),
            cols: places,
            entries,
            values,
            symmetric: emit.symmetric,
            direct: false,
            project: None,
        };
        rw.b.emit(own);
        for (buffer, index, value) in rows {
            let index = Pairwise::at_vertex(rw, index, vertex);
            rw.b.accum(buffer, &index, total(value));
        }
        for (buffer, _, value) in scalars {
            // Each element is in two lists.
            let half = rw.b.float(func.ty(value), 0.5);
            let value = rw.b.mul(half, total(value));
            rw.b.accum(buffer, &[], value);
        }
        rw.b.end_loop(&[]);
        Some(lists)
    }

    /// Builds before the loop over the list what the first end alone decides. A list is never empty: what is read would be read anyway.
    fn hoist(&self, rw: &mut Rewriter<'_>, vertex: Value) {
        let func = rw.src;
        let mut inside = BTreeSet::from([func.regions[self.body].params[0], self.ends.1]);
        rw.map.set(self.ends.0, vertex);
        for &inst in &func.regions[self.body].insts {
            let results = &func.results[inst];
            let data = &func.insts[inst];
            let plain = !data.has_regions() && !data.is_effect();
            if results[..] == [self.ends.0] || results[..] == [self.ends.1] {
                continue;
            }
            if plain && data.operands().iter().all(|value| !inside.contains(value)) {
                rw.copy(inst, &mut CopyAll);
            } else {
                inside.extend(results.iter().copied());
            }
        }
    }

    /// Subscripts of a row of the first end, outside of the loop over the list.
    fn at_vertex(rw: &mut Rewriter<'_>, index: &[Value], vertex: Value) -> Values {
        let place = |&v: &Value| match rw.src.as_int(v) {
            Some(n) => rw.b.int(n),
            None => vertex,
        };
        index.iter().map(place).collect()
    }

    /// Copies what an iteration computes, without its effects.
    fn copy(&self, rw: &mut Rewriter<'_>, element: Value, ends: (Value, Value)) {
        let func = rw.src;
        rw.map.set(func.regions[self.body].params[0], element);
        for &inst in &func.regions[self.body].insts {
            match func.results[inst][..] {
                [result] if result == self.ends.0 => rw.map.set(result, ends.0),
                [result] if result == self.ends.1 => rw.map.set(result, ends.1),
                _ if walk::has_effects(func, inst) => {}
                _ => {
                    rw.b.set_span(func.spans[inst]);
                    rw.copy(inst, &mut CopyAll);
                }
            }
        }
    }

    /// Declares the arrays of the lists, and writes the ends program.
    fn declare(&self, rw: &mut Rewriter<'_>, site: u32) -> Option<Lists> {
        let func = rw.src;
        let fresh = |b: &Builder, stem: &str| b.func().fresh_buffer_name(stem);
        let names = ["incidence.vertices", "incidence.ends"];
        let [vertices, total] =
            names.map(|name| rw.b.size_symbol(format!("{name}#{}", self.emission(func).site)));
        let [count, ends] = [vertices, total].map(SizeExpr::size);
        let starts = count.checked_add(&SizeExpr::constant(1))?;
        let mut declare = |stem: &str, length: &SizeExpr, entries: Entries| {
            let name = fresh(&rw.b, stem);
            rw.b.buffer(array(name, Ty::Int, Role::Structural, length, entries))
        };
        let through = Entries::Index(vec![self.length.clone()]);
        let vertex = declare("incidence.vertex", &count, through.clone());
        let start = declare("incidence.start", &starts, Entries::Offsets(ends.clone()));
        let other = declare("incidence.other", &ends, through);
        let element = declare("incidence.element", &ends, Entries::Any);
        Some(Lists { ends: self.ends_program(func)?, site, vertices, total, vertex, start, other, element })
    }

    /// `None` where the ends depend on what other loops give.
    fn ends_program(&self, func: &Func) -> Option<Func> {
        let mut rw = Rewriter::new(func, format!("{}.ends", func.name));
        let name = rw.b.func().fresh_buffer_name("incidence");
        let all = rw.b.buffer(array(name, Ty::F64, Role::Var, &self.length, Entries::Any));
        rw.b.set_columns(vec![all]);
        rw.b.set_rows(vec![all]);
        let mut ends = Ends { phase: self, all, found: false };
        rw.region(func.body, &mut ends);
        ends.found.then(|| dce::eliminate(&rw.b.finish()))
    }
}

/// Copies the loop of a phase with the pair of ends as its only effect, and no other phase.
struct Ends<'a> {
    phase: &'a Pairwise,
    all: Buffer,
    found: bool,
}

impl Visitor for Ends<'_> {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let known = |rw: &Rewriter<'_>, value: Value| rw.map.find(value).is_some();
        if inst == self.phase.emit {
            let (a, b) = self.phase.ends;
            if !known(rw, a) || !known(rw, b) {
                return;
            }
            self.found = true;
            // Errors name the unknown.
            let emit = self.phase.emission(rw.src);
            for row in [self.phase.mine[0], self.phase.theirs[0]] {
                if let Some(InstData::Position(buffer, index)) = rw.src.def(emit.rows[row as usize])
                    && index.iter().all(|&value| known(rw, value))
                {
                    let index = rw.map.all(index);
                    rw.b.check(*buffer, &index);
                }
            }
            let places = [a, b].map(|end| {
                let end = rw.map.get(end);
                rw.b.position(self.all, &[end])
            });
            let value = rw.b.f64(1.0);
            rw.b.emit(EmitData {
                site: 0,
                rows: places.to_vec(),
                cols: places.to_vec(),
                entries: vec![(0, 1)],
                values: vec![value],
                symmetric: true,
                direct: false,
                project: None,
            });
        } else if inst == self.phase.root {
            if rw.src.insts[inst].operands().iter().all(|&value| known(rw, value)) {
                rw.copy(inst, self);
            }
        } else if !walk::has_effects(rw.src, inst) && uses(rw.src, inst).all(|value| known(rw, value)) {
            // What other loops give is left out, with all that is computed from it.
            rw.copy(inst, self);
        }
    }
}

fn array(name: String, elem: Ty, role: Role, length: &SizeExpr, entries: Entries) -> BufferData {
    let dims = vec![length.clone()];
    BufferData { name, elem, dims, role, plane: Plane::Primal, entries, default: None, span: (0, 0) }
}

/// Where an emission has an entry: of two that are mirror images of each other it may have one.
fn stored(emit: &EmitData, a: u32, b: u32) -> (u32, u32) {
    if emit.symmetric && a > b { (b, a) } else { (a, b) }
}

/// A row that one integer names, beside literals.
struct Named<'f> {
    buffer: Buffer,
    index: &'f [Value],
    axis: usize,
    end: Value,
}

impl Named<'_> {
    fn length<'f>(&self, func: &'f Func) -> &'f SizeExpr {
        &func.buffers[self.buffer].dims[self.axis]
    }

    /// Whether the other row is this one with the other end in its place.
    fn trades_with(&self, other: &Named<'_>) -> bool {
        let same = |(axis, (a, b)): (usize, (&Value, &Value))| axis == self.axis || a == b;
        (self.buffer, self.axis) == (other.buffer, other.axis)
            && self.index.iter().zip(other.index).enumerate().all(same)
    }
}

fn named_by(func: &Func, position: Value) -> Option<Named<'_>> {
    let Some(InstData::Position(buffer, index)) = func.def(position) else { return None };
    let (axis, end) = only_name(func, index)?;
    Some(Named { buffer: *buffer, index, axis, end })
}

/// The only subscript that is no literal.
fn only_name(func: &Func, index: &[Value]) -> Option<(usize, Value)> {
    let mut names = index.iter().enumerate().filter(|&(_, &v)| func.as_int(v).is_none());
    let (axis, &name) = names.next()?;
    names.next().is_none().then_some((axis, name))
}
