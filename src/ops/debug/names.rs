//! The names of functions by address, from the debug information and the symbol table of this program.
//!
//! Neither is enough alone: line tables know inlined functions, files and lines, but call a function `poll<…>` and not by its
//! path; the symbol table has the path, but only of functions that were not inlined.

use std::fs::File;
use std::path::Path;

use object::read::ReadCache;
use object::{Object as _, ObjectSymbol as _, SymbolKind};

use super::samples::{Function, Line};

/// The functions of this program that have code of their own.
#[derive(Debug, Default)]
pub(super) struct Names {
    base: u64,
    /// By their first address, relative to `base`.
    functions: Vec<(u64, u64, String)>,
}

impl Names {
    /// Reads the symbol table; what cannot be read is left to the line tables.
    pub(super) fn of_this_program() -> Self {
        Self::read().unwrap_or_default()
    }

    fn read() -> Option<Self> {
        let path = std::fs::read_link("/proc/self/exe").ok()?;
        let base = base(&std::fs::read_to_string("/proc/self/maps").ok()?, &path)?;
        // By this path also when the file was replaced by a newer one meanwhile.
        let cache = ReadCache::new(File::open("/proc/self/exe").ok()?);
        let file = object::File::parse(&cache).ok()?;
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
            .filter_map(|symbol| {
                let name = symbol.name().ok()?.to_owned();
                Some((symbol.address(), symbol.size(), name))
            })
            .collect();
        functions.sort_unstable();
        Some(Self { base, functions })
    }

    fn symbol(&self, address: u64) -> Option<String> {
        let at = address.checked_sub(self.base)?;
        let after = self.functions.partition_point(|(start, ..)| *start <= at);
        let (start, size, name) = self.functions.get(after.checked_sub(1)?)?;
        // `#` leaves the hash of the mangled name out.
        (at - start < *size).then(|| format!("{:#}", rustc_demangle::demangle(name)))
    }

    /// The functions at an address, the innermost of inlined ones first. A frame that called another holds the address after
    /// its call; the `innermost` holds its own.
    pub(super) fn look_up(&self, address: u64, innermost: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        // The line tables are asked for what is before the address, as a caller needs it.
        let after = address.saturating_add(u64::from(innermost));
        if let Ok(after) = usize::try_from(after) {
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
        let symbol = self.symbol(after.saturating_sub(1));
        match (lines.last_mut(), symbol) {
            (Some(outermost), Some(name)) => outermost.function.name = name,
            (Some(_), None) => {}
            (None, symbol) => lines.push(Line {
                function: Function {
                    name: symbol.unwrap_or_else(|| format!("{address:#x}")),
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
        let names = Names::of_this_program();
        let here = without_parameters as *const () as usize as u64;
        let lines = names.look_up(here, true);
        let outermost = lines.last().unwrap();
        assert_eq!(
            outermost.function.name,
            "convoke::ops::debug::names::without_parameters"
        );
        assert!(outermost.function.file.ends_with("src/ops/debug/names.rs"));
        assert_eq!(names.look_up(1, false)[0].function.name, "0x1");
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
