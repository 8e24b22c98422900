//! A quadratic form on live values of a function under construction: what an elimination carries downward.

use spadina_ir::builder::Builder;
use spadina_ir::func::Value;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A quadratic form on live values: adjoints, and symmetric arcs stored both ways.
#[derive(Default, Clone)]
pub struct Form {
    /// First-order coefficients.
    pub bars: BTreeMap<Value, Value>,
    /// Second-order coefficients: `arcs[u][w] = arcs[w][u]`.
    pub arcs: BTreeMap<Value, BTreeMap<Value, Value>>,
    /// The largest value that has become live since it was last asked for.
    newest: Option<Value>,
}

impl Form {
    /// Adds to an adjoint.
    pub fn add_bar(&mut self, b: &mut Builder, value: Value, bar: Value) {
        if b.is_float(bar, 0.0) {
            return;
        }
        let sum = match self.bars.get(&value) {
            Some(&old) => b.add(old, bar),
            None => bar,
        };
        self.bars.insert(value, sum);
        self.newest = self.newest.max(Some(value));
    }

    /// Adds to an arc.
    pub fn add_arc(&mut self, b: &mut Builder, u: Value, w: Value, weight: Value) {
        if b.is_float(weight, 0.0) {
            return;
        }
        let sum = match self.arcs.get(&u).and_then(|row| row.get(&w)) {
            Some(&old) => b.add(old, weight),
            None => weight,
        };
        self.arcs.entry(u).or_default().insert(w, sum);
        self.arcs.entry(w).or_default().insert(u, sum);
        self.newest = self.newest.max(Some(u)).max(Some(w));
    }

    /// Removes a value; returns its adjoint and its arcs (its self-arc among them).
    pub fn take(&mut self, value: Value) -> (Option<Value>, BTreeMap<Value, Value>) {
        let bar = self.bars.remove(&value);
        let arcs = self.arcs.remove(&value).unwrap_or_default();
        for w in arcs.keys() {
            let empty = self.arcs.get_mut(w).is_some_and(|row| {
                row.remove(&value);
                row.is_empty()
            });
            if empty {
                self.arcs.remove(w);
            }
        }
        (bar, arcs)
    }

    /// The next value to eliminate: the last live one before `end`, where the walk stands, or one that has become live behind it.
    /// (What an `if` or a loop captures may have been built later than itself: equal computations are shared.)
    pub fn next(&mut self, end: &mut Option<Value>) -> Option<Value> {
        if let (Some(newest), Some(stand)) = (self.newest.take(), *end)
            && newest >= stand
        {
            *end = Some(Value::from_u32(newest.as_u32() + 1));
        }
        let range = (Bound::Unbounded, end.map_or(Bound::Unbounded, Bound::Excluded));
        let bar = self.bars.range(range).next_back().map(|(&v, _)| v);
        let arc = self.arcs.range(range).next_back().map(|(&v, _)| v);
        *end = bar.max(arc).or(*end);
        bar.max(arc)
    }
}

/// Pushes the arcs of an eliminated value onto its arguments.
pub fn push(
    b: &mut Builder,
    form: &mut Form,
    u: Value,
    arcs: &BTreeMap<Value, Value>,
    first: &[(Value, Value)],
) {
    let own = arcs.get(&u).copied();
    let is_argument = |z: &Value| first.iter().any(|(a, _)| a == z);
    let mixed = own.is_some() && arcs.keys().any(|z| *z != u && is_argument(z));
    for (&z, &weight) in arcs {
        if z == u || (mixed && is_argument(&z)) {
            continue;
        }
        for &(a, p) in first {
            let pushed = b.mul(p, weight);
            let pushed = if a == z { b.add(pushed, pushed) } else { pushed };
            form.add_arc(b, a, z, pushed);
        }
    }
    let Some(own) = own else { return };
    if mixed {
        // p s^T + s p^T with s = arcs to the arguments + (own / 2) p
        let half = b.float(b.func().ty(own), 0.5);
        let half = b.mul(half, own);
        let s: Vec<Value> = first
            .iter()
            .map(|(a, p)| {
                let scaled = b.mul(half, *p);
                arcs.get(a).map_or(scaled, |&w| b.add(w, scaled))
            })
            .collect();
        for (i, &(a, p)) in first.iter().enumerate() {
            for (j, &(c, q)) in first.iter().enumerate().skip(i) {
                let (x, y) = (b.mul(p, s[j]), b.mul(q, s[i]));
                let pushed = b.add(x, y);
                form.add_arc(b, a, c, pushed);
            }
        }
        return;
    }
    let scaled: Vec<Value> = first.iter().map(|&(_, p)| b.mul(p, own)).collect();
    for (i, &(a, _)) in first.iter().enumerate() {
        for &(c, p) in &first[i..] {
            let pushed = b.mul(scaled[i], p);
            form.add_arc(b, a, c, pushed);
        }
    }
}
