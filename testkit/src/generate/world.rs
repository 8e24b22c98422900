//! The declarations of a random program: sizes, unknowns, tables, data and outputs.

use super::Config;
use crate::range::Range;
use crate::rng::Rng;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, BufferData, Entries, Plane, Role};
use spadina_ir::types::{SizeExpr, Ty};

/// Points of quadrature of an element with many unknowns.
pub(super) const POINTS: i64 = 5;

/// A scratch array that has been filled, one scalar a vertex or cell.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    pub(super) buffer: Buffer,
    pub(super) range: Range,
}

/// What a program can use. `V` vertices, `E` elements over tables, an `N` (and `N x N`) grid, `R` neighbors.
pub(super) struct World {
    pub(super) v: SizeExpr,
    pub(super) e: SizeExpr,
    pub(super) n: SizeExpr,
    /// `f64[V, dim]`, or `f64[V]` where `dim` is `None`.
    pub(super) x: Buffer,
    pub(super) dim: Option<i64>,
    /// `f64[N]`
    pub(super) y: Option<Buffer>,
    /// `f64[N, N]`
    pub(super) z: Option<Buffer>,
    /// `f64`: an unknown that every element shares.
    pub(super) c: Option<Buffer>,
    /// `int[E, arity]`, entries in `0..V`.
    pub(super) elements: Buffer,
    pub(super) arity: i64,
    /// `int[E]`, entries in `0..N`.
    pub(super) cell: Buffer,
    /// `int[V + 1]` and `int[R]`, entries in `0..V`.
    pub(super) neighbors: Option<(Buffer, Buffer)>,
    /// `int[E, nodes]`, entries in `0..V`, with their number, and `f64[E, POINTS, nodes]`.
    pub(super) wide: Option<(Buffer, i64, Buffer)>,
    /// `f64`
    pub(super) k: Buffer,
    /// `f64[E]`
    pub(super) w: Buffer,
    /// `f32[V]`
    pub(super) mass: Option<Buffer>,
    /// `bool[E]`
    pub(super) on: Buffer,
    /// `f64[E]`, structural.
    pub(super) gap: Buffer,
    /// `int[V]`, anything.
    pub(super) level: Buffer,
    pub(super) stages: Vec<Stage>,
    /// Intermediate arrays over the grid.
    pub(super) on_cells: Vec<Stage>,
    /// `f64`
    pub(super) value: Option<Buffer>,
    /// `f64[E, 2]`
    pub(super) on_elements: Option<Buffer>,
    /// `f64[V]`
    pub(super) on_vertices: Option<Buffer>,
    /// `f64[N + 1]`
    pub(super) on_grid: Option<Buffer>,
}

