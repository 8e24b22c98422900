//! Algebra on a tape: products and sums as multisets, so that equal ones are one and parts of them are shared.
//!
//! # Problem
//! ```text
//! (w a) b, (w b) a; x + (y + z), (x + z) + u      ==>   w (a b) once; x + z once
//! (p / d)^2 + (q / d)^2                           ==>   (p^2 + q^2) / d^2, where that is cheaper
//! ```
//! # Method
//! 1. Products are flattened through products, sums through sums that only they use. Factors and terms are sorted; like terms are added.
//!    So equal products and sums become one, and what cancels is gone.
//! 2. Reciprocals of a square root and of its square are one: where `1/r` is needed `1/s` is `(1/r)^2`.
//! 3. Optionally, sums are split by the factor that most of their terms share, again and again.
//! 4. Pairs of factors, then pairs of terms, that several multisets hold are combined once (`ad/share`).
//! 5. The result is built on the tape beside what was there; the cheaper one is taken.
//!
//! # Why it keeps the meaning
//! Commutative, associative and distributive laws. Results change by rounding. A root that would become a literal zero stays as it
//! was: patterns do not change.
//!
//! # Limits
//! Products and sums over `LONGEST` stay as they are associated. Values that are there already are not taken apart.

use crate::ad::share::{Item, share};
use crate::ad::tape::{Node, Ref, Tape};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};
use spadina_ir::math::{is_moderate, vanishes};
use std::collections::BTreeMap;

/// Longest product or sum that is flattened.
const LONGEST: usize = 24;

/// Whether sums are split by common factors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Factoring {
    /// They are.
    Common,
    /// They are not.
    None,
}

/// The same values computed more cheaply, or as they were.
pub fn improve(tape: &mut Tape, roots: &[Ref], factoring: Factoring) -> Vec<Ref> {
    let before = tape.cost(roots);
    let forms = Forms::new(tape, roots, factoring);
    let terms: Vec<Term> = roots.iter().map(|&root| forms.of(root)).collect();
    let Forms { atoms, roots: squares, .. } = forms;
    let mut better = Build::new(tape, &atoms, &squares, &terms).run(&terms);
    for (new, &old) in better.iter_mut().zip(roots) {
        if tape.as_literal(*new) == Some(0.0) {
            *new = old;
        }
    }
    if tape.cost(&better) < before { better } else { roots.to_vec() }
}

/// Atoms that are multiplied, sorted.
type Factors = SmallVec<[u32; 8]>;

/// A product of atoms with a literal coefficient.
#[derive(Clone, PartialEq, Debug)]
struct Term {
    coefficient: f64,
    factors: Factors,
}

impl Term {
    fn key(&self) -> (u64, Factors) {
        (self.coefficient.to_bits(), self.factors.clone())
    }
}

/// What products are made of.
enum Atom {
    /// A node of the tape that is not taken apart.
    Given(Ref),
    /// A reciprocal.
    Inv(Term),
    /// A product too long to be flattened.
    Product(Term),
    /// A sum of two terms or more.
    Sum(Vec<Term>),
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Given(Ref),
    Inv((u64, Factors)),
    Product((u64, Factors)),
    Sum(Vec<(u64, Factors)>),
}

/// The atoms of a square root, of its square, and of their reciprocals as far as they are there.
struct Root {
    itself: u32,
    square: u32,
    inverse: Option<u32>,
    square_inverse: Option<u32>,
}

/// The normal forms of nodes.
struct Forms<'a> {
    tape: &'a Tape,
    atoms: Vec<Atom>,
    table: FxHashMap<Key, u32>,
    /// By node.
    terms: Vec<Option<Term>>,
    /// Sums that become part of the only sum that uses them.
    inlined: Vec<bool>,
    roots: Vec<Root>,
    factoring: Factoring,
}

