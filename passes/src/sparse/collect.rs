//! Collecting matrix entries while regions are built: entries met in a region leave it as emissions of that region.

use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, EmitData, Plane, Value};

/// One matrix entry: row position, column position, value.
pub type Entry = (Value, Value, Value);

/// The position of a row: the adjoint of an unknown stands at the position of the unknown, so that rows and columns of a Hessian are
/// the same values. A stage stands for itself, adjoint or not.
pub fn row_position(b: &mut Builder, buffer: Buffer, index: &[Value]) -> Value {
    let owner = match b.func().buffers[buffer].plane {
        _ if b.func().rows.contains(&buffer) => buffer,
        Plane::Adjoint(of) | Plane::Tangent(of) => of,
        Plane::Primal | Plane::Block(..) => buffer,
    };
    b.position(owner, index)
}

/// Entries by open region, innermost last.
pub struct Collector {
    levels: Vec<Vec<Entry>>,
    next_site: u32,
}

impl Default for Collector {
    fn default() -> Self {
        Collector { levels: vec![Vec::new()], next_site: 0 }
    }
}

impl Collector {
    /// A region was opened.
    pub fn open(&mut self) {
        self.levels.push(Vec::new());
    }

    /// The number of open regions.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Drops the entries of regions opened beyond `depth`.
    pub fn abandon(&mut self, depth: usize) {
        self.levels.truncate(depth);
    }

    /// An entry of the innermost region.
    pub fn push(&mut self, row: Value, col: Value, value: Value) {
        self.levels.last_mut().expect("the body is always open").push((row, col, value));
    }

    /// A block that is emitted where it is met.
    pub fn block(&mut self, b: &mut Builder, block: EmitData) {
        let site = self.next_site;
        self.next_site += 1;
        b.emit(EmitData { site, ..block });
    }

    /// The innermost region is about to be closed: its entries are emitted, one emission each.
    pub fn close(&mut self, b: &mut Builder) {
        let entries = self.levels.pop().expect("a region is open");
        for (row, col, value) in entries {
            let site = self.next_site;
            self.next_site += 1;
            b.emit(EmitData {
                site,
                rows: vec![row],
                cols: vec![col],
                entries: vec![(0, 0)],
                values: vec![value],
                symmetric: false,
                direct: false,
                project: None,
            });
        }
    }
}
