//! `--mesh`: which parameter gets what of a mesh.
//!
//! # Rule
//! 1. By name, where the shape fits: `x`, `vertices`, `points`, `pos`, `X`; `uv`; `edges`, `edge`; `faces`, `face`, `tris`, `tri`;
//!    `tets`, `tet`; `hinges`, `hinge`; the one-ring `ptr`, `nbr`, `opp`; what follows from the shape at rest: `rest`
//!    (edge lengths), `area`, `mass`, `rest_angle`.
//! 2. By shape: index arrays of 2, 3, 4 columns get edges, faces, tets (hinges where the mesh has no tets); then float arrays of
//!    3 columns whose rows are what those indices count get the vertices, those of 2 columns texture coordinates, or x and y of a
//!    mesh that is flat.
//!
//! What is bound by shape is told in a note. Parameters with defaults are left alone. Edges are all edges of faces and tets and the segments of the file, each once.

use super::console;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina_io::array::{Array, Data};
use spadina_io::generate::rest;
use spadina_io::mesh::read::read_mesh;
use spadina_io::mesh::types::Mesh;
use spadina_ir::func::{BufferData, Entries};
use spadina_ir::types::{SizeExpr, Ty};
use std::path::Path;

/// Binds a mesh to the parameters that ask for it.
pub(crate) fn bind(kernel: &Kernel, path: &Path, inputs: &mut Inputs) -> Result<(), Error> {
    let mesh = read_mesh(path)?;
    let of_file = |error: Error| Error::data(format!("{}: {error}", path.display()));
    let func = kernel.func();
    let buffers = kernel.lowered().params.iter().flat_map(|p| &p.buffers).map(|&b| &func.buffers[b]);
    let open: Vec<&BufferData> = buffers.filter(|data| data.default.is_none()).collect();
    let mut left = Vec::new();
    for data in open {
        match by_name(&mesh, &data.name).map_err(of_file)? {
            Some(array) if fits(data, &array) => {
                inputs.set(data.name.clone(), &array);
            }
            _ => left.push(data),
        }
    }
    let mut by_shape = Vec::new();
    let (indices, floats): (Vec<_>, Vec<_>) = left.into_iter().partition(|data| data.elem == Ty::Int);
    for data in indices {
        let columns = data.dims.get(1).and_then(SizeExpr::as_constant);
        if data.dims.len() != 2 || !matches!(data.entries, Entries::Index(_)) {
            continue;
        }
        let (array, what) = match columns {
            Some(2) => (Array::index_rows(&mesh.edges()), "edges"),
            Some(3) => (Array::index_rows(&mesh.faces), "faces"),
            Some(4) if !mesh.tets.is_empty() => (Array::index_rows(&mesh.tets), "tets"),
            Some(4) => (Array::index_rows(&mesh.hinges().map_err(|e| of_file(e.into()))?), "hinges"),
            _ => continue,
        };
        inputs.set(data.name.clone(), &array);
        by_shape.push(format!("`{}` from {what}", data.name));
    }
    let counted = kernel.lowered().params.iter().flat_map(|p| &p.buffers).find_map(|&b| {
        let data = &func.buffers[b];
        match &data.entries {
            Entries::Index(bounds) if inputs.get(&data.name).is_some() => bounds.first().cloned(),
            _ => None,
        }
    });
    for data in floats {
        let over_vertices = counted.as_ref().is_none_or(|bound| data.dims.first() == Some(bound));
        if data.dims.len() != 2 || !over_vertices {
            continue;
        }
        let (array, what) = match data.dims[1].as_constant() {
            Some(3) => (Some(Array::rows(&mesh.vertices)), "vertices"),
            Some(2) => (planar(&mesh), "coordinates in the plane"),
            _ => continue,
        };
        if let Some(array) = array {
            inputs.set(data.name.clone(), &array);
            by_shape.push(format!("`{}` from {what}", data.name));
        }
    }
    if !by_shape.is_empty() {
        console::note(&format!("bound by shape: {}", by_shape.join(", ")));
    }
    Ok(())
}

fn by_name(mesh: &Mesh, name: &str) -> Result<Option<Array>, Error> {
    let floats = |values: Vec<f64>| Array::vector(Data::F64(values));
    let integers = |values: Vec<i64>| Array::vector(Data::I64(values));
    let areas = || rest::areas(&mesh.vertices, &mesh.faces);
    Ok(Some(match name {
        "x" | "X" | "vertices" | "points" | "pos" => Array::rows(&mesh.vertices),
        "uv" => match planar(mesh) {
            Some(array) => array,
            None => return Ok(None),
        },
        "edges" | "edge" => Array::index_rows(&mesh.edges()),
        "faces" | "face" | "tris" | "tri" => Array::index_rows(&mesh.faces),
        "tets" | "tet" => Array::index_rows(&mesh.tets),
        "hinges" | "hinge" => Array::index_rows(&mesh.hinges()?),
        "ptr" => integers(mesh.one_ring().ptr),
        "nbr" => integers(mesh.one_ring().nbr),
        "opp" => integers(mesh.one_ring().opp),
        "rest" => floats(rest::lengths(&mesh.vertices, &mesh.edges())),
        "area" => floats(areas()),
        "mass" => floats(rest::masses(mesh.vertices.len(), &mesh.faces, &areas())),
        "rest_angle" => floats(rest::dihedral_angles(&mesh.vertices, &mesh.hinges()?)),
        _ => return Ok(None),
    }))
}

/// Texture coordinates, or x and y where z is constant.
fn planar(mesh: &Mesh) -> Option<Array> {
    if let Some(uv) = &mesh.uv {
        return Some(Array::rows(uv));
    }
    let first = mesh.vertices.first().map(|p| p[2]);
    let flat = mesh.vertices.iter().all(|p| Some(p[2]) == first);
    let corners: Vec<[f64; 2]> = mesh.vertices.iter().map(|p| [p[0], p[1]]).collect();
    flat.then(|| Array::rows(&corners))
}

/// Whether an array has the element type, rank and literal dimensions of a parameter.
fn fits(data: &BufferData, array: &Array) -> bool {
    let integer = matches!(array.data(), Data::I64(_));
    integer == (data.elem == Ty::Int)
        && data.dims.len() == array.shape().len()
        && data
            .dims
            .iter()
            .zip(array.shape())
            .all(|(dim, &extent)| dim.as_constant().is_none_or(|literal| literal == extent as i64))
}
