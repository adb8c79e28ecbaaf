//! OpenMetrics 1.0.0, read as strictly as the specification is written: whatever it forbids fails the test.

use std::collections::{BTreeMap, BTreeSet};

use super::scrape::{Labels, labels, unescape};

/// A family of metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    pub(crate) help: Option<String>,
    pub(crate) samples: Vec<Sample>,
}

/// A line of a family.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) exemplar: Option<Exemplar>,
}

/// What a bucket shows.
#[derive(Debug, Clone)]
pub(crate) struct Exemplar {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) timestamp: f64,
}

/// Reads an exposition; panics with the line that breaks a rule.
#[track_caller]
pub(crate) fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text
        .strip_suffix("# EOF\n")
        .expect("it ends with # EOF and a line break");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.split_terminator('\n') {
        let read = match line.strip_prefix("# ") {
            Some(descriptor) => describe(&mut families, &mut current, descriptor),
            None => families
                .get_mut(&current)
                .and_then(|family| sample(&current, family, line)),
        };
        assert!(read.is_some(), "this line breaks a rule: {line:?}");
    }
    let mut seen = BTreeSet::new();
    for (name, family) in &families {
        assert!(!family.samples.is_empty(), "{name} has no sample");
        for sample in &family.samples {
            let series = (sample.name.clone(), sample.labels.clone());
            assert!(seen.insert(series), "twice: {sample:?}");
        }
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
    }
    // A family's name may not be another's sample's.
    for (name, family) in &families {
        let others = families.keys().filter(|other| *other != name);
        for suffix in suffixes(&family.kind)
            .iter()
            .filter(|suffix| !suffix.is_empty())
        {
            let taken = format!("{name}{suffix}");
            assert!(!others.clone().any(|other| *other == taken), "{taken}");
        }
    }
    families
}

fn describe(
    families: &mut BTreeMap<String, Family>,
    current: &mut String,
    descriptor: &str,
) -> Option<()> {
    let (what, rest) = descriptor.split_once(' ')?;
    let (name, value) = rest.split_once(' ')?;
    is_name(name, true).then_some(())?;
    if name != current {
        // All of a family stands together.
        families
            .insert(name.to_owned(), Family::default())
            .is_none()
            .then_some(())?;
        name.clone_into(current);
    }
    let family = families.get_mut(name)?;
    family.samples.is_empty().then_some(())?;
    match what {
        "TYPE" => {
            let known = [
                "counter",
                "gauge",
                "histogram",
                "info",
                "unknown",
                "stateset",
                "summary",
            ];
            (family.kind.is_empty() && known.contains(&value)).then_some(())?;
            value.clone_into(&mut family.kind);
        }
        "UNIT" => {
            let fits = !value.is_empty() && name.ends_with(&format!("_{value}"));
            (family.unit.is_none() && fits).then_some(())?;
            family.unit = Some(value.to_owned());
        }
        "HELP" => {
            family.help.is_none().then_some(())?;
            let (help, rest) = unescape(value)?;
            // A quotation mark that is not escaped would end it.
            rest.is_empty().then_some(())?;
            family.help = Some(help);
        }
        _ => return None,
    }
    Some(())
}

fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        _ => &[""],
    }
}

fn sample(family_name: &str, family: &mut Family, line: &str) -> Option<()> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let suffix = name.strip_prefix(family_name)?;
    suffixes(&family.kind).contains(&suffix).then_some(())?;
    let (labels, rest) = braces(rest)?;
    let rest = rest.strip_prefix(' ')?;
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => (value, Some(exemplar)),
        None => (rest, None),
    };
    let value = number(value)?;
    let exemplar = match exemplar {
        Some(text) => {
            matches!(suffix, "_bucket" | "_total").then_some(())?;
            Some(read_exemplar(text)?)
        }
        None => None,
    };
    let fits = match (family.kind.as_str(), suffix) {
        ("counter", _) | ("histogram", "_bucket" | "_count") => value >= 0.0,
        #[expect(clippy::float_cmp, reason = "exactly one is what is asked for")]
        ("info", _) => value == 1.0,
        _ => true,
    };
    (fits && labels.contains_key("le") == (suffix == "_bucket")).then_some(())?;
    family.samples.push(Sample {
        name: name.to_owned(),
        labels,
        value,
        exemplar,
    });
    Some(())
}

fn braces(rest: &str) -> Option<(Labels, &str)> {
    let Some(inside) = rest.strip_prefix('{') else {
        return Some((Labels::new(), rest));
    };
    let (found, after) = labels(inside)?;
    let written = inside.len() - after.len();
    // No stray comma or space, and no name twice.
    let written_names = inside.get(..written)?.matches("=\"").count();
    let tidy = !inside.starts_with(',') && !inside.get(..written)?.ends_with(",}");
    let named = found.keys().all(|name| is_name(name, false));
    (tidy && named && written_names == found.len()).then_some((found, after))
}

fn read_exemplar(text: &str) -> Option<Exemplar> {
    text.starts_with('{').then_some(())?;
    let (labels, rest) = braces(text)?;
    let characters: usize = labels
        .iter()
        .map(|(k, v)| k.chars().count() + v.chars().count())
        .sum();
    (characters <= 128).then_some(())?;
    let (value, timestamp) = rest.strip_prefix(' ')?.split_once(' ')?;
    Some(Exemplar {
        labels,
        value: number(value)?,
        timestamp: number(timestamp)?,
    })
}

fn is_name(name: &str, colon: bool) -> bool {
    let may = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    !name.is_empty() && name.chars().all(may) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn number(text: &str) -> Option<f64> {
    // Rust would read "inf" and "infinity" as well.
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        text if text
            .chars()
            .all(|c| c.is_ascii_digit() || "+-.eE".contains(c)) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

fn check_histogram(name: &str, family: &Family) {
    let mut buckets: BTreeMap<Labels, Vec<(f64, &Sample)>> = BTreeMap::new();
    for sample in family
        .samples
        .iter()
        .filter(|sample| sample.labels.contains_key("le"))
    {
        let mut labels = sample.labels.clone();
        let le = labels.remove("le").expect("filtered");
        assert!(
            le == "+Inf" || le.contains('.'),
            "{name}: {le} is no canonical float"
        );
        buckets
            .entry(labels)
            .or_default()
            .push((number(&le).expect("a bound"), sample));
    }
    for (labels, buckets) in &buckets {
        let other = |suffix: &str| {
            let wanted = format!("{name}{suffix}");
            let found = family
                .samples
                .iter()
                .find(|one| one.name == wanted && one.labels == *labels);
            found
                .unwrap_or_else(|| panic!("{wanted}{labels:?} is missing"))
                .value
        };
        other("_sum");
        let mut below = (f64::NEG_INFINITY, 0.0);
        for (bound, sample) in buckets {
            assert!(*bound > below.0 && sample.value >= below.1, "{sample:?}");
            if let Some(exemplar) = &sample.exemplar {
                assert!(
                    exemplar.value > below.0 && exemplar.value <= *bound,
                    "{sample:?}"
                );
                assert!(
                    sample.value > below.1,
                    "an exemplar of an empty bucket: {sample:?}"
                );
            }
            below = (*bound, sample.value);
        }
        assert!(
            below.0.is_infinite() && (below.1 - other("_count")).abs() < 0.5,
            "{name}{labels:?}"
        );
    }
}
