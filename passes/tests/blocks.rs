//! Elements whose loops are kept: their matrix against the dense definition, and how many entries they emit.
#![allow(clippy::unwrap_used)]

mod element_support;

use element_support::{check, func};
use spadina_ir::func::{Func, InstData};
use spadina_ir::walk;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline::{self, Road};

const BRICK: &str = "
kernel brick<V, E>(x: var vec3[V], nodes: index<V>[E, 7], dn: f64[E, 6, 7, 3], w: f64[E, 6], mu: f64 = 1.0) -> f64 {
    sum e in 0..E, q in 0..6 {
        let mut f = zeros[3, 3];
        for a in 0..7 { f += outer(x[nodes[e, a]], dn[e, q, a]); }
        let j = 40.0 + det(f);
        w[e, q] * (0.5 * mu * (sqnorm(f) - 3.0) - mu * log(j * j) + log(1.0 + j^2)^2)
    }
}";

const RING: &str = "
kernel ring<V>(x: var vec3[V], nbr: index<V>[V, 9]) -> f64 {
    sum v in 0..V {
        let mut lap = vec3(0.0);
        let mut area = 1.0;
        for k in 0..9 {
            let d = x[nbr[v, k]] - x[v];
            let l = sqrt(1.0 + sqnorm(d));
            lap += d / l;
            area += l;
        }
        sqnorm(lap) / area
    }
}";

/// A value computed before the second loop and multiplied with what is loaded in it; a scalar unknown; two tables.
const VARIANCE: &str = "
kernel variance<V, E>(x: var f64[V], y: var vec2[V], c: var f64, nodes: index<V>[E, 6], more: index<V>[E, 6], w: f64[E]) -> f64 {
    sum e in 0..E {
        let mut mean = 0.0;
        for a in 0..6 { mean += w[e] * x[nodes[e, a]] * c; }
        let center = sin(mean) + 0.3 * x[more[e, 0]];
        let mut spread = 0.0;
        for a in 0..6 {
            let d = x[more[e, a]] - center;
            spread += d^2 * exp(0.2 * y[nodes[e, a]][1]) + y[nodes[e, 5 - a]][0] * center;
        }
        cos(spread) * (1.0 + center^2) + mean * spread
    }
}";

/// Coupled only inside an iteration: the pattern must not grow.
const SEPARATE: &str = "
kernel separate<V, E>(x: var vec2[V], nodes: index<V>[E, 8]) -> f64 {
    sum e in 0..E {
        let mut s = 0.0;
        for a in 0..8 { s += sin(x[nodes[e, a]][0] * x[nodes[e, a]][1]); }
        s
    }
}";

/// Only equal components are coupled.
const LAPLACE: &str = "
kernel laplace<V, E>(u: var vec2[V], nodes: index<V>[E, 6], dn: f64[E, 5, 6, 2], w: f64[E, 5]) -> f64 {
    sum e in 0..E, q in 0..5 {
        let mut g = zeros[2, 2];
        for a in 0..6 { g += outer(u[nodes[e, a]], dn[e, q, a]); }
        w[e, q] * sqnorm(g)
    }
}";

/// A condition that values decide between the element and the value.
const FLIPPED: &str = "
kernel flipped<V, E>(x: var f64[V], nodes: index<V>[E, 6], b: f64[E, 5]) -> f64 {
    sum e in 0..E, q in 0..5 {
        let mut s = 0.0;
        for a in 0..6 { s += b[e, q] * x[nodes[e, a]] * x[nodes[e, 0]]; }
        if s > 0.3 { log(1.0 + s)^2 } else { s * s * s }
    }
}";

/// Entries of emissions, by the number of loops around them.
fn emitted(func: &Func, region: spadina_ir::func::Region, depth: usize, into: &mut Vec<(usize, usize)>) {
    for &inst in &func.regions[region].insts {
        if let InstData::Emit(emit) = &func.insts[inst] {
            into.push((depth, emit.entries.len()));
        }
        for nested in func.insts[inst].regions() {
            emitted(func, nested, depth + 1, into);
        }
    }
}

/// Depths and numbers of entries of the emissions of a kernel with blocks.
fn shapes(text: &str) -> Vec<(usize, usize)> {
    let sparse = check(text).expect("the loops are kept");
    let mut found = Vec::new();
    emitted(&sparse.eval, sparse.eval.body, 0, &mut found);
    found.sort_unstable();
    found
}

#[test]
fn a_quadrature_loop_emits_one_block_an_element() {
    // A node with itself, inside the loops over elements and nodes; and pairs of nodes.
    assert_eq!(shapes(BRICK), [(2, 6), (3, 9)]);
}

#[test]
fn rings_of_fixed_length() {
    assert!(check(RING).is_some());
}

#[test]
fn loops_that_use_what_loops_before_them_computed() {
    assert!(check(VARIANCE).is_some());
}

#[test]
fn unknowns_that_meet_in_one_iteration_only() {
    assert!(check(SEPARATE).is_none());
}

#[test]
fn only_coupled_components_are_emitted() {
    assert_eq!(shapes(LAPLACE), [(2, 2), (3, 2)]);
}

#[test]
fn branches_between_the_element_and_its_value() {
    check(FLIPPED);
}

#[test]
fn code_does_not_grow_with_the_element() {
    let size = |text: &str| {
        let blocks = pipeline::hessian_by_blocks(&func(text), Weights::One).unwrap().unwrap();
        (walk::inst_count(&blocks.sparse.eval), blocks.slots)
    };
    let (small, _) = size(BRICK);
    let replaced = [
        ("E, 7]", "E, 20]"),
        ("E, 6]", "E, 27]"),
        ("E, 6, 7, 3]", "E, 27, 20, 3]"),
        ("..7", "..20"),
        ("..6", "..27"),
    ];
    let large = replaced.iter().fold(BRICK.to_owned(), |text, (from, to)| text.replace(from, to));
    let (count, slots) = size(&large);
    assert_eq!(slots, 60);
    assert!(count <= small + 20, "{small} instructions for 7 nodes, {count} for 20");
    assert_eq!(pipeline::hessian(&func(&large), Weights::One).unwrap().road, Road::Blocks);
}
