//! Copying a function instruction by instruction into a new one: what every pass is written on.
//!
//! A pass implements [`Visitor`]: for each instruction of the source it either builds something else or calls
//! [`Rewriter::copy`]. Values of the source are looked up in the rewriter's map. Because copying goes through the builder, every
//! pass folds and hash-conses on the way.

use cranelift_entity::SecondaryMap;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Carry, Const, EmitData, Func, Inst, InstData, Region, Value, Values};

/// Source values to values of the function being built.
#[derive(Clone, Default)]
pub struct Map(SecondaryMap<Value, Option<Value>>);

impl Map {
    /// An empty map.
    pub fn new() -> Map {
        Map(SecondaryMap::new())
    }

    /// The image of a source value.
    pub fn get(&self, value: Value) -> Value {
        self.0[value].expect("a value is mapped before it is used: the source is verified")
    }

    /// The image, if there is one.
    pub fn find(&self, value: Value) -> Option<Value> {
        self.0[value]
    }

    /// Sets the image of a source value.
    pub fn set(&mut self, value: Value, image: Value) {
        self.0[value] = Some(image);
    }

    /// The images of several values.
    pub fn all(&self, values: &[Value]) -> Values {
        let mut images = Values::from_slice(values);
        for image in &mut images {
            *image = self.get(*image);
        }
        images
    }
}

/// Decides what becomes of each instruction.
pub trait Visitor {
    /// Builds the image of `inst` (and maps its results).
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst);
}

/// Copies everything.
pub struct CopyAll;

impl Visitor for CopyAll {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        rw.copy(inst, self);
    }
}

/// The state of a rewrite: source, function being built, map between them.
pub struct Rewriter<'a> {
    /// What is read.
    pub src: &'a Func,
    /// What is built.
    pub b: Builder,
    /// Values of `src` to values of the function being built.
    pub map: Map,
}

