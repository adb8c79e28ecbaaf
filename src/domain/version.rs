//! Which state of a thing a writer believes to be changing.

/// What must hold of the stored state for a write to go ahead (RFC 9110 §13.1.1, `If-Match`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Nothing was said.
    #[default]
    Anything,
    /// One of these tags is the current one; none of them may be weak.
    OneOf(Vec<String>),
}

impl Expected {
    /// Whether the state with this tag is one that the writer expects.
    pub fn allows(&self, tag: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::OneOf(tags) => tags.iter().any(|t| t == tag),
        }
    }
}
