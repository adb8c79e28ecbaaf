//! The names of functions by address, from the debug information and the symbol table of this program.
//!
//! Neither is enough alone: line tables know inlined functions, files and lines, but call a function `poll<…>` and not by its
//! path; the symbol table has the path, but only of functions that were not inlined.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use object::read::ReadCache;
use object::{Object as _, ObjectSymbol as _, SymbolKind};

use super::samples::{Function, Line};

/// Functions of this program that have code of their own, by the addresses that were asked for.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<u64, String>);

impl Names {
    /// Reads the symbol table; what cannot be read is left to the line tables. Of a hundred thousand names, only those at the
    /// `wanted` addresses are kept.
    pub(super) fn at(wanted: BTreeSet<u64>) -> Self {
        Self::read(wanted).unwrap_or_default()
    }

    fn read(wanted: BTreeSet<u64>) -> Option<Self> {
        let path = std::fs::read_link("/proc/self/exe").ok()?;
        let base = base(&std::fs::read_to_string("/proc/self/maps").ok()?, &path)?;
        let wanted: Vec<u64> = wanted.into_iter().collect();
        // By this path also when the file was replaced by a newer one meanwhile.
        let cache = ReadCache::new(File::open("/proc/self/exe").ok()?);
        let file = object::File::parse(&cache).ok()?;
        let mut names = BTreeMap::new();
        for symbol in file.symbols() {
            if symbol.kind() != SymbolKind::Text {
                continue;
            }
            let start = base.checked_add(symbol.address())?;
            let end = start.checked_add(symbol.size())?;
            let from = wanted.partition_point(|address| *address < start);
            let inside = wanted
                .iter()
                .skip(from)
                .take_while(|address| **address < end);
            for address in inside {
                // `#` leaves the hash of the mangled name out.
                let name = rustc_demangle::demangle(symbol.name().unwrap_or_default());
                names.entry(*address).or_insert_with(|| format!("{name:#}"));
            }
        }
        Some(Self(names))
    }

    /// The address of the code that a frame is at. A frame that called another holds the address after its call; the
    /// innermost holds its own.
    pub(super) fn code(address: u64, innermost: bool) -> u64 {
        if innermost {
            address
        } else {
            address.saturating_sub(1)
        }
    }

    /// The functions at the address of code, the innermost of inlined ones first.
    pub(super) fn look_up(&self, code: u64) -> Vec<Line> {
        let mut lines = Vec::new();
        // It looks before the address it is given, as the callers among frames need it.
        if let Ok(after) = usize::try_from(code.saturating_add(1)) {
            backtrace::resolve(after as *mut std::ffi::c_void, |symbol| {
                let Some(name) = symbol.name() else { return };
                let file = symbol.filename().map(|file| file.display().to_string());
                lines.push(Line {
                    function: Function {
                        name: without_parameters(&format!("{name:#}")),
                        file: file.unwrap_or_default(),
                    },
                    number: symbol.lineno().unwrap_or(0),
                });
            });
        }
        let symbol = self.0.get(&code).cloned();
        match (lines.last_mut(), symbol) {
            (Some(outermost), Some(name)) => outermost.function.name = name,
            (Some(_), None) => {}
            (None, symbol) => lines.push(Line {
                function: Function {
                    name: symbol.unwrap_or_else(|| format!("{code:#x}")),
                    file: String::new(),
                },
                number: 0,
            }),
        }
        lines
    }
}

/// Where the program begins in memory, from the text of `proc_pid_maps(5)`.
fn base(maps: &str, path: &Path) -> Option<u64> {
    // The path may hold blanks, as ` (deleted)` does after an update.
    let path = path.display().to_string();
    let line = maps.lines().find(|line| {
        let offset = line.split_ascii_whitespace().nth(2);
        offset == Some("00000000") && line.ends_with(&path)
    })?;
    let start = line.split('-').next()?;
    u64::from_str_radix(start, 16).ok()
}

/// A name of the line tables without its type parameters, which can fill pages: `poll<…>` is `poll`.
fn without_parameters(name: &str) -> String {
    match name.split_once('<') {
        Some((short, _)) if !short.is_empty() => short.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_program_has_its_path_and_no_hash_and_others_stay_addresses() {
        let here = without_parameters as *const () as usize as u64;
        let names = Names::at([1, here].into());
        let lines = names.look_up(here);
        let outermost = lines.last().unwrap();
        assert_eq!(
            outermost.function.name,
            "convoke::ops::debug::names::without_parameters"
        );
        assert!(outermost.function.file.ends_with("src/ops/debug/names.rs"));
        assert_eq!(names.look_up(1)[0].function.name, "0x1");
    }

    #[test]
    fn the_base_is_that_of_the_programs_first_mapping() {
        let maps = "7f00-7f01 r--p 00000000 00:1 9 /lib/x.so\n\
                    5500-5600 r--p 00000000 00:1 7 /bin/convoke\n\
                    5600-5700 r-xp 00001000 00:1 7 /bin/convoke\n";
        assert_eq!(base(maps, Path::new("/bin/convoke")), Some(0x5500));
        assert_eq!(base(maps, Path::new("/bin/other")), None);
    }

    #[test]
    fn parameters_go_and_a_type_in_front_stays() {
        assert_eq!(without_parameters("poll<A<B>>"), "poll");
        assert_eq!(without_parameters("<A as B>::poll"), "<A as B>::poll");
    }
}
