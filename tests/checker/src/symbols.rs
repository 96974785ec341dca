//! Strings as small numbers: a run repeats a few thousand ids a million times.

use std::collections::HashMap;
use std::sync::Arc;

/// A string that was seen. Its order means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sym(u32);

impl Sym {
    /// The empty string, which stands for no value.
    pub const NONE: Self = Self(0);

    /// True for the empty string.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// All strings of a run.
#[derive(Debug)]
pub struct Symbols {
    names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, Sym>,
}

impl Default for Symbols {
    fn default() -> Self {
        let none: Arc<str> = Arc::from("");
        Self {
            index: HashMap::from([(Arc::clone(&none), Sym::NONE)]),
            names: vec![none],
        }
    }
}

impl Symbols {
    /// The number of a string, a new one if it was not seen before.
    pub fn intern(&mut self, name: &str) -> Sym {
        if let Some(&known) = self.index.get(name) {
            return known;
        }
        let sym = Sym(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = Arc::from(name);
        self.names.push(Arc::clone(&name));
        self.index.insert(name, sym);
        sym
    }

    /// The number of a string that was seen.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Sym> {
        self.index.get(name).copied()
    }

    /// The string of a number.
    #[must_use]
    pub fn name(&self, sym: Sym) -> &str {
        self.names.get(sym.0 as usize).map_or("?", |name| name)
    }
}
