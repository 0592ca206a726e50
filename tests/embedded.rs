//! The private Postgres: two at once, nothing lost, and never an orphan.

use crate::harness::eventually::eventually;
use crate::harness::server::PrivatePostgres;
use recomamp::embedded::{self, Error, Options};
use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use url::Url;

const FAST: Options = Options { durable: false };

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the server answers")
}

async fn keep_a_row(url: &str) {
    let mut connection = connect(url).await;
    sqlx::raw_sql("create table kept as select 42 as answer")
        .execute(&mut connection)
        .await
        .expect("a table");
}

async fn kept(url: &str) -> i32 {
    sqlx::query_scalar("select answer from kept")
        .fetch_one(&mut connect(url).await)
        .await
        .expect("a row")
}

fn port(url: &str) -> u16 {
    Url::parse(url).expect("a URL").port().expect("with a port")
}

#[tokio::test]
async fn two_private_postgres_run_side_by_side() {
    let (one, other) = tokio::join!(PrivatePostgres::start(), PrivatePostgres::start());
    assert_ne!(port(one.url()), port(other.url()));
    keep_a_row(one.url()).await;
    keep_a_row(other.url()).await;
}

#[tokio::test]
async fn a_stop_and_a_start_on_the_same_folder_keep_data_and_address() {
    let mut server = PrivatePostgres::start().await;
    keep_a_row(server.url()).await;
    server.stop().await;
    assert!(TcpStream::connect(("127.0.0.1", port(server.url()))).is_err(), "it is gone");
    server.start_again().await;
    assert_eq!(kept(server.url()).await, 42);
}

#[tokio::test]
async fn a_killed_server_starts_again_with_its_data() {
    let mut server = PrivatePostgres::start().await;
    keep_a_row(server.url()).await;
    server.kill();
    server.start_again().await;
    assert_eq!(kept(server.url()).await, 42);
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = embedded::start(folder.path(), FAST).await.expect("it starts");
    let second = embedded::start(folder.path(), FAST).await.expect_err("it is in use");
    assert!(second.to_string().contains("is already running in"), "{second}");
    let erased = embedded::erase(folder.path()).expect_err("it is in use");
    assert!(matches!(erased, Error::Running { .. }), "{erased}");
    keep_a_row(server.database_url().expose_secret()).await;
    server.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_server_whose_owner_is_gone_shuts_down_and_a_new_owner_waits_for_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = embedded::start(folder.path(), FAST).await.expect("it starts");
    let url = server.database_url().expose_secret().to_owned();
    keep_a_row(&url).await;
    // The pipe closes, as it does when the process that holds it is killed.
    drop(server);
    let server = embedded::start(folder.path(), FAST).await.expect("it starts after the old one");
    assert_eq!(kept(server.database_url().expose_secret()).await, 42);

    let address = ("127.0.0.1", port(server.database_url().expose_secret()));
    drop(server);
    eventually("the orphan is gone", async || TcpStream::connect(address).is_err()).await;
    eventually("it took its note along", async || {
        !folder.path().join("data/postmaster.pid").exists()
    })
    .await;
}

#[tokio::test]
async fn a_port_that_was_taken_meanwhile_is_exchanged_for_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = embedded::start(folder.path(), FAST).await.expect("it starts");
    let before = port(server.database_url().expose_secret());
    server.stop().await.expect("it stops");

    let _stranger = TcpListener::bind(("127.0.0.1", before)).expect("the port is free now");
    let server = embedded::start(folder.path(), FAST).await.expect("it starts elsewhere");
    assert_ne!(port(server.database_url().expose_secret()), before);
    server.stop().await.expect("it stops");
}

#[tokio::test]
async fn nobody_comes_in_without_the_password_and_only_the_owner_can_read_it() {
    let server = PrivatePostgres::start().await;
    let mut url = Url::parse(server.url()).expect("a URL");
    url.set_password(Some("guessed")).expect("a URL with a host");
    let refused = PgConnection::connect(url.as_str()).await.expect_err("it is wrong");
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");

    let folder = tempfile::tempdir().expect("a folder");
    let server = embedded::start(folder.path(), FAST).await.expect("it starts");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(server.folder()), 0o700);
    assert_eq!(mode(&server.folder().join("password")), 0o600);
    server.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_folder_with_other_things_in_it_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("letter"), "dear").expect("written");
    let refused = embedded::start(folder.path(), FAST).await.expect_err("it is not ours");
    assert!(refused.to_string().contains("holds other things"), "{refused}");
    embedded::erase(folder.path()).expect_err("it is not ours");
    assert_eq!(fs::read_to_string(folder.path().join("letter")).expect("still there"), "dear");
}

#[tokio::test]
async fn a_folder_that_only_root_can_enter_still_gets_its_server_and_is_erased_whole() {
    let home = tempfile::tempdir().expect("a folder only for us");
    let wanted = home.path().join("postgres");
    let server = embedded::start(&wanted, FAST).await.expect("it starts");
    let real = server.folder().to_owned();
    keep_a_row(server.database_url().expose_secret()).await;
    server.stop().await.expect("it stops");

    let server = embedded::start(&wanted, FAST).await.expect("it starts again");
    assert_eq!(server.folder(), real);
    assert_eq!(kept(server.database_url().expose_secret()).await, 42);
    server.stop().await.expect("it stops");

    embedded::erase(&wanted).expect("nobody uses it");
    assert!(!real.exists() && !wanted.exists() && !wanted.is_symlink());
    embedded::erase(&wanted).expect("twice is no error");
}
