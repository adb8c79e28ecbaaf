//! Types and rules of events and their people, without any I/O.

pub mod actor;
pub mod change;
pub mod clock;
pub mod event;
pub mod fault;
pub mod file;
pub mod page;
pub mod participant;
pub mod patch;
pub mod seats;
pub mod text;
pub mod user;
pub mod version;
pub mod when;
pub mod words;

/// A new UUIDv7 (RFC 9562 §5.7): time-ordered, so that keys arrive at the end of an index.
pub fn new_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

/// Declares an enum whose values travel as `snake_case` text: in JSON, in the database, in labels.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value's text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value with this text, if there is one.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use text_enum;