impl<'a> Forms<'a> {
    fn new(tape: &'a Tape, roots: &[Ref], factoring: Factoring) -> Forms<'a> {
        let uses = tape.uses(roots);
        let count = uses.len();
        let mut inlined = vec![false; count];
        let mut lengths = vec![1; count];
        for n in (0..count).filter(|&n| uses[n] > 0 && !tape.is_built(n)) {
            let Node::Add(x, y) = tape.get(n) else { continue };
            lengths[n] = 2;
            for part in [x.node(), y.node()] {
                let sum = matches!(tape.get(part), Node::Add(..)) && !tape.is_built(part);
                if sum && x.node() != y.node() && uses[part] == 1 && lengths[n] + lengths[part] <= LONGEST {
                    inlined[part] = true;
                    lengths[n] += lengths[part] - 1;
                }
            }
        }
        let terms = vec![None; count];
        let (atoms, table) = (Vec::new(), FxHashMap::default());
        let mut forms = Forms { tape, atoms, table, terms, inlined, roots: Vec::new(), factoring };
        for n in (0..count).filter(|&n| uses[n] > 0) {
            if !forms.inlined[n] {
                forms.terms[n] = Some(forms.node(n));
            }
        }
        forms
    }

    /// The form of a reference that the roots reach.
    fn of(&self, a: Ref) -> Term {
        let mut term = self.terms[a.node()].clone().expect("operands come first");
        if a.is_negated() {
            term.coefficient = -term.coefficient;
        }
        term
    }

    fn atom(&mut self, key: Key, atom: Atom) -> u32 {
        let next = self.atoms.len() as u32;
        let number = *self.table.entry(key).or_insert(next);
        if number == next {
            self.atoms.push(atom);
        }
        number
    }

    fn given(&mut self, node: usize) -> Term {
        let given = self.tape.reference(node);
        let atom = self.atom(Key::Given(given), Atom::Given(given));
        if let Some(square) = self.tape.square(node).filter(|square| !square.is_negated())
            && self.tape.is_given(square.node())
            && self.roots.iter().all(|known| known.itself != atom)
        {
            let square = self.atom(Key::Given(square), Atom::Given(square));
            self.roots.push(Root { itself: atom, square, inverse: None, square_inverse: None });
        }
        Term { coefficient: 1.0, factors: smallvec![atom] }
    }

    /// The reciprocal of a term whose coefficient is positive.
    fn reciprocal(&mut self, term: Term) -> u32 {
        let plain = term.coefficient == 1.0;
        let factor = (plain && term.factors.len() == 1).then(|| term.factors[0]);
        let atom = self.atom(Key::Inv(term.key()), Atom::Inv(term));
        for known in &mut self.roots {
            if factor == Some(known.itself) {
                known.inverse = Some(atom);
            } else if factor == Some(known.square) {
                known.square_inverse = Some(atom);
            }
        }
        atom
    }

    /// The reciprocal of a square becomes that of its root, twice, where that one is there. Not the other way round: `r (1/s)` is no number
    /// where `1/r` is infinite.
    fn split_squares(&self, factors: &mut Factors) {
        for known in &self.roots {
            let (Some(inverse), Some(square)) = (known.inverse, known.square_inverse) else { continue };
            for n in 0..factors.len() {
                if factors[n] == square {
                    factors[n] = inverse;
                    factors.push(inverse);
                }
            }
        }
        factors.sort_unstable();
    }

    /// A literal multiple of something that is there, too: its factor may meet others.
    fn multiple(&mut self, n: usize) -> Option<Term> {
        let Node::Mul(x, y) = self.tape.get(n) else { return None };
        let (literal, rest) = match (self.tape.as_literal(x), self.tape.as_literal(y)) {
            (Some(literal), None) => (literal, y),
            (None, Some(literal)) => (literal, x),
            _ => return None,
        };
        let mut term = self.tape.is_given(rest.node()).then(|| self.given(rest.node()))?;
        term.coefficient *= literal;
        Some(term)
    }

    fn node(&mut self, n: usize) -> Term {
        if self.tape.is_built(n) {
            return self.multiple(n).unwrap_or_else(|| self.given(n));
        }
        match self.tape.get(n) {
            Node::Leaf(_) => self.given(n),
            Node::Literal(bits) => Term { coefficient: f64::from_bits(bits), factors: Factors::new() },
            Node::Mul(x, y) => {
                let (x, y) = (self.of(x), self.of(y));
                self.product(&x, &y)
            }
            Node::Inv(x) => {
                let mut x = self.of(x);
                let sign = x.coefficient.signum();
                x.coefficient = x.coefficient.abs();
                let atom = self.reciprocal(x);
                Term { coefficient: sign, factors: smallvec![atom] }
            }
            Node::Add(..) => {
                let mut sum: BTreeMap<Factors, f64> = BTreeMap::new();
                let mut stack = vec![self.tape.reference(n)];
                while let Some(a) = stack.pop() {
                    match self.tape.get(a.node()) {
                        Node::Add(x, y) if a.node() == n || self.inlined[a.node()] => {
                            stack.extend([x.signed_by(a), y.signed_by(a)]);
                        }
                        _ => {
                            let term = self.of(a);
                            *sum.entry(term.factors).or_insert(0.0) += term.coefficient;
                        }
                    }
                }
                self.sum(sum)
            }
        }
    }

    fn product(&mut self, x: &Term, y: &Term) -> Term {
        let coefficient = x.coefficient * y.coefficient;
        let (bare_x, bare_y) = (x.factors.is_empty(), y.factors.is_empty());
        let joins = match (bare_x, bare_y) {
            (true, true) => !vanishes([x.coefficient, y.coefficient], coefficient),
            (false, false) => is_moderate(coefficient),
            _ => coefficient.is_normal(),
        };
        if !joins && x.coefficient != 0.0 && y.coefficient != 0.0 {
            // Literals that scale unknowns stay with them: their product may be zero where no result is.
            let first = if bare_x || bare_y { bare_y } else { !is_moderate(x.coefficient) };
            let (far, near) = if first { (x, y) } else { (y, x) };
            let atom = self.atom(Key::Product(far.key()), Atom::Product(far.clone()));
            let mut factors = near.factors.clone();
            factors.push(atom);
            factors.sort_unstable();
            return Term { coefficient: near.coefficient, factors };
        }
        let mut factors = x.factors.clone();
        factors.extend_from_slice(&y.factors);
        self.split_squares(&mut factors);
        if factors.len() <= LONGEST {
            return Term { coefficient, factors };
        }
        // One of them stays whole.
        let (long, short) = if x.factors.len() >= y.factors.len() { (x, y) } else { (y, x) };
        let whole = Term { coefficient: 1.0, factors: long.factors.clone() };
        let atom = self.atom(Key::Product(whole.key()), Atom::Product(whole));
        let mut factors = short.factors.clone();
        factors.push(atom);
        factors.sort_unstable();
        Term { coefficient, factors }
    }

    fn sum(&mut self, mut terms: BTreeMap<Factors, f64>) -> Term {
        terms.retain(|_, coefficient| *coefficient != 0.0);
        let mut passed = Vec::new();
        while terms.len() > 1 && self.factoring == Factoring::Common {
            let Some(factor) = self.most_common(&terms, &passed) else { break };
            let mut inside = BTreeMap::new();
            terms.retain(|factors, coefficient| match factors.binary_search(&factor) {
                Ok(at) => {
                    let mut rest = factors.clone();
                    rest.remove(at);
                    inside.insert(rest, *coefficient);
                    false
                }
                Err(_) => true,
            });
            if inside.len() == 2 && inside.contains_key(&Factors::new()) {
                // As many operations as before, and the other term is no longer there for others.
                for (mut rest, coefficient) in inside {
                    rest.push(factor);
                    rest.sort_unstable();
                    terms.insert(rest, coefficient);
                }
                passed.push(factor);
                continue;
            }
            let inner = self.sum(inside);
            let whole = self.product(&inner, &Term { coefficient: 1.0, factors: smallvec![factor] });
            *terms.entry(whole.factors).or_insert(0.0) += whole.coefficient;
            terms.retain(|_, coefficient| *coefficient != 0.0);
        }
        let Some((_, &first)) = terms.first_key_value() else {
            return Term { coefficient: 0.0, factors: Factors::new() };
        };
        if terms.len() == 1 {
            let (factors, coefficient) = terms.pop_first().expect("one is left");
            return Term { coefficient, factors };
        }
        let uniform = first.is_finite() && terms.values().all(|c| c.abs() == first.abs());
        let scale = if uniform { first } else { first.signum() };
        let terms = terms.into_iter().map(|(factors, c)| Term { coefficient: c / scale, factors });
        let terms: Vec<Term> = terms.collect();
        let key = Key::Sum(terms.iter().map(Term::key).collect());
        let atom = self.atom(key, Atom::Sum(terms));
        Term { coefficient: scale, factors: smallvec![atom] }
    }

    /// The factor that most terms have, two at least; among equals a reciprocal, which leaves products that others need.
    fn most_common(&self, terms: &BTreeMap<Factors, f64>, passed: &[u32]) -> Option<u32> {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for factors in terms.keys() {
            for (n, &factor) in factors.iter().enumerate() {
                if (n == 0 || factors[n - 1] != factor) && !passed.contains(&factor) {
                    *counts.entry(factor).or_insert(0) += 1;
                }
            }
        }
        let is_inverse = |atom: u32| matches!(self.atoms[atom as usize], Atom::Inv(_));
        let best = counts
            .into_iter()
            .max_by_key(|&(factor, count)| (count, is_inverse(factor), std::cmp::Reverse(factor)));
        best.filter(|&(_, count)| count > 1).map(|(factor, _)| factor)
    }
}

/// Normal forms on their way back to the tape.
struct Build<'a> {
    tape: &'a mut Tape,
    atoms: &'a [Atom],
    roots: &'a [Root],
    live: Vec<bool>,
    /// Products by their factors, a literal coefficient among them.
    products: FxHashMap<Factors, u32>,
    /// The factors of each product, pairs combined.
    lists: Vec<Vec<Item>>,
    /// Literals are atoms behind the others.
    literals: Vec<f64>,
}

