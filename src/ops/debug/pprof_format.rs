//! The pprof format (profile.proto of google/pprof): just the messages and fields that a CPU profile needs.

use std::collections::HashMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::samples::{Function, Samples};

/// Address range of the one mapping: everything, because names are resolved here already.
const MAPPING: u64 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(super) mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<FunctionEntry>,
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(super) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(super) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(super) period: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(super) kind: i64,
    #[prost(int64, tag = "2")]
    pub(super) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(super) label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Label {
    #[prost(int64, tag = "1")]
    pub(super) key: i64,
    #[prost(int64, tag = "2")]
    pub(super) text: i64,
}

#[expect(clippy::struct_excessive_bools, reason = "the format has them")]
#[derive(Clone, PartialEq, Message)]
pub(super) struct Mapping {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "3")]
    pub(super) memory_limit: u64,
    #[prost(int64, tag = "5")]
    pub(super) filename: i64,
    #[prost(bool, tag = "7")]
    pub(super) has_functions: bool,
    #[prost(bool, tag = "8")]
    pub(super) has_filenames: bool,
    #[prost(bool, tag = "9")]
    pub(super) has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    pub(super) has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub(super) address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(super) line: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionEntry {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "3")]
    pub(super) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(super) filename: i64,
}

/// The samples as a gzipped profile.
///
/// # Errors
/// Never in practice: it writes to memory.
pub(super) fn gzipped(samples: &Samples) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&build(samples).encode_to_vec())?;
    encoder.finish()
}

/// The samples as a profile of two values, `samples/count` and `cpu/nanoseconds`, with the thread's name as a label.
pub(super) fn build(samples: &Samples) -> Profile {
    let mut strings = Strings::default();
    strings.id("");
    let mut profile = Profile {
        sample_type: vec![
            value_type(&mut strings, "samples", "count"),
            value_type(&mut strings, "cpu", "nanoseconds"),
        ],
        period_type: Some(value_type(&mut strings, "cpu", "nanoseconds")),
        period: samples.period_nanos,
        time_nanos: samples.start_nanos,
        duration_nanos: samples.duration_nanos,
        mapping: vec![Mapping {
            id: MAPPING,
            memory_limit: u64::MAX,
            filename: strings.id("convoke"),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        }],
        ..Profile::default()
    };
    let mut functions: HashMap<&Function, u64> = HashMap::new();
    let mut locations: HashMap<u64, u64> = HashMap::new();
    let thread_key = strings.id("thread");
    for stack in &samples.stacks {
        let mut location_id = Vec::with_capacity(stack.addresses.len());
        for address in &stack.addresses {
            let next = locations.len() as u64 + 1;
            let id = *locations.entry(*address).or_insert(next);
            location_id.push(id);
            if id != next {
                continue;
            }
            let lines = samples.lines_at(*address).iter().map(|line| {
                let next = functions.len() as u64 + 1;
                let function_id = *functions.entry(&line.function).or_insert(next);
                if function_id == next {
                    let name = strings.id(&line.function.name);
                    profile.function.push(FunctionEntry {
                        id: next,
                        name,
                        system_name: name,
                        filename: strings.id(&line.function.file),
                    });
                }
                Line {
                    function_id,
                    line: line.number.into(),
                }
            });
            let line = lines.collect();
            profile.location.push(Location {
                id,
                mapping_id: MAPPING,
                address: *address,
                line,
            });
        }
        profile.sample.push(Sample {
            location_id,
            value: vec![stack.count, stack.count * samples.period_nanos],
            label: vec![Label {
                key: thread_key,
                text: strings.id(&stack.thread),
            }],
        });
    }
    profile.string_table = strings.texts;
    profile
}

fn value_type(strings: &mut Strings, kind: &str, unit: &str) -> ValueType {
    ValueType {
        kind: strings.id(kind),
        unit: strings.id(unit),
    }
}

/// Each text once; the format refers to it by its place.
#[derive(Default)]
struct Strings {
    texts: Vec<String>,
    places: HashMap<String, i64>,
}

impl Strings {
    fn id(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::tests::two_stacks;
    use super::*;

    #[test]
    fn functions_locations_and_texts_are_written_once_and_refer_to_each_other() {
        let profile = build(&two_stacks());
        let text = |at: i64| profile.string_table[usize::try_from(at).unwrap()].as_str();
        assert_eq!(profile.string_table[0], "");
        let types: Vec<_> = profile
            .sample_type
            .iter()
            .map(|t| (text(t.kind), text(t.unit)))
            .collect();
        assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
        assert_eq!(profile.sample.len(), 2);
        assert_eq!(profile.location.len(), 3, "`main` is in both stacks");
        assert_eq!(profile.sample[0].value, [3, 3 * profile.period]);
        assert_eq!(text(profile.sample[0].label[0].text), "worker");

        let names = |sample: &Sample| -> Vec<String> {
            let lines = sample.location_id.iter().flat_map(|id| {
                let location = profile.location.iter().find(|l| l.id == *id).unwrap();
                location.line.clone()
            });
            let function = |id| profile.function.iter().find(|f| f.id == id).unwrap();
            lines
                .map(|l| text(function(l.function_id).name).to_owned())
                .collect()
        };
        assert_eq!(names(&profile.sample[0]), ["inlined", "work", "main"]);
        assert_eq!(names(&profile.sample[1]), ["0x3000", "main"]);
    }
}
