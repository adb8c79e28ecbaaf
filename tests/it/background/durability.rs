//! Nothing acknowledged is lost: not when the service is asked to stop, and not when it is killed.

use std::env;
use std::time::Duration;

use super::writers::{
    Written, every_invitation_is_delivered_once, nothing_acknowledged_is_lost,
    nothing_is_half_done, write,
};
use crate::support::client::Client;
use crate::support::load::{Load, Outcome};
use crate::support::service::Service;

/// Two requests each.
const WRITES_PER_SECOND: u32 = 100;

fn kills() -> usize {
    env::var("KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(20)
}

fn load(organizer: &Client, guest: &Client) -> Load<Written> {
    let (organizer, guest) = (organizer.clone(), guest.id.clone());
    Load::start(WRITES_PER_SECOND, move |number| {
        write(organizer.clone(), guest.clone(), number)
    })
}

on_both_engines! {
    async fn a_stop_under_load_fails_no_accepted_request_and_loses_no_notification(engine: Engine) {
        let settings = [("CONVOKE_SHUTDOWN_GRACE", "2s"), ("CONVOKE_SHUTDOWN_TIMEOUT", "20s")];
        let mut service = Service::start(engine, &settings).await;
        let organizer = Client::register(&service, "organizer").await;
        let guest = Client::register(&service, "guest").await;

        // A connection that has idled for longer than half the grace is not used again: within the grace
        // every answer says `Connection: close`, so that none is left when the listener goes.
        let organizer = organizer.with_idle_limit(Duration::from_secs(1));
        let load = load(&organizer, &guest);
        load.wait_for(100).await;
        service.terminate();
        let status = service.wait();
        let written = load.stop().await;

        assert!(status.success(), "SIGTERM ends with 0, not {status}");
        for outcome in written.iter().flat_map(Written::outcomes) {
            match outcome {
                Outcome::Answered(answer) => _ = answer.clone().expect(201),
                Outcome::NotAccepted => {}
                Outcome::Broken(error) => panic!("an accepted request failed: {error:?}"),
            }
        }

        service.restart().await;
        nothing_acknowledged_is_lost(&organizer, &guest, &written).await;
        let invited = nothing_is_half_done(&organizer, &guest).await;
        every_invitation_is_delivered_once(&guest, invited).await;
    }

    async fn a_kill_under_load_again_and_again_loses_nothing_and_leaves_nothing_half_done(engine: Engine) {
        let mut service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let guest = Client::register(&service, "guest").await;
        let mut all = Vec::new();

        for _ in 0..kills() {
            let load = load(&organizer, &guest);
            load.wait_for(15).await;
            service.kill();
            let written = load.stop().await;
            assert!(written.iter().any(|one| one.acknowledged_invitation().is_some()));
            service.restart_on_same_ports().await;
            nothing_acknowledged_is_lost(&organizer, &guest, &written).await;
            all.extend(written);
        }

        nothing_acknowledged_is_lost(&organizer, &guest, &all).await;
        let invited = nothing_is_half_done(&organizer, &guest).await;
        assert!(invited >= all.iter().filter(|one| one.acknowledged_invitation().is_some()).count());
        every_invitation_is_delivered_once(&guest, invited).await;
    }
}
