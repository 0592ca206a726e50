//! Results: signed URLs, good for ten minutes, and the files behind them.

use super::access::Caller;
use super::answer::{Head, read_body, text, transport};
use super::call::Call;
use super::classify;
use super::client::Client;
use super::error::{Class, Error};
use super::execution;
use super::ids::{AmcExecutionId, AmcInstanceId};
use super::json;
use super::operation::Operation;
use super::said::{self, READ_MAX};
use bytes::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use std::fmt;
use std::time::Instant;
use url::Url;

/// An address whose query string is a key to the file: it is never shown, logged or stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl(Url);

impl SignedUrl {
    /// Takes an http or https address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|error| format!("a download URL is not a URL: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(format!("a download URL must be http or https, not `{other}`")),
        }
    }
}

/// Host and path only.
impl fmt::Display for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.host_str().unwrap_or_default(), self.0.path())
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedUrl({self})")
    }
}

/// Where the files of one result are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadUrls {
    /// The result: up to five CSV files, each with a header row. May be empty.
    pub files: Vec<SignedUrl>,
    /// What AMC tells about the result.
    pub metadata: Vec<SignedUrl>,
}

impl DownloadUrls {
    fn from_json(answer: &str) -> Result<Self, String> {
        let fields = json::fields(answer)?;
        let list = |name: &str| -> Result<Option<Vec<SignedUrl>>, String> {
            let Some(raw) = fields.get(name) else { return Ok(None) };
            let urls: Option<Vec<String>> = serde_json::from_str(raw.get())
                .map_err(|_| format!("the field `{name}` is not a list of texts"))?;
            urls.unwrap_or_default()
                .iter()
                .map(|url| SignedUrl::parse(url))
                .collect::<Result<_, _>>()
                .map(Some)
        };
        Ok(Self {
            files: list("downloadUrls")?.ok_or("the answer has no field `downloadUrls`")?,
            metadata: list("metadataDownloadUrls")?.unwrap_or_default(),
        })
    }
}

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    /// Its length in bytes, where the storage says it.
    pub content_length: Option<u64>,
    /// How it is compressed, where the storage says so. Some are gzip without saying it: look for `1f 8b`.
    pub content_encoding: Option<String>,
    response: Response,
}

impl Download {
    /// The next piece, `None` at the end. A file that is shorter than announced ends in an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.response.chunk().await.map_err(|error| transport(Operation::DownloadFile, error))
    }

    /// All pieces as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        try_unfold(self, |mut file| async { Ok(file.chunk().await?.map(|bytes| (bytes, file))) })
    }
}

impl Client {
    /// Asks where the files of a result are. Ask anew for each try: the URLs last ten minutes.
    pub async fn download_urls(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        id: &AmcExecutionId,
    ) -> Result<DownloadUrls, Error> {
        let mut path = execution::path(instance, Some(id));
        path.push("downloadUrls");
        let call = Call::get(Operation::DownloadUrls, caller, path, execution::MEDIA);
        self.call(&call, DownloadUrls::from_json).await
    }

    /// Begins to download a file. The storage service gets no token, only the signature in the URL.
    ///
    /// [`Class::ExpiredUrl`] means that the storage no longer takes the URL: ask for new ones.
    pub async fn download(&self, url: &SignedUrl) -> Result<Download, Error> {
        let started = Instant::now();
        let mut head = None;
        let result = self.open(url, &mut head).await;
        let outcome = result.as_ref().err().map_or("ok", |error| error.class().as_str());
        self.report(Operation::DownloadFile, started, head.as_ref(), outcome);
        result
    }

    async fn open(&self, url: &SignedUrl, head: &mut Option<Head>) -> Result<Download, Error> {
        let operation = Operation::DownloadFile;
        let sent = self.storage.get(url.0.clone()).send().await;
        let response = sent.map_err(|error| transport(operation, error))?;
        let seen = head.insert(Head::of(&response));
        if response.status().is_success() {
            let content_encoding = text(response.headers(), CONTENT_ENCODING.as_str());
            return Ok(Download {
                content_length: response.content_length(),
                content_encoding,
                response,
            });
        }
        let body = tokio::time::timeout(self.settings.timeout, read_body(response, READ_MAX)).await;
        let body = body.ok().and_then(Result::ok).map(|body| body.bytes).unwrap_or_default();
        // Storage services quote the signed request in their refusals, so the body itself is not kept.
        let said = said::read(&body, &[]);
        let code = said.code.unwrap_or_default();
        let known = if code.is_empty() { String::new() } else { said.reason };
        let class =
            classify::storage(seen.status.as_u16(), &format!("{code} {known}"), seen.retry_after);
        let reason = match (class, known.as_str()) {
            (Class::ExpiredUrl, "") => "the storage refuses the signed URL".to_owned(),
            (_, "") => seen.status.canonical_reason().unwrap_or("no reason given").to_owned(),
            (_, known) => known.to_owned(),
        };
        let error = Error::new(operation, class, reason);
        Err(seen.lend(error).with(|detail| detail.code = (!code.is_empty()).then_some(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_url_never_shows_its_signature() {
        let text = "https://bucket.s3.amazonaws.com/a/b.csv?X-Amz-Signature=f00&X-Amz-Expires=600";
        let url = SignedUrl::parse(text).unwrap();
        let shown = format!("{url} {url:?}");
        assert_eq!(
            shown,
            "bucket.s3.amazonaws.com/a/b.csv SignedUrl(bucket.s3.amazonaws.com/a/b.csv)"
        );
        assert!(SignedUrl::parse("file:///etc/passwd").is_err());
        assert!(!SignedUrl::parse("no url?X-Amz-Signature=f00").unwrap_err().contains("f00"));
    }

    #[test]
    fn an_empty_list_is_an_answer_and_a_missing_one_is_not() {
        let empty = r#"{"downloadUrls":[],"metadataDownloadUrls":null,"nextToken":null}"#;
        assert_eq!(DownloadUrls::from_json(empty).unwrap().files, []);
        let two = r#"{"downloadUrls":["http://h/1?s=1","http://h/2?s=2"]}"#;
        assert_eq!(DownloadUrls::from_json(two).unwrap().files.len(), 2);
        for text in ["{}", r#"{"downloadUrls":"http://h"}"#, r#"{"downloadUrls":["x"]}"#] {
            assert!(DownloadUrls::from_json(text).is_err(), "{text}");
        }
    }
}
