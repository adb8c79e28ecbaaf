//! Who was shut out on one replica is shut out on every other within a second, whatever is wrong between them.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use super::proxy::Proxy;
use super::scene::{Scene, asked_meanwhile, gauge_is, refused_within_a_second};
use crate::support::client::Client;
use crate::support::commands::run;
use crate::support::engines::Engine;
use crate::support::postgres::Cluster;
use crate::support::redis::Redis;
use crate::support::service::Service;

/// So long that nothing is forgotten by itself while a test runs.
const LONG: (&str, &str) = ("CONVOKE_CACHE_HEARD_TTL", "5m");

async fn two(extra: &[(&str, &str)]) -> Scene {
    let settings: Vec<_> = [LONG].iter().chain(extra).copied().collect();
    Scene::on(Service::start(Engine::Postgres, &settings).await).await
}

/// Both ways to be shut out, on entries that would serve for minutes.
async fn all_are_shut_out(scene: &Scene, name: &str) {
    let (key, user) = (scene.key().await, scene.user(name).await);
    scene.revoke(&key).await;
    scene.disable(&user).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_replicas_hear_of_it_from_postgresql() {
    let scene = two(&[]).await;
    scene.channel_is("heard").await;
    let key = scene.key().await;
    let asked = asked_meanwhile(&scene.second, &key.client).await;
    assert!(asked < 2.0, "an entry serves longer than a second: {asked}");
    scene.revoke(&key).await;
    all_are_shut_out(&scene, "other").await;
    let heard = [("source", "channel"), ("outcome", "entry")];
    let heard = scene
        .second
        .scrape()
        .await
        .value("cache_invalidations_total", &heard);
    assert!(heard >= Some(3.0), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_too_also_when_it_is_frozen_flushed_or_gone() {
    let mut redis = Redis::start(&[]);
    let scene = two(&[("CONVOKE_REDIS_URL", &redis.url())]).await;
    scene.channel_is("heard").await;
    scene.breaker_is("closed").await;
    all_are_shut_out(&scene, "with").await;

    // What was offered before the freeze is written after it: old rows must not come back to life.
    let (key, user) = (scene.key().await, scene.user("frozen").await);
    redis.signal("-STOP");
    scene.revoke(&key).await;
    scene.disable(&user).await;
    all_are_shut_out(&scene, "other").await;
    redis.signal("-CONT");
    refused_within_a_second(&key.client).await;
    refused_within_a_second(&user).await;
    scene.breaker_is("closed").await;

    let key = scene.key().await;
    ::redis::cmd("FLUSHALL")
        .exec(&mut redis.connection())
        .unwrap();
    scene.revoke(&key).await;

    let (key, user) = (scene.key().await, scene.user("gone").await);
    redis.stop();
    scene.revoke(&key).await;
    scene.disable(&user).await;
    scene.breaker_is("open").await;
    all_are_shut_out(&scene, "without").await;
    redis.start_again();
    scene.breaker_is("closed").await;
    all_are_shut_out(&scene, "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_that_listen_are_killed() {
    let scene = two(&[]).await;
    let database = setting(&scene.first, "CONVOKE_DATABASE_URL");
    let mut connection = PgConnection::connect(&database).await.unwrap();
    scene.channel_is("heard").await;
    for round in 0..3 {
        let key = scene.key().await;
        kill_listeners(&mut connection).await;
        scene.revoke(&key).await;
        let user = scene.user(&format!("user{round}")).await;
        kill_listeners(&mut connection).await;
        scene.disable(&user).await;
    }
    scene.channel_is("heard").await;
    all_are_shut_out(&scene, "after").await;
}

async fn kill_listeners(connection: &mut PgConnection) {
    const SQL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE application_name = 'convoke listener' AND datname = current_database()";
    sqlx::query(SQL).execute(connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_network_of_those_who_listen_is_cut() {
    let database = Cluster::shared().create_database().await;
    let proxy = Proxy::before(place(&database).to_owned()).await;
    let listen = database.replace(place(&database), &format!("127.0.0.1:{}", proxy.port));
    let settings = [LONG, ("CONVOKE_DATABASE_DIRECT_URL", listen.as_str())];
    let scene = Scene::on(Service::start_on(&database, &settings).await).await;
    scene.channel_is("heard").await;
    let (key, user) = (scene.key().await, scene.user("cut").await);
    proxy.cut();
    // No connection ends: only the silence tells.
    scene.revoke(&key).await;
    scene.disable(&user).await;
    scene.channel_is("lost").await;
    let key = scene.key().await;
    let asked = asked_meanwhile(&scene.second, &key.client).await;
    assert!(
        asked >= 2.0,
        "an entry serves a second at the most: {asked}"
    );
    all_are_shut_out(&scene, "meanwhile").await;
    proxy.mend();
    scene.channel_is("heard").await;
    all_are_shut_out(&scene, "mended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_listening_leads_to_another_database() {
    let database = Cluster::shared().create_database().await;
    let elsewhere = Cluster::shared().create_database().await;
    // It migrates: the others would do so there.
    let before = Service::start_on(&database, &[]).await;
    let settings = [
        LONG,
        ("CONVOKE_DATABASE_DIRECT_URL", elsewhere.as_str()),
        ("CONVOKE_MIGRATE_ON_START", "false"),
    ];
    let scene = Scene::on(Service::start_on(&database, &settings).await).await;
    drop(before);
    scene.channel_is("lost").await;
    all_are_shut_out(&scene, "elsewhere").await;
    let told = scene
        .second
        .wait_for_log("it says why", super::scene::LIMIT, |line| {
            line["error"]
                .as_str()
                .is_some_and(|error| error.contains("CONVOKE_DATABASE_DIRECT_URL"))
        });
    told.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_enabled_again_is_let_in() {
    let scene = two(&[]).await;
    scene.channel_is("heard").await;
    let user = scene.user("back").await;
    scene.disable(&user).await;
    let output = run(&["user", "enable", &user.email], scene.first.settings());
    assert!(output.status.success());
    let changed = Instant::now();
    while user.get("/users/me").await.status != 200 {
        assert!(changed.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_command_beside_the_service_is_noticed_within_a_second() {
    let service = Service::start(Engine::Sqlite, &[LONG]).await;
    gauge_is(&service, "cache_channel_state", "off").await;
    let user = Client::register(&service, "user").await;
    user.get("/users/me").await.expect(200);
    let output = run(&["user", "disable", &user.email], service.settings());
    assert!(output.status.success());
    refused_within_a_second(&user).await;
}

/// `HOST:PORT` of a database's URL.
fn place(url: &str) -> &str {
    let rest = url.split_once('@').expect("a user").1;
    rest.split('/').next().expect("a place")
}

fn setting(service: &Service, name: &str) -> String {
    let found = service.settings().iter().find(|(known, _)| known == name);
    found.expect("it is set").1.clone()
}
