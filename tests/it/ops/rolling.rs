//! Replicas are restarted one after the other under load, and nobody notices.

use std::time::Duration;

use serde_json::json;

use crate::background::writers::{
    Written, every_invitation_is_delivered_once, nothing_acknowledged_is_lost,
    nothing_is_half_done, write,
};
use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::load::{Load, Outcome};
use crate::support::nginx::Nginx;
use crate::support::service::Service;

/// Two requests each, and from each of two loads.
const WRITES_PER_SECOND: u32 = 25;

/// Writes by a client that knows both replicas, and asks the other one when the first takes no connection.
fn failing_over(organizers: [Client; 2], guest: &Client) -> Load<Written> {
    let guest = guest.id.clone();
    Load::start(WRITES_PER_SECOND, move |number| {
        let (organizers, guest) = (organizers.clone(), guest.clone());
        async move {
            let [first, other] = [number % 2, (number + 1) % 2].map(|n| organizers[n].clone());
            let written = write(first, guest.clone(), number).await;
            if matches!(written.event, Outcome::NotAccepted) {
                return write(other, guest, number).await;
            }
            if matches!(written.invitation, Some(Outcome::NotAccepted)) {
                let invitation = invite(&other, &guest, &written).await;
                return Written {
                    invitation: Some(invitation),
                    ..written
                };
            }
            written
        }
    })
}

async fn invite(organizer: &Client, guest: &str, written: &Written) -> Outcome {
    let event = written.acknowledged_event().expect("it was acknowledged");
    let path = format!(
        "/events/{}/participants/",
        crate::support::client::id(event)
    );
    let body = json!({"user_id": guest});
    Outcome::of(
        organizer
            .send(reqwest::Method::POST, &path, Some(&body))
            .await,
    )
}

/// Every request was answered, and well.
fn all_answered(who: &str, written: &[Written]) {
    for outcome in written.iter().flat_map(Written::outcomes) {
        match outcome {
            Outcome::Answered(answer) => _ = answer.clone().expect(201),
            failed => panic!("{who}: a request failed: {failed:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_restarted_one_after_the_other_fail_no_request() {
    let mut first = Service::start(Engine::Postgres, &[]).await;
    let mut second = first.start_replica().await;
    let organizer = Client::register(&first, "organizer").await;
    let guest = Client::register(&first, "guest").await;
    let replicas = [&first, &second].map(Service::public_address);
    let nginx = Nginx::before(&replicas, "").await;

    let proxied = {
        let (organizer, guest) = (organizer.through(nginx.address()), guest.id.clone());
        Load::start(WRITES_PER_SECOND, move |number| {
            write(organizer.clone(), guest.clone(), number)
        })
    };
    // As nginx does by its `keepalive_timeout`: a connection that has idled for half the grace is not used again.
    let idle = Duration::from_secs(1);
    let both = [&first, &second].map(|one| organizer.at(one).with_idle_limit(idle));
    let direct = failing_over(both, &guest);

    for replica in [&mut first, &mut second] {
        proxied.wait_for_more(WRITES_PER_SECOND as usize).await;
        replica.terminate();
        let status = replica.wait();
        assert!(status.success(), "SIGTERM ends with 0, not {status}");
        proxied.wait_for_more(WRITES_PER_SECOND as usize).await;
        replica.restart_on_same_ports().await;
    }
    proxied.wait_for_more(WRITES_PER_SECOND as usize).await;
    let (proxied, direct) = (proxied.stop().await, direct.stop().await);

    all_answered("through nginx", &proxied);
    all_answered("failing over", &direct);
    nothing_acknowledged_is_lost(&organizer, &guest, &proxied).await;
    nothing_acknowledged_is_lost(&organizer, &guest, &direct).await;
    let invited = nothing_is_half_done(&organizer, &guest).await;
    assert_eq!(invited, proxied.len() + direct.len());
    every_invitation_is_delivered_once(&guest, invited).await;
}
