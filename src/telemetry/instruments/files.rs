//! Metrics of files: uploads, downloads, and the collection of what nobody refers to.

use metrics::{Counter, Gauge};

use super::family::Family;

static UPLOADS: Family<Counter, 2> = Family::new("file_uploads_total");
static DOWNLOADS: Family<Counter, 2> = Family::new("file_downloads_total");
static COLLECTED: Family<Counter, 1> = Family::new("file_collections_deleted_total");
static COLLECTION: Family<Gauge, 0> = Family::new("file_collection_age_seconds");

/// Why a file is collected.
pub const REASONS: [&str; 3] = ["deleted", "unfinished", "unknown"];

/// Makes every series exist; the lists are the API's.
pub fn prime(
    kinds: &[&'static str],
    upload_outcomes: &[&'static str],
    download_outcomes: &[&'static str],
) {
    for kind in kinds {
        for outcome in upload_outcomes {
            UPLOADS.prime([kind, outcome]);
        }
        for outcome in download_outcomes {
            DOWNLOADS.prime([kind, outcome]);
        }
    }
    for reason in REASONS {
        COLLECTED.prime([reason]);
    }
    COLLECTION.prime([]);
}

/// Counts an upload that ended; the outcome is `stored`, `client_gone` or a problem's code.
pub fn uploaded(kind: &'static str, outcome: &'static str) {
    UPLOADS.with([kind, outcome], |one| one.increment(1));
}

/// Counts a download that began.
pub fn downloaded(kind: &'static str, outcome: &'static str) {
    DOWNLOADS.with([kind, outcome], |one| one.increment(1));
}

/// Counts files deleted from the store because nothing refers to them.
pub fn collected(reason: &'static str, count: u64) {
    COLLECTED.with([reason], |one| one.increment(count));
}

/// Sets the age of the last whole collection, by whichever replica.
pub fn collection_age(seconds: f64) {
    COLLECTION.with([], |one| one.set(seconds));
}