impl<'a> Rewriter<'a> {
    /// Starts a function with the declarations of `src`.
    pub fn new(src: &'a Func, name: impl Into<String>) -> Rewriter<'a> {
        let mut map = Map::new();
        map.0.resize(src.values.len());
        Rewriter { src, b: Builder::from_declarations(src, name), map }
    }

    /// Rewrites the whole body.
    pub fn run(mut self, visitor: &mut dyn VisitorDyn) -> Func {
        self.region(self.src.body, visitor);
        self.b.finish()
    }

    /// Visits the instructions of a region in order.
    pub fn region(&mut self, region: Region, visitor: &mut dyn VisitorDyn) {
        for n in 0..self.src.regions[region].insts.len() {
            let inst = self.src.regions[region].insts[n];
            self.b.set_span(self.src.spans[inst]);
            visitor.visit_dyn(self, inst);
        }
    }

    /// Copies an instruction; nested regions go through the visitor.
    pub fn copy(&mut self, inst: Inst, visitor: &mut dyn VisitorDyn) {
        let src = self.src;
        let results = &src.results[inst];
        match &src.insts[inst] {
            InstData::Const(c) => {
                let v = self.b.constant(*c);
                self.map.set(results[0], v);
            }
            InstData::Size(expr) => {
                let v = self.b.size(expr);
                self.map.set(results[0], v);
            }
            InstData::Op(op, args) => {
                let args = self.map.all(args);
                let v = self.b.op(*op, &args);
                self.map.set(results[0], v);
            }
            InstData::Load(buffer, index) => {
                let index = self.map.all(index);
                let v = self.b.load(*buffer, &index);
                self.map.set(results[0], v);
            }
            InstData::Position(buffer, index) => {
                let index = self.map.all(index);
                let v = self.b.position(*buffer, &index);
                self.map.set(results[0], v);
            }
            InstData::Accum(buffer, index, value) => {
                let index = self.map.all(index);
                let value = self.map.get(*value);
                self.b.accum(*buffer, &index, value);
            }
            InstData::Reset(buffer, length) => self.reset(*buffer, *length),
            InstData::Check(buffer, index) => {
                let index = self.map.all(index);
                self.b.check(*buffer, &index);
            }
            InstData::Emit(emit) => {
                let emit = self.map_emit(emit);
                if emit.values.is_empty() {
                    self.b.emit_positions(emit);
                } else {
                    self.b.emit(emit);
                }
            }
            InstData::Loop { .. } => self.copy_loop(inst, visitor),
            InstData::If { cond, then, els } => {
                let cond = self.map.get(*cond);
                if let Some(Const::Bool(taken)) = self.b.func().as_const(cond) {
                    let region = if taken { *then } else { *els };
                    self.region(region, visitor);
                    for (&result, &y) in results.iter().zip(&src.regions[region].yields) {
                        let image = self.map.get(y);
                        self.map.set(result, image);
                    }
                    return;
                }
                self.copy_if(inst, |rw, region| {
                    rw.region(region, visitor);
                    rw.map.all(&src.regions[region].yields)
                });
            }
        }
    }

    /// Copies an `if` whose condition is no literal; `branch` builds each branch and gives what it yields.
    pub fn copy_if(&mut self, inst: Inst, mut branch: impl FnMut(&mut Self, Region) -> Values) {
        let src = self.src;
        let InstData::If { cond, then, els } = src.insts[inst] else { unreachable!("called on ifs") };
        self.b.begin_if(self.map.get(cond));
        let yields = branch(self, then);
        self.b.begin_else(&yields);
        let yields = branch(self, els);
        let images = self.b.end_if(&yields);
        for (&result, &image) in src.results[inst].iter().zip(&images) {
            self.map.set(result, image);
        }
    }

    /// Clears a scratch array, or its first entries up to a length of the source.
    pub fn reset(&mut self, buffer: Buffer, length: Option<Value>) {
        match length {
            Some(length) => {
                let length = self.map.get(length);
                self.b.reset_first(buffer, length);
            }
            None => self.b.reset(buffer),
        }
    }

    fn copy_loop(&mut self, inst: Inst, visitor: &mut dyn VisitorDyn) {
        let src = self.src;
        let InstData::Loop { body, .. } = src.insts[inst] else { unreachable!("called on loops") };
        self.open_loop(inst);
        self.region(body, visitor);
        let yields = self.map.all(&src.regions[body].yields);
        let images = self.b.end_loop(&yields);
        for (&result, &image) in src.results[inst].iter().zip(&images) {
            self.map.set(result, image);
        }
    }

    /// Opens the image of a loop with all its carries and maps its parameters.
    pub fn open_loop(&mut self, inst: Inst) {
        let src = self.src;
        let InstData::Loop { lo, hi, step, carries, body } = &src.insts[inst] else {
            unreachable!("called on loops");
        };
        let (lo, hi) = (self.map.get(*lo), self.map.get(*hi));
        let carries: Vec<Carry> = carries.iter().map(|c| self.map_carry(*c)).collect();
        let (iv, states) = self.b.begin_loop(lo, hi, *step, &carries);
        let params = &src.regions[*body].params;
        self.map.set(params[0], iv);
        for (&param, &state) in params[1..].iter().zip(&states) {
            self.map.set(param, state);
        }
    }

    /// A carry with its initial value mapped.
    pub fn map_carry(&self, carry: Carry) -> Carry {
        match carry {
            Carry::State(init) => Carry::State(self.map.get(init)),
            Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => carry,
        }
    }

    /// An emission with its values mapped.
    pub fn map_emit(&self, emit: &EmitData) -> EmitData {
        EmitData {
            site: emit.site,
            rows: self.map.all(&emit.rows).into_vec(),
            cols: self.map.all(&emit.cols).into_vec(),
            entries: emit.entries.clone(),
            values: self.map.all(&emit.values).into_vec(),
            symmetric: emit.symmetric,
            direct: emit.direct,
            project: emit.project,
        }
    }
}

/// Object-safe form of [`Visitor`]; implemented for every visitor.
pub trait VisitorDyn {
    /// See [`Visitor::visit`].
    fn visit_dyn(&mut self, rw: &mut Rewriter<'_>, inst: Inst);
}

impl<V: Visitor> VisitorDyn for V {
    fn visit_dyn(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        self.visit(rw, inst);
    }
}
