//! The series that exist before anything happens.

use crate::background;
use crate::config::Config;
use crate::domain::change::{CHANNELS, ChangeKind};
use crate::domain::participant::ParticipantStatus;
use crate::domain::seats::Admission;
use crate::store::{FALLBACKS, OPERATIONS, POOL, READ_POOL, TARGETS, Transient};
use crate::telemetry::instruments;

/// Makes every series exist whose labels are known, so that a rate over its first increase is right.
pub(super) fn prime(config: &Config) {
    let system = config.database.url.engine().as_str();
    let reasons = Transient::ALL.map(Transient::as_str);
    instruments::process::config_info(
        config.server.env.as_str(),
        system,
        config.rate_limit.enabled,
    );
    let replica = config.database.read_url.is_some();
    let pools = [POOL].into_iter().chain(replica.then_some(READ_POOL));
    instruments::database::prime(system, OPERATIONS.iter().copied(), reasons, pools);
    instruments::replica::prime(replica, &TARGETS, &FALLBACKS);
    instruments::backups::prime();
    instruments::outbox::prime(CHANNELS, background::dispatcher::OUTCOMES);
    let statuses: Vec<_> = ParticipantStatus::ALL
        .iter()
        .map(|one| one.as_str())
        .collect();
    let admissions: Vec<_> = Admission::ALL.iter().map(|one| one.as_str()).collect();
    let kinds: Vec<_> = ChangeKind::ALL.iter().map(|one| one.as_str()).collect();
    instruments::product::prime(&statuses, &admissions, &kinds);
}