impl World {
    pub(super) fn declare(b: &mut Builder, rng: &mut Rng, config: &Config, residual: bool) -> World {
        let [v, e, n] = ["V", "E", "N"].map(|name| SizeExpr::size(b.size_symbol(name)));
        let plus_one = |size: &SizeExpr| SizeExpr { constant: 1, terms: size.terms.clone() };
        let mut declare = Declare { b };
        let dim = if config.pairs { Some(3) } else { rng.chance(0.7).then(|| rng.int(1, 3)) };
        let x_dims = [v.clone()].into_iter().chain(dim.map(SizeExpr::constant)).collect();
        let x = declare.float("x", Role::Var, x_dims);
        let y = (config.guards || rng.chance(0.6)).then(|| declare.float("y", Role::Var, vec![n.clone()]));
        let z = rng.chance(0.3).then(|| declare.float("z", Role::Var, vec![n.clone(), n.clone()]));
        let c = rng.chance(0.3).then(|| declare.float("c", Role::Var, Vec::new()));
        let arity = rng.int(2, 3);
        let over_v = || Entries::Index(vec![v.clone()]);
        let table = vec![e.clone(), SizeExpr::constant(arity)];
        let elements = declare.int("elements", table, over_v());
        let cell = declare.int("cell", vec![e.clone()], Entries::Index(vec![n.clone()]));
        let neighbors = (config.ragged && rng.chance(0.6)).then(|| {
            let r = SizeExpr::size(declare.b.size_symbol("R"));
            let ptr = declare.int("ptr", vec![plus_one(&v)], Entries::Offsets(r.clone()));
            (ptr, declare.int("nbr", vec![r], over_v()))
        });
        let wide = config.wide.then(|| {
            let nodes = rng.int(5, 6);
            let table = vec![e.clone(), SizeExpr::constant(nodes)];
            let shape = vec![e.clone(), SizeExpr::constant(POINTS), SizeExpr::constant(nodes)];
            let nodes_of = declare.int("nodes", table, over_v());
            (nodes_of, nodes, declare.float("slopes", Role::Data, shape))
        });
        let k = declare.buffer("k", Ty::F64, Role::Data, Vec::new(), Entries::Any, Some(1.25));
        let w = declare.float("w", Role::Data, vec![e.clone()]);
        let mass = rng
            .chance(0.3)
            .then(|| declare.buffer("mass", Ty::F32, Role::Data, vec![v.clone()], Entries::Any, None));
        let on = declare.buffer("on", Ty::Bool, Role::Structural, vec![e.clone()], Entries::Any, None);
        let gap = declare.float("gap", Role::Structural, vec![e.clone()]);
        let level = declare.int("level", vec![v.clone()], Entries::Any);
        let mut world = World {
            x,
            dim,
            y,
            z,
            c,
            elements,
            arity,
            cell,
            neighbors,
            wide,
            k,
            w,
            mass,
            on,
            gap,
            level,
            stages: Vec::new(),
            on_cells: Vec::new(),
            value: None,
            on_elements: None,
            on_vertices: None,
            on_grid: None,
            v,
            e,
            n,
        };
        let mut rows = Vec::new();
        if residual {
            let chosen = rng.int(1, 7) | if config.guards { 4 } else { 0 };
            if chosen & 1 != 0 {
                let dims = vec![world.e.clone(), SizeExpr::constant(2)];
                world.on_elements = Some(declare.float("on_elements", Role::Output, dims));
            }
            let grid = y.is_some() || z.is_some();
            if chosen & 2 != 0 || !grid {
                world.on_vertices = Some(declare.float("on_vertices", Role::Output, vec![world.v.clone()]));
            }
            if chosen & 4 != 0 && grid {
                world.on_grid = Some(declare.float("on_grid", Role::Output, vec![plus_one(&world.n)]));
            }
            rows.extend([world.on_elements, world.on_vertices, world.on_grid].into_iter().flatten());
        } else {
            world.value = Some(declare.float("value", Role::Output, Vec::new()));
            rows.extend(world.value);
        }
        b.set_columns([Some(x), y, z, c].into_iter().flatten().collect());
        b.set_rows(rows);
        world
    }
}

/// Short ways to declare buffers.
pub(super) struct Declare<'a> {
    pub(super) b: &'a mut Builder,
}

impl Declare<'_> {
    pub(super) fn float(&mut self, name: &str, role: Role, dims: Vec<SizeExpr>) -> Buffer {
        self.buffer(name, Ty::F64, role, dims, Entries::Any, None)
    }

    fn int(&mut self, name: &str, dims: Vec<SizeExpr>, entries: Entries) -> Buffer {
        self.buffer(name, Ty::Int, Role::Structural, dims, entries, None)
    }

    fn buffer(
        &mut self,
        name: &str,
        elem: Ty,
        role: Role,
        dims: Vec<SizeExpr>,
        entries: Entries,
        default: Option<f64>,
    ) -> Buffer {
        let name = self.b.func().fresh_buffer_name(name);
        let plane = Plane::Primal;
        self.b.buffer(BufferData { name, elem, dims, role, plane, entries, default, span: (0, 0) })
    }
}
