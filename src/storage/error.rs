//! What can go wrong with a store, in bounded words.

use std::error::Error as Cause;
use std::fmt;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

/// Why a call to a store failed; the `error_type` of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such file, or no such bucket.
    NotFound,
    /// The store does not let us.
    Denied,
    /// It took longer than allowed.
    Timeout,
    /// The store cannot be reached, or the connection to it was lost.
    Unreachable,
    /// The server of the store failed.
    ServerError,
    /// There is no room left.
    Full,
    /// Anything else.
    Other,
}

impl Reason {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::NotFound,
        Self::Denied,
        Self::Timeout,
        Self::Unreachable,
        Self::ServerError,
        Self::Full,
        Self::Other,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::ServerError => "server_error",
            Self::Full => "full",
            Self::Other => "_OTHER",
        }
    }

    /// What an error of the crate's comes from.
    pub(super) fn of(kind: &'static str, failure: &object_store::Error) -> Self {
        match failure {
            object_store::Error::NotFound { .. } => return Self::NotFound,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => return Self::Denied,
            _ => {}
        }
        let mut next: Option<&(dyn Cause + 'static)> = Some(failure);
        while let Some(cause) = next {
            if let Some(http) = cause.downcast_ref::<HttpError>() {
                return match http.kind() {
                    HttpErrorKind::Timeout => Self::Timeout,
                    HttpErrorKind::Connect
                    | HttpErrorKind::Request
                    | HttpErrorKind::Interrupted => Self::Unreachable,
                    _ => Self::Other,
                };
            }
            if let Some(disk) = cause.downcast_ref::<io::Error>() {
                return match disk.kind() {
                    io::ErrorKind::NotFound => Self::NotFound,
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        Self::Denied
                    }
                    io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge => Self::Full,
                    io::ErrorKind::TimedOut => Self::Timeout,
                    _ => Self::Other,
                };
            }
            next = cause.source();
        }
        // An answer of the server's that is no error of the transport's.
        if kind == "s3" && matches!(failure, object_store::Error::Generic { .. }) {
            return Self::ServerError;
        }
        Self::Other
    }
}

/// A call to a store that failed. Its text shows no credentials.
#[derive(Clone, Debug)]
pub struct Error {
    storage: &'static str,
    operation: &'static str,
    reason: Reason,
    detail: String,
}

impl Error {
    pub(super) const fn new(
        storage: &'static str,
        operation: &'static str,
        reason: Reason,
        detail: String,
    ) -> Self {
        Self {
            storage,
            operation,
            reason,
            detail,
        }
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {} store failed to {}: {}",
            self.storage, self.operation, self.detail
        )
    }
}

impl Cause for Error {}

/// The words of an error, its causes among them, without what must not be shown and not longer than a line of a log should be.
pub(super) fn words(failure: &object_store::Error, secrets: &[String]) -> String {
    const LONGEST: usize = 600;
    let mut text = failure.to_string();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "[redacted]");
    }
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
