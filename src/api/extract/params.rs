//! Query parameters: each is taken by name, and whatever is left is refused.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    api::{problem::Problem, problem_types as types},
    domain::fault::Faults,
};

/// The query's parameters: each is taken by name, and whatever is left is refused.
#[derive(Debug)]
pub(crate) struct Params {
    pub(in crate::api) path: String,
    pairs: Vec<(String, String)>,
    faults: Faults,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = read_query(query);
        let mut faults = Faults::default();
        for (i, (name, value)) in pairs.iter().enumerate() {
            if pairs[..i].iter().any(|(other, _)| other == name) {
                faults.add(&format!("?{name}"), "duplicate", "each parameter once");
            } else if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                faults.add(
                    &format!("?{name}"),
                    "invalid_encoding",
                    "percent-encoded UTF-8",
                );
            }
        }
        if !faults.is_empty() {
            return Err(malformed_query(faults));
        }
        Ok(Self {
            path: parts.uri.path().to_owned(),
            pairs,
            faults: Faults::default(),
        })
    }
}

fn read_query(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn malformed_query(faults: Faults) -> Problem {
    Problem::new(&types::MALFORMED_QUERY, "The query string cannot be read.")
        .with_errors(faults.into_vec())
}

impl Params {
    /// The parameters but those that turn the pages, in a fixed order: what a cursor belongs to.
    pub(in crate::api) fn fingerprint(&self) -> String {
        let mut pairs: Vec<_> = self
            .pairs
            .iter()
            .filter(|(name, _)| name != "cursor" && name != "limit")
            .collect();
        pairs.sort();
        format!("{}?{pairs:?}", self.path)
    }

    /// The same request with another cursor, as a reference relative to the service.
    pub(in crate::api) fn with_cursor(&self, cursor: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(name, _)| name != "cursor"));
        query.append_pair("cursor", cursor);
        format!("{}?{}", self.path, query.finish())
    }

    /// The parameter's text, if it was sent.
    pub(in crate::api) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The parameter as `read` understands it; a value that it does not is a fault.
    pub(in crate::api) fn parse<T>(
        &mut self,
        name: &str,
        accepted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.text(name)?);
        if value.is_none() {
            self.faults
                .add(&format!("?{name}"), "invalid_value", accepted);
        }
        value
    }

    /// Refuses faults, and parameters other than `known`.
    pub(in crate::api) fn check(&mut self, known: &[&str]) -> Result<(), Problem> {
        let mut unknown = Faults::default();
        for (name, _) in &self.pairs {
            if !known.contains(&name.as_str()) {
                unknown.add(
                    &format!("?{name}"),
                    "unknown_parameter",
                    format!("one of: {}", known.join(", ")),
                );
            }
        }
        if !unknown.is_empty() {
            return Err(malformed_query(unknown));
        }
        std::mem::take(&mut self.faults)
            .or(())
            .map_err(Problem::invalid)
    }
}

/// No query parameters at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoParams;

impl<S: Send + Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            Params::from_request_parts(parts, state).await?.check(&[])?;
        }
        Ok(Self)
    }
}
