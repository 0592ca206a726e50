//! Results: when they are ready, and files that arrive whole or not at all.

use super::harness::{
    Server, Then, caller, client, execution_id, impatient, instance, nobody, raw,
};
use crate::amc::{Class, Client, DownloadUrls, Error, SignedUrl};
use bytes::Bytes;
use futures::TryStreamExt;
use url::Url;

fn signed(base: &Url) -> SignedUrl {
    SignedUrl::parse(&format!("{base}b/result.csv?X-Amz-Signature=f00ba4")).unwrap()
}

async fn fetch(client: &Client, base: &Url) -> Result<Vec<u8>, Error> {
    let file = client.download(&signed(base)).await?;
    let pieces: Vec<Bytes> = file.into_stream().try_collect().await?;
    Ok(pieces.concat())
}

async fn urls(status: u16, body: &str) -> Result<DownloadUrls, Error> {
    let server = Server::always(status, &[], body).await;
    client().download_urls(&caller(&server.url), &instance(), &execution_id()).await
}

#[tokio::test]
async fn the_storage_gets_no_token_and_no_amazon_header() {
    let server = Server::always(200, &[], "a,b\n1,2\n").await;
    assert_eq!(fetch(&client(), &server.url).await.unwrap(), b"a,b\n1,2\n");
    let seen = server.only();
    assert_eq!(seen.target, "/b/result.csv?X-Amz-Signature=f00ba4");
    assert_eq!(seen.header("authorization"), None);
    assert!(!seen.headers.keys().any(|name| name.as_str().starts_with("amazon-")));
}

#[tokio::test]
async fn a_file_comes_as_it_is_stored() {
    let server = Server::always(200, &[("content-encoding", "gzip")], "stored bytes").await;
    let file = client().download(&signed(&server.url)).await.unwrap();
    assert_eq!(file.content_length, Some(12));
    assert_eq!(file.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(server.only().header("accept-encoding"), None);
    let pieces: Vec<Bytes> = file.into_stream().try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"stored bytes");
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let server = Server::always(200, &[], "").await;
    assert_eq!(fetch(&client(), &server.url).await.unwrap(), b"");
}

#[tokio::test]
async fn a_file_that_breaks_off_or_stands_still_is_an_error() {
    let impatient = impatient();
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\na,b\n1,";
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na,b\n\r\n";
    for then in [Then::Close(short), Then::Close(chunk), Then::Hang(short), Then::Hang("")] {
        let (url, _) = raw(then).await;
        let error = fetch(&impatient, &url).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert!(!format!("{error} {error:?}").contains("f00ba4"));
    }
}

#[tokio::test]
async fn an_expired_url_asks_for_a_new_one_and_shows_no_signature() {
    let expired = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>\
        <Message>Request has expired</Message><StringToSign>f00ba4</StringToSign></Error>";
    let server = Server::always(403, &[("x-amz-request-id", "s3-1")], expired).await;
    let error = fetch(&client(), &server.url).await.unwrap_err();
    assert_eq!(error.class(), Class::ExpiredUrl);
    assert_eq!((error.code(), error.reason()), (Some("AccessDenied"), "Request has expired"));
    assert_eq!((error.request_id(), error.body()), (Some("s3-1"), None));
    assert!(!format!("{error} {error:?}").contains("f00ba4"));
}

#[tokio::test]
async fn a_storage_that_refuses_without_words_quotes_nothing() {
    let client = client();
    let server = Server::always(403, &[], "you sent X-Amz-Signature=f00ba4").await;
    let error = fetch(&client, &server.url).await.unwrap_err();
    assert_eq!(error.class(), Class::ExpiredUrl);
    assert!(!format!("{error} {error:?}").contains("f00ba4"), "{error:?}");

    let error = fetch(&client, &nobody().await).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert!(!format!("{error} {error:?}").contains("f00ba4"), "{error:?}");
}

#[tokio::test]
async fn a_storage_that_asks_to_slow_down_is_a_throttle() {
    let slow =
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let server = Server::always(503, &[], slow).await;
    let error = fetch(&client(), &server.url).await.unwrap_err();
    assert_eq!(error.class(), Class::Throttled { retry_after: None });
}

#[tokio::test]
async fn urls_are_given_when_the_result_is_ready() {
    let ready = r#"{"downloadUrls":["https://h/a?X-Amz-Signature=f00ba4"],"metadataDownloadUrls":[],"nextToken":null}"#;
    let urls_ready = urls(200, ready).await.unwrap();
    assert_eq!(urls_ready.files.len(), 1);
    assert!(!format!("{urls_ready:?}").contains("f00ba4"));

    let early = r#"{"code":"400","details":"Execution with ID x is unavailable for download."}"#;
    assert_eq!(urls(400, early).await.unwrap_err().class(), Class::NotReady);
    assert_eq!(urls(404, "{}").await.unwrap_err().class(), Class::NotReady);
}

#[tokio::test]
async fn an_unreadable_list_of_urls_is_not_kept() {
    let odd = r#"{"downloadUrls":"https://h/a?X-Amz-Signature=f00ba4"}"#;
    let error = urls(200, odd).await.unwrap_err();
    let noted = Some("[not kept, because it may hold a secret]");
    assert_eq!((error.class(), error.body()), (Class::Transient, noted));
    assert!(!format!("{error} {error:?}").contains("f00ba4"), "{error:?}");
}
