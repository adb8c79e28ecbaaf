//! What is wrong with an input: every fault at once, each naming its field.

/// One fault of one field.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Fault {
    /// JSON Pointer (RFC 6901) to the field in the body, or `?name` for a query parameter.
    #[schema(example = "/title")]
    pub pointer: String,
    /// Stable, for programs.
    #[schema(example = "too_long")]
    pub code: std::borrow::Cow<'static, str>,
    /// For people.
    #[schema(example = "at most 200 characters")]
    pub detail: String,
}

/// A collector of faults.
#[derive(Debug, Default)]
pub struct Faults {
    prefix: String,
    faults: Vec<Fault>,
}

impl Faults {
    /// A collector whose pointers all begin with `prefix`.
    pub fn under(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            faults: Vec::new(),
        }
    }

    /// Notes a fault at `pointer`.
    pub fn add(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.faults.push(Fault {
            pointer: format!("{}{pointer}", self.prefix),
            code: code.into(),
            detail: detail.into(),
        });
    }

    /// Whether nothing was found wrong.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Takes over what another collector found.
    pub fn extend(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    /// `value` when nothing was found wrong.
    ///
    /// # Errors
    /// The faults found.
    pub fn or<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.faults.is_empty() {
            Ok(value)
        } else {
            Err(self.faults)
        }
    }

    /// What was found.
    pub fn into_vec(self) -> Vec<Fault> {
        self.faults
    }
}