impl<'a> Build<'a> {
    fn new(tape: &'a mut Tape, atoms: &'a [Atom], roots: &'a [Root], terms: &[Term]) -> Build<'a> {
        let live = vec![false; atoms.len()];
        let (products, lists, literals) = (FxHashMap::default(), Vec::new(), Vec::new());
        let mut build = Build { tape, atoms, roots, live, products, lists, literals };
        for term in terms {
            build.need(term);
        }
        // What an atom needs has smaller numbers.
        for n in (0..atoms.len()).rev() {
            match &atoms[n] {
                _ if !build.live[n] => {}
                Atom::Given(_) => {}
                Atom::Inv(term) | Atom::Product(term) => build.need(term),
                Atom::Sum(terms) => terms.iter().for_each(|term| build.need(term)),
            }
        }
        build
    }

    /// The factors of a term with its coefficient's size among them.
    fn factors(&mut self, term: &Term) -> Factors {
        let size = term.coefficient.abs();
        let mut factors = term.factors.clone();
        if size != 1.0 || factors.is_empty() {
            let known = self.literals.iter().position(|x| x.to_bits() == size.to_bits());
            let at = known.unwrap_or_else(|| {
                self.literals.push(size);
                self.literals.len() - 1
            });
            factors.push((self.atoms.len() + at) as u32);
        }
        factors
    }

    fn need(&mut self, term: &Term) {
        term.factors.iter().for_each(|&atom| self.live[atom as usize] = true);
        let factors = self.factors(term);
        let next = self.lists.len() as u32;
        let number = *self.products.entry(factors.clone()).or_insert(next);
        if number == next {
            self.lists.push(factors.into_iter().map(|atom| Item(atom, false)).collect());
        }
    }

    fn product(&mut self, term: &Term) -> Item {
        let factors = self.factors(term);
        Item(self.products[&factors], term.coefficient < 0.0)
    }
}

impl Build<'_> {
    /// Builds the terms.
    fn run(mut self, roots: &[Term]) -> Vec<Ref> {
        let live: Vec<usize> = (0..self.atoms.len()).filter(|&n| self.live[n]).collect();
        let mut sums: Vec<Vec<Item>> = Vec::new();
        let mut sum_of: Vec<usize> = vec![0; self.atoms.len()];
        for &n in &live {
            if let Atom::Sum(terms) = &self.atoms[n] {
                sum_of[n] = sums.len();
                let mut list: Vec<Item> = terms.iter().map(|term| self.product(term)).collect();
                list.sort_unstable();
                sums.push(list);
            }
        }
        let given = self.atoms.len() + self.literals.len();
        let mut factors = Values {
            refs: vec![None; given],
            given,
            pairs: share(&mut self.lists, given as u32),
            sum: false,
        };
        for (n, &literal) in self.literals.iter().enumerate() {
            factors.refs[self.atoms.len() + n] = Some(self.tape.literal(literal));
        }
        let pairs = share(&mut sums, self.lists.len() as u32);
        let mut parts =
            Values { refs: vec![None; self.lists.len()], given: self.lists.len(), pairs, sum: true };
        for &n in &live {
            let value = match &self.atoms[n] {
                Atom::Given(a) => *a,
                Atom::Product(term) => self.build_product(term, &mut factors, &mut parts),
                Atom::Inv(term) => {
                    let a = self.build_product(term, &mut factors, &mut parts);
                    match self.root_of(n as u32) {
                        Some(root) => {
                            let inverse = self.tape.inv(root);
                            self.tape.mul(inverse, inverse)
                        }
                        None => self.tape.inv(a),
                    }
                }
                Atom::Sum(terms) => {
                    for term in terms {
                        self.build_product(term, &mut factors, &mut parts);
                    }
                    parts.fold(self.tape, &sums[sum_of[n]])
                }
            };
            factors.refs[n] = Some(value);
        }
        roots.iter().map(|root| self.build_product(root, &mut factors, &mut parts)).collect()
    }

