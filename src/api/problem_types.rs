//! Every type of problem: its code, its status, and the text of its page.

/// A type of problem, described at `/docs/problems/{code}`.
#[derive(Debug)]
pub(crate) struct ProblemType {
    /// Stable, for programs; the last segment of `type`.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// For people.
    pub title: &'static str,
    /// When it comes.
    pub meaning: &'static str,
    /// What the client can do.
    pub remedy: &'static str,
    /// `Retry-After` unless the case says otherwise, in seconds.
    pub retry_after: Option<u64>,
}

macro_rules! problem_types {
    ($($name:ident = $code:literal $status:literal $(retry $after:literal)?: $title:literal, $meaning:literal, $remedy:literal;)+) => {
        $(
            #[doc = concat!("`", $code, "`: ", $meaning)]
            pub(crate) static $name: ProblemType = ProblemType {
                code: $code,
                status: $status,
                title: $title,
                meaning: $meaning,
                remedy: $remedy,
                retry_after: problem_types!(@after $($after)?),
            };
        )+
        /// All of them.
        pub(crate) static TYPES: &[&ProblemType] = &[$(&$name),+];
    };
    (@after) => { None };
    (@after $after:literal) => { Some($after) };
}

problem_types! {
    MALFORMED_JSON = "malformed_json" 400: "The body is not JSON",
        "The body is empty or not well-formed JSON (RFC 8259).",
        "Send one JSON value; the detail says where reading stopped.";
    MALFORMED_QUERY = "malformed_query" 400: "The query is malformed",
        "The query string names a parameter that this path does not know, or one of them twice.",
        "Send only the documented parameters, each once; the errors name those refused.";
    MALFORMED_MULTIPART = "malformed_multipart" 400: "The form is malformed",
        "The body is not a form with the one part `file` (RFC 7578), or it ended early.",
        "Send one part named `file`, or the bytes themselves with their own Content-Type.";
    INVALID_CURSOR = "invalid_cursor" 400: "The cursor cannot be used",
        "The cursor is none of ours, or was handed out for a list with other parameters.",
        "Use the cursor with the very query that returned it, or begin again without one.";
    INVALID_HEADER = "invalid_header" 400: "A header is malformed",
        "A header that this request relies on, such as If-Match or Idempotency-Key, is not well formed.",
        "Mend the header that the detail names.";
    UNAUTHENTICATED = "unauthenticated" 401: "Authentication is required",
        "The path needs a bearer token, and none was sent.",
        "Send an access token or an API key as `Authorization: Bearer …`.";
    INVALID_TOKEN = "invalid_token" 401: "The token is not valid",
        "The bearer token is malformed, expired or revoked, or its account is disabled.",
        "Refresh the login, or make a new key.";
    INVALID_CREDENTIALS = "invalid_credentials" 401: "Address or password is wrong",
        "No account has this address and this password. Which of the two is wrong is not said.",
        "Try again; attempts are limited.";
    FORBIDDEN = "forbidden" 403: "Not allowed",
        "You can see the thing, but it is not yours to change.",
        "Ask its organizer or an admin.";
    INSUFFICIENT_SCOPE = "insufficient_scope" 403: "The key may not do this",
        "An API key of scope `read` may only read, and no key may manage keys or the account.",
        "Use a key of scope `write`, or log in.";
    NOT_FOUND = "not_found" 404: "Not found",
        "There is no such thing, or it is not visible to you; which of the two is not said.",
        "Check the path and who you are.";
    METHOD_NOT_ALLOWED = "method_not_allowed" 405: "The method is not allowed here",
        "The path exists, but not with this method.",
        "Use one of the methods in `Allow`.";
    BODY_TIMEOUT = "body_timeout" 408: "The body was too slow",
        "The body did not arrive within half of the time that a request may take.",
        "Send it again, over a faster connection.";
    EMAIL_TAKEN = "email_taken" 409: "The address is taken",
        "Another account has this e-mail address; case does not matter.",
        "Log in instead, or use another address.";
    CAPACITY_EXCEEDED = "capacity_exceeded" 409: "No seat is free",
        "All seats are taken, and the event keeps no waiting list.",
        "Try again when somebody has left.";
    CAPACITY_BELOW_SEATS = "capacity_below_seats" 409: "More seats are taken than that",
        "The new capacity is smaller than the number of seats already taken.",
        "Choose a larger capacity, or remove participants first.";
    EVENT_CANCELLED = "event_cancelled" 409: "The event was called off",
        "Nobody can be invited to a cancelled event or answer it.",
        "The organizer may set its status again.";
    ALREADY_PARTICIPANT = "already_participant" 409: "The person takes part already",
        "Somebody among those invited is a participant already; nobody was invited.",
        "Leave that person out.";
    TOO_MANY_API_KEYS = "too_many_api_keys" 409: "Too many keys",
        "An account has at most 100 keys at a time.",
        "Revoke one first.";
    TOO_MANY_ATTACHMENTS = "too_many_attachments" 409: "Too many files",
        "The event has as many files as it may have.",
        "Remove one first.";
    QUOTA_EXCEEDED = "quota_exceeded" 409: "No room is left for files",
        "The files of the event, or those that the caller brought, would come to more bytes than they may.",
        "Remove files that are no longer needed, or ask the operator for more room.";
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress" 409 retry 1: "The first request is still running",
        "A request with this Idempotency-Key is being answered.",
        "Repeat it after a moment to get that answer.";
    CURSOR_EXPIRED = "cursor_expired" 410: "The cursor has expired",
        "A cursor serves for a limited time.",
        "Begin again without a cursor.";
    STALE_VERSION = "stale_version" 412: "It has changed since",
        "The state named by If-Match is not the present one (RFC 9110 §13.1.1).",
        "Fetch it again, look at what changed, and repeat the change on top of it.";
    BODY_TOO_LARGE = "body_too_large" 413: "The body is too large",
        "The body is larger than the service accepts.",
        "Send less at a time.";
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type" 415: "The media type is not supported",
        "The body's Content-Type is not one that this path reads.",
        "Send `application/json`; PATCH of an event or a profile reads `application/merge-patch+json` too.";
    MEDIA_TYPE_MISMATCH = "media_type_mismatch" 415: "The file is not what it is sent as",
        "The file's own bytes say that it is of another media type than its Content-Type.",
        "Send the right Content-Type, or none.";
    ACTIVE_CONTENT = "active_content" 415: "A browser would run the file",
        "HTML, SVG, XML, style sheets and scripts are not taken, whatever they are called.",
        "Pack it into an archive, or send it as a PDF or a picture.";
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable" 416: "The file has no such bytes",
        "The range begins beyond the end of the file (RFC 9110 §15.5.17).",
        "`Content-Range` says how large it is.";
    DIGEST_MISMATCH = "digest_mismatch" 422: "The file was damaged on its way",
        "What arrived does not have the SHA-256 that Content-Digest or Repr-Digest names. Nothing was kept.",
        "Send it again.";
    VALIDATION_FAILED = "validation_failed" 422: "The input is not valid",
        "The input was understood, but some of its values are not allowed. Nothing was changed.",
        "The errors name each field, a stable code, and what is accepted.";
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused" 422: "The key belongs to another request",
        "This Idempotency-Key was used with another body.",
        "Use a new key for a new request.";
    RATE_LIMITED = "rate_limited" 429: "Too many requests",
        "You have used up what you may ask for in this time; `RateLimit` and `RateLimit-Policy` say how much that is.",
        "Wait for as long as `Retry-After` says.";
    INTERNAL_ERROR = "internal_error" 500: "Something is wrong with the service",
        "A fault of the service; it has been logged with the request's id.",
        "Tell the operator the request id.";
    OVERLOADED = "overloaded" 503 retry 1: "The service is overloaded",
        "More requests are in flight than the service accepts at a time; this one was not begun.",
        "Try again after a moment, later each time.";
    DEADLINE_EXCEEDED = "deadline_exceeded" 503 retry 1: "It took too long",
        "The request did not finish within its time and was given up; a write may or may not have happened.",
        "Fetch the thing to see, or repeat the request with its Idempotency-Key.";
    DATABASE_UNAVAILABLE = "database_unavailable" 503 retry 2: "The database is unavailable",
        "The database does not answer.",
        "Try again after a moment, later each time.";
    STORAGE_UNAVAILABLE = "storage_unavailable" 503 retry 5: "The store of files is unavailable",
        "The store of files does not answer, or not as it should. Everything else works.",
        "Try again after a moment, later each time.";
    SHUTTING_DOWN = "shutting_down" 503 retry 1: "The service is shutting down",
        "This replica takes no more requests.",
        "Try again; another replica answers.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once_and_fits_its_status() {
        for (i, one) in TYPES.iter().enumerate() {
            assert!((400..600).contains(&one.status), "{}", one.code);
            assert!(
                TYPES[..i].iter().all(|other| other.code != one.code),
                "{}",
                one.code
            );
            assert!(
                one.code
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                one.code
            );
        }
    }
}
