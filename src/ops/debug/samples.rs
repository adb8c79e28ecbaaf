//! The CPU's stacks, sampled by a signal and named afterwards.
//!
//! The kernel sends SIGPROF to whichever thread has used up the next slice of CPU time; the handler (of pprof-rs, in the fork
//! that Grafana maintains) notes the stack into memory that was set aside before. Its default way to walk a stack, libgcc's
//! unwinder, is not safe in a signal handler and has brought services down; framehop is used instead, which allocates
//! nothing and asks the kernel before it reads an address. No name is looked up while signals are on.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, UNIX_EPOCH};

use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::names::Names;

/// Where the loader or libgcc's unwinder was interrupted, nothing is sampled: the handler asks libgcc for the start of a
/// function, which may ask the loader. The kernel's page of code has no file to read unwind tables from.
const LEFT_ALONE: [&str; 3] = ["ld-linux", "libgcc_s", "vdso"];

/// Frames that the handler has room for; of a deeper stack the outermost are missing.
const DEEPEST: usize = 128;
/// Stands in for the missing ones. No code is there.
const CUT_OFF: u64 = 0;

/// A function, by its demangled name and file.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) file: String,
}

/// A line of a function.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) function: Function,
    /// From 1; 0 when it is not known.
    pub(super) number: u32,
}

/// One stack and how often it was seen.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) thread: String,
    /// From the innermost frame to the outermost.
    pub(super) addresses: Vec<u64>,
    pub(super) count: i64,
}

/// What was sampled.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) stacks: Vec<Stack>,
    /// CPU time between two samples.
    pub(super) period_nanos: i64,
    /// Nanoseconds since 1970.
    pub(super) start_nanos: i64,
    pub(super) duration_nanos: i64,
    lines: HashMap<u64, Vec<Line>>,
}

/// Begins to sample, `hz` times in each second of CPU time.
///
/// # Errors
/// When the signal handler or its temporary file cannot be made.
pub(super) fn begin(hz: u32) -> Result<ProfilerGuard<'static>, pprof::Error> {
    let builder = ProfilerGuardBuilder::default().blocklist(&LEFT_ALONE);
    builder.frequency(i32::try_from(hz).unwrap_or(99)).build()
}

/// Ends the sampling, then names what was seen. It takes a while: call it off the runtime's threads.
///
/// # Errors
/// When the temporary file with part of the samples cannot be read.
pub(super) fn end(guard: ProfilerGuard<'static>, hz: u32) -> Result<Samples, pprof::Error> {
    let report = guard.report().build_unresolved()?;
    // Names are looked up with no signal on its way.
    drop(guard);
    // Seen once by its first function and once by a deeper address: one stack, if all its addresses agree.
    let mut stacks: BTreeMap<(String, Vec<u64>), i64> = BTreeMap::new();
    for (seen, count) in &report.data {
        let name = seen.thread_name.get(..seen.thread_name_length);
        let thread = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
        let mut addresses: Vec<_> = seen.frames.iter().map(|frame| frame.ip as u64).collect();
        if addresses.len() >= DEEPEST {
            addresses.push(CUT_OFF);
        }
        *stacks.entry((thread, addresses)).or_default() += i64::try_from(*count).unwrap_or(0);
    }
    let since_epoch = report.timing.start_time.duration_since(UNIX_EPOCH);
    let mut samples = Samples {
        stacks: stacks
            .into_iter()
            .map(|((thread, addresses), count)| Stack {
                thread,
                addresses,
                count,
            })
            .collect(),
        period_nanos: 1_000_000_000 / i64::from(hz.max(1)),
        start_nanos: nanos(since_epoch.unwrap_or_default()),
        duration_nanos: nanos(report.timing.duration),
        lines: HashMap::new(),
    };
    samples.look_up_names();
    Ok(samples)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Samples {
    /// The lines at an address, the innermost of inlined functions first.
    pub(super) fn lines_at(&self, address: u64) -> &[Line] {
        self.lines.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Times a stack was seen, of all stacks.
    pub(super) fn count(&self) -> i64 {
        self.stacks.iter().map(|stack| stack.count).sum()
    }

    fn look_up_names(&mut self) {
        let frames: BTreeMap<u64, u64> = self
            .stacks
            .iter()
            .flat_map(|stack| stack.addresses.iter().enumerate())
            .map(|(depth, address)| (*address, Names::code(*address, depth == 0)))
            .collect();
        let names = Names::at(frames.values().copied().collect());
        let cut_off = Line {
            function: Function {
                name: "(outer frames cut off)".to_owned(),
                file: String::new(),
            },
            number: 0,
        };
        self.lines.insert(CUT_OFF, vec![cut_off]);
        for (address, code) in frames {
            let lines = self.lines.entry(address);
            lines.or_insert_with(|| names.look_up(code));
        }
        // Debug information of every file met would stay in memory for ever.
        backtrace::clear_symbol_cache();
    }

    /// As lines `thread;outermost;…;innermost count`, which flame graph tools read.
    pub(super) fn folded(&self) -> String {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for stack in &self.stacks {
            let mut names = vec![sound(&stack.thread)];
            for address in stack.addresses.iter().rev() {
                let lines = self.lines_at(*address).iter().rev();
                names.extend(lines.map(|line| sound(&line.function.name)));
            }
            *counts.entry(names.join(";")).or_default() += stack.count;
        }
        let lines = counts
            .iter()
            .map(|(stack, count)| format!("{stack} {count}\n"));
        lines.collect()
    }
}

/// A name that cannot be taken for two.
fn sound(name: &str) -> String {
    name.replace([';', '\n'], ":")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn line(name: &str) -> Line {
        Line {
            function: Function {
                name: name.to_owned(),
                file: format!("src/{name}.rs"),
            },
            number: 7,
        }
    }

    /// `main` → `work`, with something inlined, and `main` → a place without a name.
    pub(in super::super) fn two_stacks() -> Samples {
        let stack = |addresses: &[u64], count| Stack {
            thread: "worker".to_owned(),
            addresses: addresses.to_vec(),
            count,
        };
        Samples {
            stacks: vec![stack(&[0x2000, 0x1000], 3), stack(&[0x3000, 0x1000], 1)],
            period_nanos: 10_000_000,
            start_nanos: 1,
            duration_nanos: 40_000_000,
            lines: [
                (0x1000, vec![line("main")]),
                (0x2000, vec![line("inlined"), line("work")]),
                (0x3000, vec![line("0x3000")]),
            ]
            .into(),
        }
    }

    #[test]
    fn folded_stacks_begin_with_the_thread_and_end_with_the_innermost_function() {
        let folded = two_stacks().folded();
        assert_eq!(folded, "worker;main;0x3000 1\nworker;main;work;inlined 3\n");
        assert_eq!(two_stacks().count(), 4);
    }
}