    /// The root of a square whose reciprocal an atom is, where the reciprocal of the root is needed, too.
    fn root_of(&self, atom: u32) -> Option<Ref> {
        let root = self.roots.iter().find(|known| known.square_inverse == Some(atom))?;
        let both = root.inverse.is_some_and(|inverse| self.live[inverse as usize]);
        match self.atoms[root.itself as usize] {
            Atom::Given(root) if both => Some(root),
            _ => None,
        }
    }

    /// Builds a product, if it is not there, and remembers its size as a part of sums.
    fn build_product(&mut self, term: &Term, factors: &mut Values, parts: &mut Values) -> Ref {
        let Item(number, negated) = self.product(term);
        let size = match parts.refs[number as usize] {
            Some(size) => size,
            None => factors.fold(self.tape, &self.lists[number as usize]),
        };
        parts.refs[number as usize] = Some(size);
        if negated { size.negate() } else { size }
    }
}

/// What items are on the tape.
struct Values {
    refs: Vec<Option<Ref>>,
    /// How many items are not pairs.
    given: usize,
    /// The items behind those of `refs`.
    pairs: Vec<(Item, Item)>,
    /// Whether items are added, or multiplied.
    sum: bool,
}

impl Values {
    fn combine(&self, tape: &mut Tape, a: Ref, b: Ref) -> Ref {
        if self.sum { tape.add(a, b) } else { tape.mul(a, b) }
    }

    /// The value of an item; pairs are combined when they are first needed (they nest no deeper than lists are long).
    fn of(&mut self, tape: &mut Tape, Item(item, negated): Item) -> Ref {
        let at = item as usize;
        if self.refs.len() <= at {
            self.refs.resize(at + 1, None);
        }
        let value = if let Some(value) = self.refs[at] {
            value
        } else {
            let (a, b) = self.pairs[at - self.given];
            let (a, b) = (self.of(tape, a), self.of(tape, b));
            self.combine(tape, a, b)
        };
        self.refs[at] = Some(value);
        if negated { value.negate() } else { value }
    }

    fn fold(&mut self, tape: &mut Tape, list: &[Item]) -> Ref {
        let mut items = list.iter();
        let first = *items.next().expect("no product or sum is empty");
        let mut value = self.of(tape, first);
        for &item in items {
            let next = self.of(tape, item);
            value = self.combine(tape, value, next);
        }
        value
    }
}
