//! One row of the table of settings, and the macro that makes a row and a field from one line.

use std::sync::LazyLock;

use super::settings;

/// One setting, as the reference describes it and as the reader looks for it.
pub(super) struct Setting {
    /// Key in the file, dots for tables.
    pub(super) key: &'static str,
    /// What it means, with its unit. Lines as they stand in the source.
    pub(super) meaning: &'static str,
    /// Name of the type.
    pub(super) kind: &'static str,
    /// What the type accepts.
    pub(super) accepts: fn() -> String,
    /// What serves when nobody gives it.
    pub(super) default: Default,
    /// Smallest and largest value, as text.
    pub(super) range: Option<(&'static str, &'static str)>,
    /// Never shown.
    pub(super) secret: bool,
    /// TOML writes it without quotes.
    pub(super) bare: bool,
    /// TOML writes it as an array.
    pub(super) list: bool,
}

/// The default of a setting.
pub(super) enum Default {
    /// None: the service does without, or makes one; the text tells the reader which.
    Absent(&'static str),
    /// This text.
    Text(&'static str),
    /// Found at start; the first text tells the reader how.
    Found(&'static str, fn(&Surroundings) -> String),
}

/// What computed defaults depend on.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// The folder of data, as given.
    pub(super) data_dir: String,
    /// Whether somebody reads stdout.
    pub(super) terminal: bool,
    /// Number of CPUs.
    pub(super) cpus: usize,
}

impl Default {
    /// The default as text for the parser; empty when there is none.
    pub(super) fn text(&self, surroundings: &Surroundings) -> String {
        match self {
            Self::Absent(_) => String::new(),
            Self::Text(text) => (*text).to_owned(),
            Self::Found(_, find) => find(surroundings),
        }
    }
}

impl Setting {
    /// The environment variable: `rate_limit.reads` is `CONVOKE_RATE_LIMIT_READS`.
    pub(super) fn variable(&self) -> String {
        format!("CONVOKE_{}", self.flat().to_uppercase())
    }

    /// The variable that names a file with the value; only secrets have one, because a file can be kept from others.
    pub(super) fn file_variable(&self) -> Option<String> {
        self.secret.then(|| format!("{}_FILE", self.variable()))
    }

    /// The key without tables, which the file may use as well.
    pub(super) fn flat(&self) -> String {
        self.key.replace('.', "_")
    }

    /// What is accepted, with the range.
    pub(super) fn accepted(&self) -> String {
        let accepts = (self.accepts)();
        match self.range {
            Some((min, max)) => format!("{accepts}, from {min} to {max}"),
            None => accepts,
        }
    }
}

/// A titled part of the table.
pub(super) struct Group {
    /// Heading in the reference.
    pub(super) title: &'static str,
    /// In the order of the reference.
    pub(super) settings: &'static [Setting],
}

/// Every setting, in the order of the reference.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    settings::GROUPS.iter().flat_map(|group| group.settings)
}

static VARIABLES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let variables = all().map(Setting::variable);
    variables
        .chain(all().filter_map(Setting::file_variable))
        .collect()
});

/// The variables of every setting, those that name a file included.
pub(super) fn variables() -> &'static [String] {
    &VARIABLES
}

/// Makes the struct of a group, its rows of the table, and the code that reads it.
///
/// The documentation of a field is the meaning in the reference: it is written once.
macro_rules! group {
    (
        $(#[doc = $about:literal])+
        $name:ident, $title:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:literal => $field:ident: $kind:ty = $default:expr
                    $(, from $min:literal to $max:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $kind, )+ }

        impl $name {
            pub(super) const GROUP: Group = Group {
                title: $title,
                settings: &[ $( Setting {
                    key: $key,
                    meaning: concat!($($doc, "\n"),+),
                    kind: <$kind as Value>::KIND,
                    accepts: <$kind as Value>::accepts,
                    default: $default,
                    range: group!(@range $($min, $max)?),
                    secret: <$kind as Value>::SECRET,
                    bare: <$kind as Value>::BARE,
                    list: <$kind as Value>::LIST,
                } ),+ ],
            };

            /// Reads every field, so that every fault is found, before it gives up on any.
            pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                let mut settings = Self::GROUP.settings.iter();
                $( let $field = settings.next().and_then(|setting| reader.value(setting)); )+
                Some(Self { $( $field: $field? ),+ })
            }
        }
    };
    (@range $min:literal, $max:literal) => { Some(($min, $max)) };
    (@range) => { None };
}
pub(super) use group;
